"""Any video to its events, with a trained parser: `from utils.parse import VideoParser, parse_videos`.

Not here: training (train), LLP's clips by the list (extract).
Imports: nets, base, llp, metrics, media, features, encoders, train, report.
"""

__all__ = ["VideoParser", "parse_videos"]


def __getattr__(name: str):
    """These two, and with them torch, are loaded when they are first asked for: commands show their --help without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from utils.parse import parser

    return getattr(parser, name)
