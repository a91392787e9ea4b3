"""Any video to its events, with a trained parser: `from utils.parse import VideoParser, parse_videos`.

Not here: training (train), LLP's clips by the list (extract).
Imports: nets, base, llp, metrics, media, features, encoders, train, report.
"""


def __getattr__(name: str):
    """VideoParser and parse_videos, imported when they are used: torch takes seconds."""
    if name in ("VideoParser", "parse_videos"):
        from utils.parse import parser

        return getattr(parser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
