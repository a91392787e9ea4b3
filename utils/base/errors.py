"""Errors that a user can cause."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, what was expected, what to do."""


class Busy(InputError):
    """Another process is doing what this one was asked to do."""
