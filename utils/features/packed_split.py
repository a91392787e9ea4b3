"""What the arrays of a packed split must be.

Axes: N videos, T segments, S of all videos, C classes, D size of a feature.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from utils.features.cache import FEATURE_DTYPES
from utils.features.folder import RAGGED
from utils.features.hdf5 import TEXT
from utils.features.kinds import LOGITS, STREAMS, stream_layout
from utils.features.lengths import PER_VIDEO
from utils.features.packed import Column
from utils.llp.datasets import DataSet


def require_columns(columns: Mapping[str, Column], wanted: Sequence[str], dataset: DataSet) -> None:
    """Raises InputError if an array is not of the shape and dtype of its kind."""
    names, numbers = columns["filename"], tuple(map(np.dtype, FEATURE_DTYPES))
    names.require((None,), [names.dtype] if names.dtype.kind == TEXT else ["text"])
    seconds, num_classes, videos = dataset.seconds, len(dataset.classes), (len(names), dataset.seconds)
    if seconds is None:
        columns["lengths"].require((len(names),), (np.dtype(np.int64),))
        videos = (int(columns["lengths"].read_all().sum()),)
    for kind in set(wanted) - {"lengths"}:
        if kind in STREAMS:
            layout = stream_layout(kind, dataset)
            columns[kind].require((*videos, layout.columns), numbers, layout.rows or (RAGGED,))
        elif kind in PER_VIDEO:
            columns[kind].require((len(names), num_classes), (np.dtype(np.uint8),))
        else:
            dtype = np.dtype(np.float32 if kind in LOGITS else np.uint8)
            columns[kind].require((*videos, num_classes), (dtype,), (seconds or RAGGED,))
