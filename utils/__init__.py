"""The commands (utils/*.py), and the rooms that they are built from."""

__version__ = "1.0.0"
