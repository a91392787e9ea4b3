"""Decoded frames as images: their colours, and which way is up. Axes: H, W of an image, in RGB."""

import threading

import av
import numpy as np
from av.video.reformatter import VideoReformatter

SWS_ACCURATE = 0x2 | 0x2000 | 0x40000  # ffmpeg's scaler: bilinear chroma, at full resolution, rounded to nearest

# A scaler has threads of its own, so a frame must not make another one: hundreds of them would be there at a time.
_scalers = threading.local()


def to_rgb(frame: "av.VideoFrame") -> np.ndarray:
    """(H, W, 3) uint8 RGB of a decoded frame, upright."""
    # BT.601 whatever the file says, since JPEG files carry no other. ffmpeg's faster default rounds all colours down.
    if not hasattr(_scalers, "one"):
        _scalers.one = VideoReformatter()
    settings = {"format": "rgb24", "interpolation": SWS_ACCURATE, "src_colorspace": "itu601"}
    rgb = _scalers.one.reformat(frame, **settings).to_ndarray()
    matrix = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    return rgb if matrix is None else upright(rgb, np.frombuffer(bytes(matrix), np.int32))


def upright(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror an image, (H, W, 3), as its file's display matrix says, (9,) int32, in steps of a quarter turn.

    The rule of the ffmpeg program (configure_input_video_filter in fftools/ffmpeg_filter.c of 5.1).
    """
    (a, b), (c, d) = matrix[[0, 1]].tolist(), matrix[[3, 4]].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):  # a quarter turn
        if b > 0:
            turned = image.transpose(1, 0, 2) if c > 0 else np.rot90(image, -1)
        else:
            turned = image[::-1, ::-1].transpose(1, 0, 2) if c < 0 else np.rot90(image)
        return np.ascontiguousarray(turned)
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
