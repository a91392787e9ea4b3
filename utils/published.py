"""What is published for LLP, and where (spec, section 1): the one place for its folders, shapes and addresses."""

import numpy as np

from utils import llp
from utils.arrays import Layout

# feature folder, below data/ -> what each <id>.npy holds
FEATURES = {
    "feats/vggish": Layout((llp.T,), 128, np.float32, "VGGish features"),
    "feats/res152": Layout((8 * llp.T,), 2048, np.float32, "ResNet-152 features"),  # 8 frames a second
    "feats/r2plus1d_18": Layout((llp.T,), 512, np.float32, "R(2+1)D-18 features"),
    "CLIP/features": Layout((llp.T,), 768, np.float32, "CLIP features"),
    "CLAP/features": Layout((64,), 768, np.float32, "CLAP features"),  # 2 frequency rows x 32 time steps
}
