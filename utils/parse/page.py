"""report.html: a video with its events, in one file (template: utils/report/templates/report.html)."""

import base64
import os
import urllib.parse
from html import escape
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.parse.events import ParsedVideo, find_events
from utils.parse.formats import elan_text, media_type
from utils.parse.sound import SoundPicture
from utils.report.html import distinct_colours, fill, script_json

TEMPLATES = Path(__file__).parents[1] / "report" / "templates"
TILE = 4096  # bins of a picture of the spectrogram: browsers bound the width of pictures
SCALE = 10_000  # of probabilities, which are integers in the page, rounded down: the same decisions at four digits
EMBED_LIMIT = 64 * 2**20  # bytes; larger pages make browsers slow


def link(video: Path, folder: Path) -> str:
    """URL of a video, relative to the folder of the page if possible."""
    try:
        relative = os.path.relpath(video.absolute(), Path(folder).absolute())
    except ValueError:  # another drive, on Windows
        return video.absolute().as_uri()
    # "./" because a name with a colon would be taken for a protocol
    return "./" + urllib.parse.quote(os.fsencode(relative.replace(os.sep, "/")))


def require_small(video: Path) -> None:
    """Raise InputError if a video is too large for a page."""
    size, limit = video.stat().st_size / 2**20, EMBED_LIMIT // 2**20
    if size > limit:
        raise InputError(f"--embed: {video} has {size:.0f} MB, expected up to {limit}; leave --embed out to link it")


def inline(video: Path) -> str:
    """The video as a data URL."""
    return f"data:{media_type(video.name)};base64,{_base64(video.read_bytes())}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sound_data(sound: SoundPicture) -> dict:
    """The waveform, and the spectrogram as PNG files, highest band at the top, as the page's script reads them."""
    data = {"rate": sound.rate, "low": _base64(sound.low.tobytes()), "high": _base64(sound.high.tobytes())}
    if sound.mel is not None:
        import cv2  # only for those who ask for it

        tiles = (sound.mel[::-1, i : i + TILE] for i in range(0, sound.mel.shape[1], TILE))
        data |= {"mel": [_base64(cv2.imencode(".png", tile)[1].tobytes()) for tile in tiles], "tileWidth": TILE}
    return data


def to_integers(probabilities: np.ndarray) -> list:
    """Probabilities (...) times SCALE, rounded down, as nested lists."""
    return np.floor(probabilities.astype(float) * SCALE + 1e-9).astype(int).tolist()


def gates(global_prob: np.ndarray) -> dict[str, list]:
    """The video-level gate, (n, C), or, of each modality, (n, M, C), as the page's script reads it: (C, n) each."""
    if global_prob.ndim == 2:
        return {"gate": to_integers(global_prob.T)}
    return {"gate": to_integers(global_prob[:, 0].T), "visualGate": to_integers(global_prob[:, 1].T)}


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
        "colours": distinct_colours(len(video.class_names)),
        "scale": SCALE,
        "threshold": threshold,
        "audio": to_integers(video.frame_prob[:, 0].T),  # (C, n) each
        "visual": to_integers(video.frame_prob[:, 1].T),
        **gates(video.global_prob),
        "heard": video.has_track[:, 0].astype(int).tolist(),  # (n,) each
        "seen": video.has_track[:, 1].astype(int).tolist(),
        "sound": video.sound and sound_data(video.sound),
        "filename": video.filename,
        "elan": _elan_frame(video, folder),
    }
    facts = [f"{video.edges[-1]:.1f} s", f"hop {video.hop} s" if video.hop else "seen as a whole"]
    if model:
        facts += [" + ".join(model.get("features", ())), str(model.get("checkpoint", ""))]
    values = {
        "TITLE": escape(video.filename),
        "FACTS": " · ".join(escape(fact) for fact in facts if fact),
        "NOTES": "".join(f"<p>{escape(note)}</p>" for note in video.notes),
        "SOURCE": escape(inline(video.path) if embed else link(video.path, folder)),
        "TAG": "video" if video.has_track[:, 1].any() else "audio",
        "DATA": script_json(data),
        "SCRIPT": (TEMPLATES / "report.js").read_text(encoding="utf-8"),
    }
    return fill(TEMPLATES / "report.html", values)


def _elan_frame(video: ParsedVideo, folder: Path) -> list[str]:
    """What stands in events.eaf before and after the events."""
    empty = elan_text(find_events(video).iloc[:0], video.filename, link(video.path, folder))
    return empty.split("\n<TIME_ORDER>\n</TIME_ORDER>\n")
