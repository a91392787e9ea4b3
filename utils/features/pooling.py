"""Features with more rows than segments, pooled to segments before the network instead of inside it.

Both poolings of the published network, of frames and of CLAP's map, are linear, come before any non-linearity and have
weights that sum to one, so they commute with the first linear layer: the outputs are the same, and the features 8 and
6.4 times smaller. Axes: L rows of a file, T segments, D size of a feature vector.
"""

import functools

import numpy as np

from utils.llp.classes import T


def pool_frames(features: np.ndarray, seconds: int = T) -> np.ndarray:
    """Mean of the frames of each segment: (n T, D) -> (T, D) float32."""
    return features.reshape(seconds, len(features) // seconds, -1).mean(axis=1)


def pool_evenly(features: np.ndarray, seconds: int) -> np.ndarray:
    """Mean of the rows that each segment touches, if the L rows are spread evenly: (L, D) -> (T, D) float32.

    Segment i takes rows floor(i L / T) to ceil((i + 1) L / T) - 1, as adaptive average pooling does; L may be below T.
    """
    edges = np.arange(seconds + 1) * len(features)
    begin, end = edges[:-1] // seconds, -(-edges[1:] // seconds)
    sums = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, axis=0, dtype=np.float64)])
    return ((sums[end] - sums[begin]) / (end - begin)[:, None]).astype(np.float32)


def pool_clap_map(features: np.ndarray) -> np.ndarray:
    """Mean of CLAP's 2 frequency rows, then its 32 time steps to 10 segments: (64, D) -> (10, D) float32."""
    weights = clap_time_weights()
    return weights @ features.reshape(-1, weights.shape[1], features.shape[1]).mean(axis=0)


@functools.cache
def clap_time_weights() -> np.ndarray:
    """(10, 32) float32: the network's bicubic interpolation 32 -> 1024 and pooling 1024 -> 10, as one matrix.

    Computed by the network's own functions: the response of each segment to a one in each time step.
    """
    import torch  # here, because commands that pool nothing do without torch

    from nets.mmil_net import CLAP_MAP, pool_time, upsample_clap_map

    frequency_rows, steps = CLAP_MAP
    ones = torch.eye(steps, dtype=torch.float64).repeat(frequency_rows, 1)[None]  # (1, 64, 32)
    weights = pool_time(upsample_clap_map(ones).mean(dim=1))[0]  # (10, 32)
    return weights.numpy().astype(np.float32)
