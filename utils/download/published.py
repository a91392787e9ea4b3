"""The published models by name, as `--checkpoint valor++` gives them: from models/, else fetched."""

import argparse
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import move
from utils.base.flags import DATA
from utils.download import check, fetch
from utils.download.release import MODEL_FILES, MODELS_REPO
from utils.encoders.hub import ENDPOINT
from utils.features.kinds import KINDS

MODELS = Path(__file__).parents[2] / "models"
NAMES = dict(zip(("valor", "valor+", "valor++"), MODEL_FILES, strict=True))
HELP = f"val, test: the published model {', '.join(NAMES)}, fetched if it is missing"
ABOUT = f"20 MB, licence as stated at {ENDPOINT}/{MODELS_REPO}"


def checkpoint_path(given: str, models_dir: Path = MODELS) -> Path:
    """The file that `--checkpoint` gives: a path, or the published model of one of NAMES, fetched if it is missing.

    Raises InputError if it cannot be fetched.
    """
    name = NAMES.get(given.lower())
    if name is None:
        return Path(given)
    target = models_dir / name
    if not target.exists():
        print(f"{given}: fetching the published model to {target} ({ABOUT})", flush=True)
        fetch_model(name, target, models_dir / ".download")
    return target


def model_name(text: str) -> str:
    """argparse type: one of NAMES."""
    if text.lower() not in NAMES:
        found = f"{text} is not one of {', '.join(NAMES)}"
        raise argparse.ArgumentTypeError(f"{found}; --model_name names a run of your own")
    return text.lower()


def usual_flags(name: str, models_dir: Path) -> dict[str, object]:
    """What main.py's flags are for a published model: its folder, its sizes, the folders of its features.

    Raises InputError if it cannot be fetched.
    """
    from utils.train import checkpoint, networks  # torch, which fetching does without

    path = checkpoint_path(name, models_dir)
    sizes = checkpoint.describe_weights(checkpoint.load(path))
    usual = {"model_name": path.parent.name} | {flag: sizes[flag] for flag in networks.SHAPE if flag in sizes}
    if sizes["input_a_dim"] == KINDS["CLAP"].size:
        usual |= {"audio_dir": f"{DATA}/CLAP/features", "video_dir": f"{DATA}/CLIP/features"}
    return usual


def fetch_model(name: str, target: Path, work: Path) -> None:
    """Fetch one of MODEL_FILES to `target`, by way of the folder `work`, which is removed if nothing else is in it.

    Raises InputError if it cannot be fetched, or is no model.
    """
    try:
        fetched = fetch.fetch_from_hub(MODELS_REPO, name, "model", work / name)
    except InputError as error:
        raise InputError(f"{error}; rerun this command with a network, or save that file as {target}") from error
    try:
        check.check_weights(fetched)
    except InputError:
        fetched.unlink()
        raise
    move(fetched, target)
    for folder in (fetched.parent, work):
        if not any(folder.iterdir()):
            folder.rmdir()
    print(f"{target}: fetched", flush=True)
