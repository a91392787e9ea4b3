"""What is published for LLP, and where: the one place for its addresses (docs/DATA.md)."""

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

BASE = ("vggish", "res152", "r2plus1d_18")
# archive, without .zip -> its folders below data/. A kind of feature that has another folder is not published.
ARCHIVES = {"feats": tuple(f"feats/{name}" for name in BASE)}
ARCHIVES |= {name: (f"{name}/features", f"{name}/segment_pseudo_labels") for name in ("CLIP", "CLAP")}
