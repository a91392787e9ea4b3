"""parsed.npz: what was computed of a video, from which its events are decided anew (docs/PARSING.md has the arrays)."""

import json
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.parse.events import ParsedVideo, Windows
from utils.parse.sound import SoundPicture

FILE, VERSION = "parsed.npz", 1
ANEW = "leave --reuse out to parse it anew"


def write_kept(path: Path, video: ParsedVideo, model: dict) -> None:
    """Write a file that `read_kept` reads; the caller renames it. model: what the outputs say of the parser."""
    about = {
        "version": VERSION,
        "filename": video.filename,
        "bytes": video.path.stat().st_size if video.path.exists() else None,
        "seconds": video.seconds,
        "hop": video.hop,
        "classes": video.class_names,
        "notes": video.notes,
        "model": model,
        "bins_per_second": video.sound and video.sound.rate,
    }
    arrays = {"edges": video.edges, "has_track": video.has_track}
    if video.windows is None:
        arrays |= {"frame_prob": video.frame_prob, "global_prob": video.global_prob}
    else:
        arrays |= {f"window_{name}": array for name, array in video.windows._asdict().items()}
    if video.sound:
        arrays |= {name: getattr(video.sound, name) for name in ("low", "high")}
        arrays |= {} if video.sound.mel is None else {"mel": video.sound.mel}
    with open(path, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def read_kept(path: Path, video: Path, class_names: tuple[str, ...] | None = None) -> tuple[ParsedVideo, dict]:
    """What was computed of `video`, and what is said of the parser; class_names: C, other ones than those of the file.

    Raises InputError if there is no such file, it is damaged, or is of another video.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, from which --reuse decides; {ANEW}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        parsed = _parsed(video, about, arrays)
    except Exception as error:  # damaged archives raise any of a dozen kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a file of parse_video.py ({reason:.200}); {ANEW}") from error
    if parsed.path.name != about["filename"] or (video.is_file() and video.stat().st_size != about["bytes"]):
        raise InputError(f"{path}: is of another file than {video}, or that has changed since; {ANEW}")
    if class_names and len(class_names) != len(parsed.class_names):
        expected = f"expected the {len(parsed.class_names)} of the checkpoint"
        raise InputError(f"--classes: lists {len(class_names)} classes, {expected}")
    return parsed._replace(class_names=class_names or parsed.class_names), about["model"]


def _parsed(path: Path, about: dict, arrays: dict[str, np.ndarray]) -> ParsedVideo:
    """The video of a file's contents. Raises errors of many kinds if they are not what `write_kept` wrote."""
    edges, has_track = arrays["edges"], arrays["has_track"]
    n, C = len(edges) - 1, len(about["classes"])
    windows = None
    if "window_starts" in arrays:
        windows = Windows(*(arrays[f"window_{name}"] for name in Windows._fields))
        frame_prob, global_prob = windows.means(n)
    else:
        frame_prob, global_prob = arrays["frame_prob"], arrays["global_prob"]
    if about["version"] != VERSION or has_track.shape != (n, 2) or frame_prob.shape != (n, 2, C):
        raise ValueError(f"version {about['version']}, probabilities {frame_prob.shape}")
    sound = None
    if about["bins_per_second"]:
        sound = SoundPicture(about["bins_per_second"], arrays["low"], arrays["high"], arrays.get("mel"))
    names, prob = tuple(about["classes"]), (frame_prob, global_prob)
    return ParsedVideo(
        path, about["seconds"], edges, *prob, has_track, names, about["hop"], about["notes"], windows, sound
    )
