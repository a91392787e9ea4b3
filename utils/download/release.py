"""What is published for LLP, and where: the one place for its addresses (docs/DATA.md)."""

from typing import NamedTuple

from utils.features.kinds import KINDS
from utils.llp.annotations import REFERENCE_FILES
from utils.llp.videos import ALL_VIDEOS_FILE, SPLIT_FILES

SPLITS = (*SPLIT_FILES.values(), ALL_VIDEOS_FILE)
CSVS = (*SPLITS, *REFERENCE_FILES.values())
MODEL_FILES = tuple(f"{name}/checkpoint_best.pt" for name in ("model_VALOR", "model_VALOR+", "model_VALOR++"))
# the audio annotations exist in two versions, which are two revisions of LLP's repository
CSV_URL = "https://github.com/YapengTian/AVVP-ECCV20/raw/{revision}/data/{name}"
REVISIONS = {"2020": "0b28c1a", "2024": "HEAD"}
FEATS_URL = "https://drive.google.com/uc?id=10CeaI1G9uIyz5dKnd7XTeH9-qOehC7CL"
FEATURES_REPO = "NTUBarista/valor_features"  # a dataset of the Hugging Face hub
MODELS_REPO = "NTUBarista/valor_trained_models"


class Archive(NamedTuple):
    """A zip file; `top`: the folder in it that belongs in data/."""

    name: str
    top: str


ARCHIVES = (Archive("feats.zip", "feats"), Archive("CLIP.zip", "CLIP"), Archive("CLAP.zip", "CLAP"))

BASE = tuple(name for name, kind in KINDS.items() if kind.folder == f"feats/{name}")  # the parts of feats.zip
