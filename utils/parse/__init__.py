"""Any video to its events, with a trained parser: `from utils.parse import VideoParser, parse_videos`.

Not here: training (train), LLP's clips by the list (extract).
Imports: nets, base, llp, metrics, media, features, encoders, train, report.
"""

from utils.parse.parser import VideoParser, parse_videos

__all__ = ["VideoParser", "parse_videos"]
