"""Scores of what is only heard, only seen, or both (CoLeaF, ECCV 2024), with this project's averaging.

Axes: N videos, C classes, T segments. A segment of a class counts as audible-only where it is in the audio and not in
the visual events, in the truth and in the prediction alike; visible-only the other way round. An event is a run of such
segments, so a sound that lasts ten seconds and is seen in the middle is two audible-only events.
"""

import numpy as np

from utils.eval_metrics import video_scores

KINDS = {"audible-only": "a", "visible-only": "v", "audio-visual": "av"}
NAMES = tuple(f"{level} {kind}" for level in ("Seg", "Event") for kind in KINDS)


def exclusive_scores(
    pred_audio: np.ndarray, pred_visual: np.ndarray, ref_audio: np.ndarray, ref_visual: np.ndarray
) -> dict[str, np.ndarray]:
    """The six scores of each video. Args: (N, C, T) bool each.

    Returns:
        name (NAMES) -> (N,) float64, 0 to 100; as in `video_scores` the mean over the classes that prediction or
        reference has in that kind, 100 where none does. audio-visual is Seg-av and Event-av.
    """
    both = video_scores(pred_audio, pred_visual, ref_audio, ref_visual)
    only = video_scores(
        pred_audio & ~pred_visual, pred_visual & ~pred_audio, ref_audio & ~ref_visual, ref_visual & ~ref_audio
    )
    source = {"a": only, "v": only, "av": both}
    return {
        f"{level} {kind}": source[short][f"{level}-{short}"]
        for level in ("Seg", "Event")
        for kind, short in KINDS.items()
    }
