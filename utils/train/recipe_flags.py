"""The flags of main.py that say what is learnt: the terms of the loss and the recipes that change them."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from utils.base import flags
from utils.base.errors import InputError
from utils.llp.classes import TEACHER_THRESHOLDS, class_names
from utils.llp.datasets import DataSet, read_class_file
from utils.llp.pseudo_labels import pseudo_labels
from utils.train.losses import LOSS_TERMS, SEGMENT_TERMS
from utils.train.recipe import MODALITIES, SCALES, TARGETS, Recipe, class_weights

MOST_RECOMBINED = 16  # new videos for each video
NAMES = (  # flags that make a recipe, or must fit it
    *("losses", "label_smoothing", "segment_weight", "reweight", "reweight_scale", "mixup", "recombine"),
    *("targets", "a_logits_dir", "v_logits_dir", "label_thresholds", "temperature"),
    *("packed", "batch_size", "published_slots"),
)
CHOICES = [term for term in LOSS_TERMS if term != "mixup"]  # of --losses


def loss_terms(text: str) -> str:
    """argparse type: `video,audio,visual` or other terms of the loss, in the order in which they are added."""
    terms = [term.strip() for term in text.split(",")]
    unknown = [term for term in terms if term not in CHOICES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown term {unknown[0]!r}, choose from {','.join(CHOICES)}")
    return ",".join(term for term in CHOICES if term in terms)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All flags that say what is learnt, and how."""
    _add_recipe_flags(parser)
    add_optimisation_flags(parser)


def _add_recipe_flags(parser: argparse.ArgumentParser) -> None:
    """`--losses`, and what changes the targets and weights of its terms; without them, VALOR."""
    group = parser.add_argument_group("recipe: what is learnt")
    add = group.add_argument
    text = "terms; video alone: weak labels only; video,guided: HAN as published, a video loss of each modality, too"
    add("--losses", type=loss_terms, default="video,audio,visual", help=text)
    text = "guided: the visual video labels become S y + (1 - S) / 2; if not given, 0.9"
    add("--label_smoothing", type=flags.share, metavar="S", help=text)
    text = "soft: sigmoid((logit - threshold) / temperature) of the teachers' logits (UWAV)"
    add("--targets", choices=TARGETS, default="binary", help=text)
    flags.add_logits_flags(group, "labels are made of these instead of the pseudo labels: ")
    text = (
        "class file with the thresholds of the logits (score_pseudo_labels.py --exact_classes); if not given, --classes"
    )
    add("--label_thresholds", type=Path, metavar="FILE", help=text)
    text = "of soft targets; if not given, 2, as in UWAV's release (1 in its paper)"
    add("--temperature", type=flags.positive_float, metavar="T", help=text)
    text = "factor of the audio and the visual term in the sum of the losses"
    add("--segment_weight", type=flags.non_negative_float, default=1.0, metavar="W", help=text)
    text = "weigh segments of classes that a video has by W (1 - r), others by r, the share of positives (UWAV: 0.5)"
    add("--reweight", type=flags.positive_float, metavar="W", help=text)
    text = "one: these weights (UWAV's paper); classes (if not given): times the number of classes, as in its release"
    add("--reweight_scale", choices=SCALES, help=text)
    text = "also learn from mixed segments, with a share drawn from Beta(ALPHA, ALPHA) for each batch (UWAV: 1.7)"
    add("--mixup", type=flags.non_negative_float, metavar="ALPHA", help=text)
    text = "for each video of a batch, SHARE new ones with the sound of one video and the picture of another (MUG: 1)"
    add("--recombine", type=flags.at_most(MOST_RECOMBINED), default=0.0, metavar="SHARE", help=text)


def add_optimisation_flags(parser: argparse.ArgumentParser) -> None:
    """How it is learnt: batches, optimizer and learning rate."""
    positive_int, positive_float, non_negative = flags.positive_int, flags.positive_float, flags.non_negative_float
    add = parser.add_argument_group("optimisation").add_argument
    add("--batch_size", type=positive_int, default=64, help="videos in a batch")
    add("--epochs", type=positive_int, default=60, help="passes over the training videos")
    add("--optimizer", type=str.lower, choices=("adamw", "adam"), default="adamw", help="update rule")
    add("--lr", type=positive_float, default=1e-4, help="learning rate")
    add("--grad_norm", type=non_negative, default=1.0, help="clip gradients to this L2 norm, 0: do not")
    add("--weight_decay", type=non_negative, default=1e-3, help="weight decay")
    add("--beta1", type=flags.unit_float, default=0.5, help="Adam's first beta")
    add("--beta2", type=flags.unit_float, default=0.999, help="Adam's second beta")
    add("--eps", type=positive_float, default=1e-8, help="Adam's epsilon")
    add("--scheduler", choices=("steplr", "warm_up_cos_anneal"), default="steplr", help="learning rate over epochs")
    add("--stepsize", type=positive_int, default=10, help="steplr: epochs between steps")
    add("--gamma", type=positive_float, default=0.1, help="steplr: factor of a step")
    add("--warm_up_epoch", type=flags.non_negative_int, default=5, help="warm_up_cos_anneal: epochs of warm-up")
    add("--lr_min", type=non_negative, default=1e-6, help="warm_up_cos_anneal: learning rate of the last epoch")


def check_recipe(given: Mapping, processes: int) -> None:
    """Raises InputError if the values of NAMES do not fit each other, or several processes."""
    terms, logits = terms_of(given), (given["a_logits_dir"], given["v_logits_dir"])
    soft, segments = given["targets"] == "soft", set(SEGMENT_TERMS) & set(terms)
    uses_targets, segment_terms = segments or "mixup" in terms, "audio or visual among --losses"
    thresholds, has_any = given["label_thresholds"], given["packed"] or any(logits)
    needs = (
        ("--targets soft", soft, uses_targets, segment_terms),
        ("--targets soft", soft, given["packed"] or all(logits), "--a_logits_dir and --v_logits_dir"),
        ("--published_slots", given["published_slots"], not uses_targets, "weak labels alone, --losses video,guided"),
        ("--label_thresholds", thresholds, has_any, "--a_logits_dir, --v_logits_dir"),
        ("--temperature", given["temperature"], soft, "--targets soft"),
        ("--reweight", given["reweight"], segments, segment_terms),
        ("--segment_weight", given["segment_weight"] != 1, segments, segment_terms),
        ("--reweight_scale", given["reweight_scale"], given["reweight"], "--reweight"),
        ("--label_smoothing", given["label_smoothing"] is not None, "guided" in terms, "guided among --losses"),
    )
    for flag, is_given, condition, what in needs:
        if is_given and not condition:
            raise InputError(f"{flag} needs {what}")
    if given["packed"] and any(logits):
        raise InputError("--a_logits_dir and --v_logits_dir have no meaning with --packed, whose own logits are used")
    if given["recombine"] and not round(given["recombine"] * given["batch_size"]):
        what = f"no new video in a batch of {given['batch_size']}"
        raise InputError(f"--recombine {given['recombine']}: gives {what}; expected more, or a larger --batch_size")
    alone = {"--mixup": given["mixup"] is not None, "--recombine": given["recombine"] > 0, "--targets soft": soft}
    if processes > 1 and (found := [flag for flag, is_given in alone.items() if is_given]):
        raise InputError(f"{', '.join(found)}: needs whole batches, so runs in one process, not under torchrun")


def terms_of(given: Mapping) -> tuple[str, ...]:
    """The terms of the loss, keys of LOSS_TERMS, by the values of NAMES."""
    return (*given["losses"].split(","), *(["mixup"] if given["mixup"] is not None else []))


def label_kinds(given: Mapping) -> list[str]:
    """The arrays of labels and logits that a split needs, by the values of NAMES: weak, pseudo_a, logits_a."""
    terms = terms_of(given)
    both = "mixup" in terms or given["recombine"] > 0
    logits = given["targets"] == "soft" or given["label_thresholds"]
    used = [m for term, m in SEGMENT_TERMS.items() if both or term in terms]
    kinds = [f"{'logits' if logits or given[f'{m}_logits_dir'] else 'pseudo'}_{m}" for m in used]
    needs_weak = {"video", "guided"} & set(terms) or given["reweight"] or both or any("logits" in k for k in kinds)
    return [*(["weak"] if needs_weak else []), *kinds]


def read_thresholds(path: Path | None, dataset: DataSet) -> dict[str, np.ndarray]:
    """The teachers' thresholds of a class file, else those of the data set, (C,) float32 by modality.

    Raises InputError if its classes differ.
    """
    classes, names = read_class_file(path, dataset.separator) if path else dataset.classes, dataset.class_names
    if class_names(classes) != names:
        raise InputError(f"{path}: its {len(classes)} classes are not this run's {len(names)}")
    fields = zip(MODALITIES, TEACHER_THRESHOLDS.values(), strict=True)
    return {m: np.array([getattr(c, field) for c in classes], np.float32) for m, field in fields}


def make_recipe(given: Mapping, thresholds: Mapping[str, np.ndarray], split, device: torch.device) -> Recipe:
    """The recipe that the values of NAMES ask for; statistics of --reweight are those of a loaded `split`.

    thresholds: (C,) float32 by modality. split: a SplitData of N videos.
    """

    def binary(m: str) -> np.ndarray:  # (N, T, C), or (S, C) of videos that differ in length
        if f"logits_{m}" not in label_kinds(given):
            return split.whole(f"pseudo_{m}")
        weak, logits = split.whole_weak(m), split.whole(f"logits_{m}")
        if split.rows is None:
            return pseudo_labels(logits, weak, thresholds[m])
        weak = np.repeat(weak, split.rows.lengths.numpy(), axis=0)
        return pseudo_labels(logits[:, None], weak, thresholds[m])[:, 0]

    weights = None
    if given["reweight"]:
        scale = given["reweight_scale"] or SCALES[0]
        used = [m for m in MODALITIES if {f"logits_{m}", f"pseudo_{m}"} & set(label_kinds(given))]
        weights = {m: class_weights(binary(m), given["reweight"], scale) for m in used}
    smoothing, temperature = given["label_smoothing"], given["temperature"]
    defaults = Recipe()
    return Recipe(
        targets=given["targets"],
        thresholds={m: torch.from_numpy(values).to(device) for m, values in thresholds.items()},
        temperature=temperature or defaults.temperature,
        segment_weight=given["segment_weight"],
        weights=weights,
        label_smoothing=defaults.label_smoothing if smoothing is None else smoothing,
        mixup=given["mixup"],
        recombine=given["recombine"],
    )
