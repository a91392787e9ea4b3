"""From what a network says of a split to scores, by the rules of its data set.

Axes: N videos, T segments, S seconds of all videos, M = 2 modalities (audio, visual), C classes.
"""

import sys

import numpy as np

from utils.features.split_data import SplitData
from utils.llp.annotations import Reference, read_reference
from utils.llp.datasets import DataSet
from utils.llp.probabilities import Probabilities
from utils.metrics.decision_thresholds import DEFAULT, Thresholds
from utils.metrics.protocols import all_scores, decide, never_annotated, with_events
from utils.train.engine import Evaluation


def read_split_reference(gt_dir: str, split: SplitData, dataset: DataSet) -> Reference:
    """Reference annotations of a split; prints once what is odd about the files. Raises InputError for bad files."""
    lengths = None if split.rows is None else split.rows.lengths.numpy()
    reference = read_reference(gt_dir, split.filenames, dataset, lengths)
    for line in [*reference.issues, *never_annotated(dataset, reference)]:
        print(f"note: {line}", file=sys.stderr)
    return reference


def said_by(evaluation: Evaluation, dataset: DataSet) -> Probabilities:
    """What a network says, in the form that is written down and scored."""
    frame_prob, lengths = evaluation.frame_prob, evaluation.lengths
    if lengths is None:  # (N, T, M, C)
        lengths = np.full(len(frame_prob), frame_prob.shape[1])
        frame_prob = frame_prob.reshape(-1, *frame_prob.shape[2:])
    said = Probabilities(lengths, frame_prob, evaluation.global_prob, evaluation.video_prob)
    return with_events(said) if dataset.metrics == "accuracy" else said


def score(
    evaluation: Evaluation, dataset: DataSet, reference: Reference, thresholds: Thresholds = DEFAULT
) -> dict[str, float]:
    """The scores that the data set has."""
    said = said_by(evaluation, dataset)
    return all_scores(dataset, said, decide(dataset, said, thresholds), reference)[1]
