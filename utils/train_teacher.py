"""Train UWAV's temporal teacher, which makes pseudo labels, on videos with dense audio-visual labels such as UnAV-100.

    python utils/train_teacher.py --annotations unav100_annotations.json --classes unav.yaml --audio_dir CLAP \\
        --video_dir CLIP --text_a texts/text_a.npy --text_v texts/text_v.npy

Of each video it reads CLAP's and CLIP's embeddings at any rate, (L, D) float32, and averages them to seconds. The best
epoch is that of the highest segment-level audio-visual F-score on the validation videos. utils/temporal_labels.py then
writes the logits of other videos; utils/embed_captions.py writes the texts. The defaults are the published settings.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import functools
import inspect
import math
import time
from pathlib import Path

import torch

from nets import TemporalTeacher
from utils.base import command, devices, flags
from utils.base.distributed import SINGLE, torchrun_rank
from utils.base.errors import InputError
from utils.features.dense_videos import DenseSplit, read_annotations
from utils.train import checkpoint, engine, networks, recipe_flags, run_folder, schedule, temporal
from utils.train.next_step import command_line
from utils.train.run import Run
from utils.train.trackers import Wanted

DEFAULTS = inspect.signature(TemporalTeacher).parameters
SHAPE = ("hidden_dim", "nhead", "ff_dim", "num_layers", "dropout")
PUBLISHED = {"scheduler": "warm_up_cos_anneal", "epochs": 80, "warm_up_epoch": 10, "lr_min": 1e-5}
SCHEDULE = ("scheduler", "lr", "epochs", "stepsize", "gamma", "warm_up_epoch", "lr_min")


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="train_teacher.py", description=__doc__)
    data = parser.add_argument_group("data")
    add = functools.partial(data.add_argument, type=Path, required=True, metavar="P")
    add("--annotations", help="JSON file of the videos, their subsets, durations and events, in UnAV's form")
    add("--audio_dir", help="CLAP's embeddings, <id>.npy, (L, D) float32")
    add("--video_dir", help="CLIP's embeddings, <id>.npy, (L, D) float32")
    flags.add_text_flags(data)
    flags.add_dataset_flags(data, of_run=True)

    add = parser.add_argument_group("run").add_argument
    add("--seed", type=flags.seed, default=1000, help="seed of all random numbers")
    add("--gpu", default="0", help=flags.GPU_HELP)
    add("--model_name", default="temporal_teacher", help="folder of the run in model_save_dir")
    add("--model_save_dir", default="models/", help="folder of all runs")
    add("--resume", action="store_true", help="continue the run --model_name where it stopped")
    add("--save_epochs", action="store_true", help="keep checkpoint_epoch_<e>.pt of every epoch")
    add("--log_every", type=flags.positive_int, default=10, help="iterations between lines of iterations.jsonl")

    recipe_flags.add_optimisation_flags(parser)
    parser.set_defaults(**PUBLISHED)
    add = parser.add_argument_group("loss").add_argument
    text = "weight of the seconds of a class that "
    add("--w_pos", type=flags.positive_float, default=5.0, help=f"{text}happens in the video")
    add("--w_neg", type=flags.positive_float, default=1.0, help=f"{text}does not")
    add = parser.add_argument_group("model").add_argument
    for name in SHAPE:
        settings = networks.SHAPE[name] | ({"help": "layers of each transformer"} if name == "num_layers" else {})
        add(f"--{name}", default=DEFAULTS[name].default, **settings)
    return parser


def check_args(args: argparse.Namespace) -> None:
    """Raises InputError for flags that do not fit each other, or several processes."""
    if args.hidden_dim % args.nhead:
        raise InputError(f"--nhead {args.nhead} does not divide --hidden_dim {args.hidden_dim}")
    if torchrun_rank()[1] > 1:
        raise InputError("train_teacher.py runs in one process, not under torchrun; start it with python")


def load_data(args: argparse.Namespace, path: Path) -> tuple[dict[str, DenseSplit], dict[str, torch.Tensor]]:
    """Training and validation videos by subset, and the classes' texts, (C, E) each, by argument of the network.

    path: of the run. Raises InputError for missing or bad files.
    """
    names = run_folder.run_dataset(path, args.dataset, args.classes).class_names
    texts = {name: temporal.read_texts(getattr(args, name), len(names)) for name in ("text_a", "text_v")}
    videos = read_annotations(args.annotations, names)
    folders = {"audio": args.audio_dir, "visual": args.video_dir}
    splits = {subset: DenseSplit.read(videos, subset, folders, len(names)) for subset in ("train", "validation")}
    for kind, folder in folders.items():
        sizes = {subset: getattr(split, kind)[0].shape[1] for subset, split in splits.items()}
        if len(set(sizes.values())) > 1:
            raise InputError(f"{folder}: features of {sizes['train']} in train, {sizes['validation']} in validation")
    return splits, texts


def build(
    args: argparse.Namespace, device: torch.device, train: DenseSplit, texts: dict[str, torch.Tensor]
) -> temporal.TeacherStep:
    """The network with its first values, for texts of (C, E), and what trains it."""
    devices.seed_everything(args.seed)
    sizes = {"input_a_dim": train.audio[0].shape[1], "input_v_dim": train.visual[0].shape[1]}
    net = TemporalTeacher(**texts, **sizes, **{name: getattr(args, name) for name in SHAPE}).to(device)
    adam = {"betas": (args.beta1, args.beta2), "eps": args.eps, "weight_decay": args.weight_decay}
    optimizer = schedule.make_optimizer(net, device, args.optimizer, lr=args.lr, fused=True, **adam)
    return temporal.TeacherStep(net, optimizer, (args.w_pos, args.w_neg), grad_norm=args.grad_norm, device=device)


def main(args: argparse.Namespace) -> None:
    """Train, validate after each epoch, keep the best weights and everything to resume.

    Raises InputError for bad input.
    """
    check_args(args)
    device = devices.select_training_device(args.gpu, "fp32", exact=False)
    path, rates = Path(args.model_save_dir, args.model_name), {name: getattr(args, name) for name in SCHEDULE}
    arguments = vars(args) | {"device": device.type}
    dataset = run_folder.run_dataset(path, args.dataset, args.classes)
    with Run(path, SINGLE, arguments, args.resume, args.classes, dataset, best_by=("Seg-av",)) as run:
        if run.epoch < args.epochs:
            splits, texts = load_data(args, path)
            train, val = splits.values()
            step = build(args, device, train, texts)
            run.begin(step.net, step.optimizer, device, vars(args), {}, Wanted())
            print(f"{path}: {len(train)} training and {len(val)} validation videos, on {device}", flush=True)
        for epoch in range(run.epoch + 1, args.epochs + 1):
            start, lr = time.perf_counter(), schedule.learning_rate(epoch, **rates)
            schedule.set_learning_rate(step.optimizer, lr)
            log = {"log_iteration": functools.partial(run.log_iteration, epoch), "log_every": args.log_every}
            batches = train.batches(args.batch_size, shuffle=True)
            losses = engine.train_one_epoch(
                step, batches, terms=(), **log, first_iteration=run.iteration, progress=run.title(epoch)
            )
            val_batches = val.batches(args.batch_size, shuffle=False)
            validation = temporal.evaluate(step.net, val_batches, device, step.weights)
            iterations = math.ceil(len(train) / args.batch_size)
            run.finish_epoch(epoch, iterations, lr, time.perf_counter() - start, losses, validation)
        use = {"checkpoint": path / checkpoint.BEST, "audio_dir": "DIR", "text_a": "FILE", "text_v": "FILE"}
        run.finish(None, [command_line("utils/temporal_labels.py", use)])


if __name__ == "__main__":
    command.run(main, get_args_parser())
