"""What is published for LLP, and where (spec, section 1): the one place for its folders, shapes and addresses."""

from typing import NamedTuple

import numpy as np

from utils import llp
from utils.arrays import Layout
from utils.pseudo_labels import layout as label_layout

# feature folder, below data/ -> what each <id>.npy holds
FEATURES = {
    "feats/vggish": Layout((llp.T,), 128, np.float32, "VGGish features"),
    "feats/res152": Layout((8 * llp.T,), 2048, np.float32, "ResNet-152 features"),  # 8 frames a second
    "feats/r2plus1d_18": Layout((llp.T,), 512, np.float32, "R(2+1)D-18 features"),
    "CLIP/features": Layout((llp.T,), 768, np.float32, "CLIP features"),
    "CLAP/features": Layout((64,), 768, np.float32, "CLAP features"),  # 2 frequency rows x 32 time steps
}
LABELS = ("CLIP/segment_pseudo_labels", "CLAP/segment_pseudo_labels")
SPLITS = (*llp.SPLIT_FILES.values(), llp.ALL_VIDEOS_FILE)
CSVS = (*SPLITS, *llp.TRUTH_FILES.values())
MODEL_FILES = tuple(f"{name}/checkpoint_best.pt" for name in ("model_VALOR", "model_VALOR+", "model_VALOR++"))

# LLP's CSVs; the audio annotations exist in two versions, which are two revisions of that repository
CSV_URL = "https://github.com/YapengTian/AVVP-ECCV20/raw/{revision}/data/{name}"
REVISIONS = {"2020": "0b28c1a", "2024": "HEAD"}
FEATS_URL = "https://drive.google.com/uc?id=10CeaI1G9uIyz5dKnd7XTeH9-qOehC7CL"
FEATURES_REPO = "NTUBarista/valor_features"  # a data set of the Hugging Face hub
MODELS_REPO = "NTUBarista/valor_trained_models"


class Archive(NamedTuple):
    """A zip file; `top`: the folder in it that belongs into data/."""

    name: str
    top: str


ARCHIVES = (Archive("feats.zip", "feats"), Archive("CLIP.zip", "CLIP"), Archive("CLAP.zip", "CLAP"))


def folders(num_classes: int = llp.C) -> dict[str, Layout]:
    """All seven folders of `<id>.npy`, below data/, and what they hold."""
    return FEATURES | dict.fromkeys(LABELS, label_layout(num_classes))
