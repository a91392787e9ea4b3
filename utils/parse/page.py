"""report.html: a video with what the parser says of it, in one file (template: utils/templates/report.html)."""

import base64
import mimetypes
import os
import urllib.parse
from html import escape
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.parse.events import ParsedVideo
from utils.report.html import class_colours, script_json

TEMPLATE = Path(__file__).parents[1] / "report" / "templates" / "report.html"
SCALE = 10_000  # probabilities are whole numbers in the page, rounded down: the same decisions at four digits
EMBED_LIMIT = 64 * 2**20  # bytes; browsers get slow beyond


def link(video: Path, folder: Path) -> str:
    """URL of a video, relative to the folder of the page, where there is a way from one to the other."""
    try:
        relative = os.path.relpath(video.absolute(), Path(folder).absolute())
    except ValueError:  # another drive, on Windows
        return video.absolute().as_uri()
    # "./" lest a name with a colon be taken for a protocol
    return "./" + urllib.parse.quote(os.fsencode(relative.replace(os.sep, "/")))


def media_type(video: Path) -> str:
    """MIME type by the name; browsers look at the content anyway."""
    return mimetypes.guess_type(video.name)[0] or "video/mp4"


def require_small(video: Path) -> None:
    """InputError for a video that is too large for a page."""
    size, limit = video.stat().st_size / 2**20, EMBED_LIMIT // 2**20
    if size > limit:
        raise InputError(f"--embed: {video} has {size:.0f} MB, expected up to {limit}; leave --embed out to link it")


def inline(video: Path) -> str:
    """The video as a data URL."""
    return f"data:{media_type(video)};base64,{base64.b64encode(video.read_bytes()).decode()}"


def whole(probabilities: np.ndarray) -> list:
    """Probabilities as whole numbers, rounded down."""
    return np.floor(probabilities.astype(float) * SCALE + 1e-9).astype(int).tolist()


def render(video: ParsedVideo, threshold: float, model: dict, folder: Path, embed: bool) -> str:
    """The page, as text.

    Args:
        threshold: that the slider begins with.
        folder: of the page, from which the video is linked unless `embed` puts it inside.
    """
    data = {
        "seconds": round(float(video.edges[-1]), 3),
        "edges": video.edges.round(3).tolist(),
        "classes": list(video.class_names),
        "colours": class_colours(len(video.class_names)),
        "scale": SCALE,
        "threshold": threshold,
        "audio": whole(video.frame_prob[:, 0].T),  # (C, n) each
        "visual": whole(video.frame_prob[:, 1].T),
        "gate": whole(video.global_prob.T),
        "heard": video.has_track[:, 0].astype(int).tolist(),  # (n,) each
        "seen": video.has_track[:, 1].astype(int).tolist(),
    }
    facts = [f"{video.edges[-1]:.1f} s", f"hop {video.hop} s"]
    if model:
        facts += [" + ".join(model.get("features", ())), str(model.get("checkpoint", ""))]
    values = {
        "TITLE": escape(video.filename),
        "FACTS": " · ".join(escape(fact) for fact in facts if fact),
        "NOTES": "".join(f"<p>{escape(note)}</p>" for note in video.notes),
        "SOURCE": escape(inline(video.path) if embed else link(video.path, folder)),
        "TAG": "video" if video.has_track[:, 1].any() else "audio",
        "DATA": script_json(data),
    }
    parts = TEMPLATE.read_text(encoding="utf-8").split("@@")  # text, name, text, name, ..., text
    parts[1::2] = [values[name] for name in parts[1::2]]
    return "".join(parts)
