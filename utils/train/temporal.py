"""Training of the temporal teacher: its loss, its step, its validation, its weights.

Source: UWAV (CVPR 2025), section 3.2. Axes: B or N videos, T seconds of the longest one, C classes, E size of a text.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nets import TemporalTeacher
from utils.base import weights as weights_file
from utils.base.errors import InputError
from utils.base.npy import read_npy
from utils.metrics.eval_metrics import SCORE_NAMES, THRESHOLD, event_counts, f_scores, mean_over_classes, segment_counts
from utils.train import checkpoint
from utils.train.losses import LossLog
from utils.train.run_folder import read_arguments
from utils.train.step import TrainStep


def teacher_loss(
    logits_a: Tensor, logits_v: Tensor, labels: Tensor, valid: Tensor, weights: tuple[float, float]
) -> Tensor:
    """Weighted binary cross-entropy of sigmoid(logits_a) sigmoid(logits_v), a scalar; NaN if any of them is NaN.

    The sum over the valid seconds of all videos and over classes is divided by the number of valid seconds and by C.
    A probability of 0 or 1 costs at most 100, and has no gradient.

    Args:
        logits_a, logits_v: (B, T, C) float32. labels: (B, T, C) 0/1, heard and seen. valid: (B, T) 0/1, inside a video.
        weights: of a class that has a positive second in that video, and of another one.
    """
    prob = torch.sigmoid(logits_a) * torch.sigmoid(logits_v)
    weight = torch.where(labels.amax(dim=1, keepdim=True) > 0, *weights) * valid[..., None]  # (B, T, C)
    is_nan = prob.isnan()  # for which torch's function ends the program
    total = F.binary_cross_entropy(prob.masked_fill(is_nan, 0.5), labels, weight, reduction="sum")
    return (total / (labels.shape[-1] * valid.sum())).masked_fill(is_nan.any(), torch.nan)


class TeacherStep(TrainStep):
    """Trains a TemporalTeacher on a batch of `DenseSplit`.

    weights: as in `teacher_loss`. more: arguments of TrainStep.
    """

    def __init__(
        self, net: TemporalTeacher, optimizer: torch.optim.Optimizer, weights: tuple[float, float], **settings
    ):
        super().__init__(net, optimizer, terms=(), **settings)
        self.weights = weights

    def compute_gradients(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Forward and backward, for (B, ...) tensors: the loss and the number of videos, (2,)."""
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.net(batch["audio"], batch["visual"], batch["valid"])
        loss = teacher_loss(*logits, batch["labels"], batch["valid"], self.weights)
        loss.backward()
        return torch.stack([loss.detach(), loss.new_tensor(len(batch["audio"]))])


@torch.no_grad()
def evaluate(
    net: TemporalTeacher, batches: Iterable[Mapping[str, Tensor]], device: torch.device, weights: tuple[float, float]
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """The mean loss over batches of (B, T, ...) tensors, weighted by videos, and the two audio-visual scores, 0 to 100.

    An event is predicted if the product of both probabilities reaches 0.5; no class is excluded. Of the ten scores the
    others are None. Raises InputError if the loss is not finite.
    """
    net.eval()
    log, found, expected = LossLog(()), [], []
    for batch in batches:
        batch = {name: value.to(device) for name, value in batch.items()}
        logits = net(batch["audio"], batch["visual"], batch["valid"])
        log.add(teacher_loss(*logits, batch["labels"], batch["valid"], weights).view(1), len(batch["audio"]))
        prob = torch.sigmoid(logits[0]) * torch.sigmoid(logits[1])
        found.append((prob >= THRESHOLD) & (batch["valid"][..., None] > 0))
        expected.append(batch["labels"] > 0)
    log.read(lambda i: "in validation")
    pair = [torch.cat(parts).transpose(1, 2).cpu().numpy() for parts in (found, expected)]  # (N, C, T)
    counts = {"Seg-av": segment_counts, "Event-av": event_counts}
    scores = {name: float(100 * mean_over_classes(f_scores(count(*pair))).mean()) for name, count in counts.items()}
    return log.means(), dict.fromkeys(SCORE_NAMES) | scores


def read_texts(path: Path, num_classes: int) -> Tensor:
    """Embeddings of the texts of C classes, (C, E) float32, brought to length 1.

    Raises InputError if the file is missing or damaged, or has another number of rows, or a row without direction.
    """
    expected = f"expected texts ({num_classes}, D), a row for each class of --classes"
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file, {expected}; utils/embed_captions.py writes them")
    array = read_npy(path)
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) != num_classes or not array.size:
        raise InputError(f"{path}: holds {array.shape} {array.dtype}, {expected}, floating-point numbers")
    texts = torch.from_numpy(array.astype(np.float32))
    if not torch.isfinite(texts).all() or not texts.norm(dim=1).all():
        raise InputError(f"{path}: holds NaN, infinite values or a row of zeros, {expected}; write the file again")
    return F.normalize(texts, dim=1)


def settings_of(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments of the TemporalTeacher that a state_dict of (...) tensors is of, except heads and dropout.

    Raises KeyError or IndexError if it is of none.
    """
    layers = "a_transformer.encoder.layers."
    return {
        "input_a_dim": weights["proj_a.layers.0.weight"].shape[1],
        "input_v_dim": weights["proj_v.layers.0.weight"].shape[1],
        "hidden_dim": weights["proj_a.layers.1.weight"].shape[0],
        "ff_dim": weights[f"{layers}0.linear1.weight"].shape[0],
        "num_layers": len({n.removeprefix(layers).split(".")[0] for n in weights if n.startswith(layers)}),
    }


def load_teacher(path: Path, text_a: Tensor, text_v: Tensor, nhead: int | None) -> TemporalTeacher:
    """The network of a checkpoint, in evaluation mode, with texts of any classes, (C, E) each.

    nhead: cannot be told from weights. None: what arguments.txt beside them says, else the published number.

    Raises InputError if the file is missing, damaged, or holds no weights of a TemporalTeacher for such texts.
    """
    weights = checkpoint.load(path)
    try:
        settings = settings_of(weights) if checkpoint.is_state_dict(weights) else {}
        sizes = {m: weights[f"final_proj_{m}.layers.1.weight"].shape[0] for m in "av"} if settings else {}
        recorded = nhead or int(read_arguments(Path(path).parent).get("nhead", "0"))
    except (KeyError, IndexError, ValueError):
        settings = {}
    if not settings:
        raise InputError(f"{path}: holds no weights of a temporal teacher; utils/train_teacher.py writes them")
    for (m, size), texts in zip(sizes.items(), (text_a, text_v), strict=True):
        if texts.shape[1] != size:
            raise InputError(f"{path}: expects texts of size {size}, but those of --text_{m} have {texts.shape[1]}")
    settings |= {"nhead": recorded} if recorded else {}
    with weights_file.must_fit(path, f"a temporal teacher with {settings}"):
        net = TemporalTeacher(text_a, text_v, **settings)
        net.load_state_dict(weights)
    checkpoint.require_finite(path, weights)
    return net.eval()
