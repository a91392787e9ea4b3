"""Train and evaluate an audio-visual video parser: VALOR, VALOR+ or VALOR++, by its flags.

    python main.py --mode train --model_name my_run        (scripts/train_valor.sh has the published settings)
    python main.py --mode test  --model_name my_run

Flags, their defaults and what a run prints are those of the published release (spec, section 4); `--help` lists all.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dataloader import LLPDataset, PackedDataset, SplitData, make_loader
from nets import MMIL_Net
from nets.han import NORM_PLACES
from utils.base import command, flags
from utils.base.devices import (
    available_memory,
    gpu_of_this_process,
    keep_large_blocks,
    random_state,
    seed_everything,
    select_device,
    set_random_state,
)
from utils.base.distributed import SEED_STRIDE, ProcessGroup, torchrun_rank
from utils.base.errors import InputError
from utils.base.files import atomic_path, require_writable, write_json
from utils.features.cache import FEATURE_DTYPES
from utils.llp.annotations import Reference, read_reference, write_predictions
from utils.llp.classes import read_class_names
from utils.llp.videos import read_split
from utils.metrics.eval_metrics import binarize, ten_scores, video_scores
from utils.metrics.tables import class_report, score_table
from utils.train import checkpoint, seeds
from utils.train.cuda_graphs import GraphedStep
from utils.train.engine import Evaluation, evaluate, train_one_epoch
from utils.train.losses import LOSS_TERMS, TOTAL
from utils.train.run_folder import RunFolder, class_file, plain, read_arguments, require_same_arguments
from utils.train.schedule import learning_rate, make_optimizer, place_learning_rate, set_learning_rate
from utils.train.step import TrainStep
from utils.train.wandb_log import WandbLog

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
MEMORY_SHARE = 0.7  # of what is available, that a split may take unless --memory_limit says more
EVALUATION_BATCH = 256  # videos


class ReadOffFiles(int):
    """A published default that gives way to the size found in the feature files; a given value is a plain int."""


def loss_terms(text: str) -> str:
    """argparse type: `video,audio,visual` or a part of it, in that order."""
    terms = [term.strip() for term in text.split(",")]
    unknown = [term for term in terms if term not in LOSS_TERMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown term {unknown[0]!r}, choose from {','.join(LOSS_TERMS)}")
    return ",".join(term for term in LOSS_TERMS if term in terms)


def get_args_parser() -> argparse.ArgumentParser:
    """All flags of a run."""
    parser = flags.ArgumentParser(prog="main.py", description=__doc__.splitlines()[0], allow_abbrev=False)

    data = parser.add_argument_group("data")
    flags.add_data_flags(data)
    data.add_argument("--gt_dir", default="./data", help="folder of AVVP_eval_audio.csv, AVVP_eval_visual.csv")
    flags.add_classes_flag(data, default=None, or_else="the run's own copy, or LLP's 25")
    data.add_argument(
        "--packed",
        type=Path,
        metavar="FILE",
        help="features and labels from this file of utils/pack_features.py, instead of the folders and lists above",
    )
    data.add_argument("--exact", action="store_true", help="published order of arithmetic, on raw features (slower)")
    data.add_argument("--cache_dir", type=Path, default="./data/cache", help="where pooled features are kept")
    data.add_argument("--no_cache", action="store_true", help="read all feature files each time, and keep nothing")
    data.add_argument(
        "--feature_dtype",
        choices=FEATURE_DTYPES,
        default="float32",
        help="of pooled features in the cache and in memory; a packed file has its own",
    )
    data.add_argument(
        "--memory_limit",
        type=flags.positive_float,
        metavar="GB",
        help="a split that is larger is read ahead from the cache or the packed file; if not given, 70 "
        "percent of the memory that is available",
    )
    data.add_argument(
        "--num_workers", type=flags.non_negative_int, default=4, help="threads or processes that read files"
    )

    run = parser.add_argument_group("run")
    run.add_argument("--mode", choices=("train", "val", "test"), default="train", help="what to do")
    run.add_argument("--seed", type=flags.seed, default=1, help="seed of all random numbers")
    run.add_argument(
        "--seeds",
        type=flags.seed,
        nargs="+",
        metavar="S",
        help="train a run MODEL_NAME_seedS with each of these seeds, test each, and write seeds.json with "
        "mean and standard deviation of the scores",
    )
    run.add_argument(
        "--gpu",
        default="0",
        help="number of the CUDA device, -1: CPU; without CUDA always the CPU; under torchrun each process has its own",
    )
    run.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of matrix products: float32, on GPUs with 10 bits (tf32), or bfloat16",
    )
    run.add_argument("--model_name", default="MMIL_Net", help="folder of the run in model_save_dir")
    run.add_argument("--model_save_dir", default="models/", help="folder of all runs")
    run.add_argument("--resume", action="store_true", help="continue the run --model_name where it stopped")
    run.add_argument("--save_epochs", action="store_true", help="keep checkpoint_epoch_<e>.pt of every epoch")
    run.add_argument(
        "--log_every",
        type=flags.positive_int,
        default=10,
        help="iterations between lines of iterations.jsonl, and of wandb",
    )
    run.add_argument("--use_wandb", action="store_true", help="log to Weights & Biases, too")
    run.add_argument("--wandb_project_name", default="Baseline", help="Weights & Biases project")
    run.add_argument("--wandb_run_name", help="Weights & Biases name of the run")

    result = parser.add_argument_group("results")
    result.add_argument("--json", type=Path, help="write the ten scores to this file")
    result.add_argument(
        "--save_predictions",
        type=Path,
        metavar="DIR",
        help="val, test: write pred_audio.csv, pred_visual.csv and probabilities.npz",
    )
    result.add_argument("--classwise", action="store_true", help="val, test: print the scores of each class, too")

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument(
        "--losses",
        type=loss_terms,
        default="video,audio,visual",
        help="terms of the loss; video alone is the HAN baseline",
    )
    optimisation.add_argument("--batch_size", type=flags.positive_int, default=64, help="videos in a batch")
    optimisation.add_argument("--epochs", type=flags.positive_int, default=60, help="passes over the training videos")
    optimisation.add_argument(
        "--optimizer", type=str.lower, choices=("adamw", "adam"), default="adamw", help="update rule"
    )
    optimisation.add_argument("--lr", type=flags.positive_float, default=1e-4, help="learning rate")
    optimisation.add_argument(
        "--grad_norm", type=flags.non_negative_float, default=1.0, help="clip gradients to this L2 norm, 0: do not"
    )
    optimisation.add_argument("--weight_decay", type=flags.non_negative_float, default=1e-3, help="weight decay")
    optimisation.add_argument("--beta1", type=flags.unit_float, default=0.5, help="Adam's first beta")
    optimisation.add_argument("--beta2", type=flags.unit_float, default=0.999, help="Adam's second beta")
    optimisation.add_argument("--eps", type=flags.positive_float, default=1e-8, help="Adam's epsilon")
    optimisation.add_argument(
        "--scheduler", choices=("steplr", "warm_up_cos_anneal"), default="steplr", help="learning rate over epochs"
    )
    optimisation.add_argument("--stepsize", type=flags.positive_int, default=10, help="steplr: epochs between steps")
    optimisation.add_argument("--gamma", type=flags.positive_float, default=0.1, help="steplr: factor of a step")
    optimisation.add_argument(
        "--warm_up_epoch", type=flags.non_negative_int, default=5, help="warm_up_cos_anneal: epochs of linear warm-up"
    )
    optimisation.add_argument(
        "--lr_min",
        type=flags.non_negative_float,
        default=1e-6,
        help="warm_up_cos_anneal: learning rate of the last epoch",
    )

    model = parser.add_argument_group("model")
    model.add_argument("--model", choices=("MMIL_Net",), default="MMIL_Net", help="network")
    model.add_argument(
        "--input_v_dim",
        type=flags.positive_int,
        default=ReadOffFiles(2048),
        help="size of a visual feature; if not given, read off the files",
    )
    model.add_argument(
        "--input_a_dim",
        type=flags.positive_int,
        default=ReadOffFiles(128),
        help="size of an audio feature; if not given, read off the files",
    )
    model.add_argument("--hidden_dim", type=flags.positive_int, default=512, help="width of the network")
    model.add_argument("--nhead", type=flags.positive_int, default=8, help="attention heads, a divisor of hidden_dim")
    model.add_argument("--ff_dim", type=flags.positive_int, default=1024, help="width of the feed-forward blocks")
    model.add_argument("--num_layers", type=flags.positive_int, default=1, help="HAN layers")
    model.add_argument("--norm_where", choices=NORM_PLACES, default="post_norm", help="place of the layer norms")
    return parser


# ------------------------------------------------------------------------------------------------- shared by all modes
def check_args(args: argparse.Namespace) -> None:
    """What argparse cannot check by itself, before anything is read."""
    if args.hidden_dim % args.nhead:
        raise InputError(f"--nhead {args.nhead} does not divide --hidden_dim {args.hidden_dim}")
    training = ("resume", "save_epochs", "use_wandb", "seeds")
    refuse(args, ("save_predictions", "classwise") if args.mode == "train" else training, f"--mode {args.mode}")
    if args.seeds:
        refuse(args, ("json",), "--seeds, which writes seeds.json")
        if len(set(args.seeds)) < len(args.seeds):
            raise InputError(f"--seeds {' '.join(map(str, args.seeds))}: lists one twice")
    if args.exact:
        fast = {"packed": None, "feature_dtype": "float32", "precision": "fp32"}
        refuse(args, [name for name, value in fast.items() if getattr(args, name) != value], "--exact")
        if torchrun_rank()[1] > 1:
            raise InputError("--exact runs in one process, not under torchrun")
        refuse(args, ("memory_limit",), "--exact, which keeps features in their files")
    if args.packed and args.feature_dtype != "float32":
        raise InputError("--feature_dtype has no meaning with --packed: the file has its own; pack it with that flag")
    if not args.model_name or Path(args.model_name).is_absolute() or ".." in Path(args.model_name).parts:
        raise InputError(f"--model_name {args.model_name!r}: expected the name of a folder in {args.model_save_dir}")
    require_writable("--json", args.json)
    require_writable("--save_predictions", args.save_predictions, folder=True)


def refuse(args: argparse.Namespace, names: Sequence[str], beside: str) -> None:
    """InputError where any of the flags `names` is given."""
    given = [f"--{name}" for name in names if getattr(args, name)]
    if given:
        raise InputError(f"{', '.join(given)} has no meaning with {beside}")


def run_path(args: argparse.Namespace) -> Path:
    """The folder of the run."""
    return Path(args.model_save_dir, args.model_name)


def run_class_names(args: argparse.Namespace) -> tuple[str, ...]:
    """Names of the classes that the run tells apart."""
    return read_class_names(class_file(run_path(args), args.classes))


def open_split(args: argparse.Namespace, name: str, terms: Sequence[str], class_names: Sequence[str]) -> SplitData:
    """The split `name`, not yet loaded, with the labels of the loss `terms`. Settles feature sizes."""
    limit = args.memory_limit * 1e9 if args.memory_limit else MEMORY_SHARE * available_memory()
    labels = {"video": "weak", "audio": "pseudo_a", "visual": "pseudo_v"}
    if args.packed:
        kinds = [labels[term] for term in terms]
        dataset = PackedDataset(args.packed, name, kinds, class_names, memory_limit=limit)
    else:
        dataset = LLPDataset(
            read_split(getattr(args, f"label_{name}"), class_names),
            audio_dir=args.audio_dir,
            video_dir=args.video_dir,
            st_dir=args.st_dir,
            a_pseudo_dir=args.a_pseudo_data_dir if "audio" in terms else None,
            v_pseudo_dir=args.v_pseudo_data_dir if "visual" in terms else None,
            exact=args.exact,
            num_workers=args.num_workers,
            num_classes=len(class_names),
            cache_dir=None if args.no_cache else args.cache_dir,
            feature_dtype=args.feature_dtype,
            memory_limit=limit,
        )
    for flag, kind in (("input_a_dim", "audio"), ("input_v_dim", "visual")):
        wanted, found = getattr(args, flag), dataset.shapes[kind][1]
        if isinstance(wanted, ReadOffFiles):
            setattr(args, flag, found)
        elif wanted != found:
            where = dataset.where(kind)
            raise InputError(f"{where}: feature vectors for {dataset.name} have size {found}, but {flag} is {wanted}")
    return dataset


def build_net(args: argparse.Namespace, num_classes: int, device: torch.device) -> MMIL_Net:
    """The network of the flags, freshly initialised."""
    net = MMIL_Net(num_classes=num_classes, **net_sizes(args), nhead=args.nhead, norm_where=args.norm_where)
    if args.exact:
        return net
    return net.use_fast_layers(PRECISIONS[args.precision], published_masks=has_published_masks(args, device))


def has_published_masks(args: argparse.Namespace, device: torch.device) -> bool:
    """Whether dropout must take the numbers that the published code takes; bfloat16 and CUDA take the cheapest."""
    return device.type == "cpu" and args.precision == "fp32"


def net_sizes(args: argparse.Namespace) -> dict[str, int]:
    """The flags that are sizes of parameters."""
    names = ("input_a_dim", "input_v_dim", "hidden_dim", "ff_dim", "num_layers")
    return {name: getattr(args, name) for name in names}


def read_split_reference(gt_dir: str, filenames: Sequence[str], class_names: Sequence[str]) -> Reference:
    """Dense annotations of videos; says once what is odd about the files."""
    truth = read_reference(gt_dir, filenames, class_names)
    for line in truth.issues:
        print(f"note: {line}", file=sys.stderr)
    return truth


def score(evaluation: Evaluation, truth: Reference) -> dict[str, float]:
    """The ten scores of an evaluation."""
    decisions = binarize(evaluation.global_prob, evaluation.frame_prob)
    return ten_scores(video_scores(*decisions, truth.audio, truth.visual))


# ------------------------------------------------------------------------------------------------- training
class Data(NamedTuple):
    """What a run reads: loaded once, also for several runs."""

    class_names: tuple[str, ...]
    train: SplitData
    val: SplitData
    truth: Reference  # of the validation videos


def load_data(args: argparse.Namespace, device: torch.device) -> Data:
    """The training and validation videos."""
    class_names = run_class_names(args)
    train, val = (open_split(args, name, args.losses.split(","), class_names) for name in ("train", "val"))
    truth = read_split_reference(args.gt_dir, val.filenames, class_names)
    train.require_same_layout(val)
    return Data(class_names, train.load().to(device), val.load().to(device), truth)


class Session(NamedTuple):
    """What the epochs of a run work on."""

    folder: RunFolder
    device: torch.device
    processes: ProcessGroup
    net: MMIL_Net
    step: TrainStep
    train_loader: Iterable
    val_loader: Iterable
    truth: Reference
    wandb: WandbLog
    arguments: dict  # plain values, as written to arguments.txt and to checkpoint_last.pt


def train(
    args: argparse.Namespace, device: torch.device, processes: ProcessGroup, data: Callable[[], Data]
) -> dict[str, float]:
    """Train, validate after each epoch, keep the best weights and everything to resume; returns the best scores.

    `data` is called when it is clear that there is something to train.
    """
    folder = RunFolder(run_path(args))
    state = None
    try:
        if not processes.is_first:
            pass  # the first process has the folder
        elif args.resume:
            folder.lock()
            class_file(folder.path, args.classes)  # the same classes?
            current = {k: v for k, v in vars(args).items() if not isinstance(v, ReadOffFiles)}
            state = folder.state_to_resume(current | {"device": device.type, "processes": processes.count})
        else:
            folder.require_new()
        state = processes.of_first(state)
        if state is None or state["epoch"] < args.epochs:
            session, state = start_session(args, device, processes, folder, state, processes.in_turn(data))
            state = run_epochs(args, session, state)
    except KeyboardInterrupt:
        begun = f"go on in {folder.path} with --resume"
        raise KeyboardInterrupt(begun if folder.path.exists() else "nothing was trained yet") from None
    finally:
        folder.unlock()
    if processes.is_first:
        report_best(args, folder, state)
    return state["best_scores"]


def start_session(
    args: argparse.Namespace,
    device: torch.device,
    processes: ProcessGroup,
    folder: RunFolder,
    state: dict | None,
    data: Data,
) -> tuple[Session, dict]:
    """Network and optimizer at the point of `state` (None: the start), and the folder made ready to write to."""
    extra = {"device": device.type, "processes": processes.count}
    if args.packed:
        extra["packed_plan"] = data.train.plan
    if state:  # now with the sizes that were read off the files
        require_same_arguments(state, vars(args) | extra, folder.path)
    seed_everything(args.seed)
    net = build_net(args, len(data.class_names), device).to(device)
    optimizer = make_optimizer(args, net, device)
    if processes.rank:
        seed_everything((args.seed + processes.rank * SEED_STRIDE) % 2**64)  # its own dropout
    arguments = {name: plain(value) for name, value in vars(args).items()}
    wandb = WandbLog()
    if processes.is_first:
        wandb = WandbLog.start(args.use_wandb, args.wandb_project_name, args.wandb_run_name, arguments, state)
    if state:
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        place_learning_rate(optimizer, device)
        set_random_state([state["random"], *state.get("random_of_others", ())][processes.rank], device)
        if processes.is_first:
            folder.cut_logs(state["epoch"])
    else:
        if processes.is_first:
            folder.begin(arguments, class_file(folder.path, args.classes), start_over=args.resume)
        state = {"epoch": 0, "iteration": 0, "best_epoch": 0, "best_scores": {}}
    if processes.is_first:
        print_start(args, folder, data, device, processes)
    kind = GraphedStep if device.type == "cuda" and not args.exact else TrainStep
    step = kind(
        net, optimizer, terms=args.losses.split(","), grad_norm=args.grad_norm, device=device, processes=processes
    )
    loaders = (
        make_loader(data.train, args.batch_size, shuffle=True, group=processes),
        make_loader(data.val, args.batch_size if args.exact else EVALUATION_BATCH, shuffle=False),
    )
    return Session(folder, device, processes, net, step, *loaders, data.truth, wandb, arguments | extra), state


def print_start(
    args: argparse.Namespace, folder: RunFolder, data: Data, device: torch.device, processes: ProcessGroup
) -> None:
    """Say what is trained, on what."""
    where = f"{device}" if processes.count == 1 else f"{processes.count} processes, {device.type}"
    print(f"{folder.path}: {len(data.train)} training and {len(data.val)} validation videos, on {where}", flush=True)
    if args.packed:
        print(f"{args.packed}: features of {', '.join(data.train.sources.values())}", flush=True)
    if data.train.columns:
        size = sum(column.size for column in data.train.columns.values()) / 1e9
        print(f"{data.train.name}: {size:.1f} GB, read ahead from the disk", flush=True)


def run_epochs(args: argparse.Namespace, session: Session, state: dict) -> dict:
    """Train to the last epoch and return the state then."""
    for epoch in range(state["epoch"] + 1, args.epochs + 1):
        start = time.perf_counter()
        lr = learning_rate(
            epoch,
            scheduler=args.scheduler,
            lr=args.lr,
            epochs=args.epochs,
            stepsize=args.stepsize,
            gamma=args.gamma,
            warm_up_epoch=args.warm_up_epoch,
            lr_min=args.lr_min,
        )
        try:
            losses, evaluation = run_epoch(args, session, epoch, lr, state["iteration"])
        except (InputError, RuntimeError) as error:  # a loss that is not finite; no memory left on the GPU
            if session.processes.is_first:
                session.folder.discard_unfinished()
            if isinstance(error, torch.OutOfMemoryError):
                raise InputError(f"{session.device} has too little memory; lower --batch_size") from error
            raise
        scores = {}
        if evaluation:
            scores = score(evaluation, session.truth)
            report_epoch(args, session, epoch, lr, time.perf_counter() - start, losses, evaluation.losses, scores)
        state = save_epoch(session, state, epoch, scores, keep=args.save_epochs)
    session.wandb.finish()
    return state


def report_epoch(args, session: Session, epoch: int, lr: float, seconds: float, losses, val_losses, scores) -> None:
    """Print the published line, and log everything."""
    print(
        f"Epoch[{epoch}/{args.epochs}](Time:{seconds:.2f} sec)(lr:{lr:.6f}) "
        f"Train Loss: {losses[TOTAL]:.3f} Val Loss: {val_losses[TOTAL]:.3f}  "
        f"Val F: {scores['Seg-type']:.3f}",
        flush=True,
    )
    session.folder.log_epoch(
        {
            "epoch": epoch,
            "lr": lr,
            "seconds": seconds,
            **{f"train_{name}": value for name, value in losses.items()},
            **{f"val_{name}": value for name, value in val_losses.items()},
            **scores,
        }
    )
    session.wandb.log_epoch(epoch, lr, val_losses, scores)


def run_epoch(
    args: argparse.Namespace, session: Session, epoch: int, lr: float, first_iteration: int
) -> tuple[dict[str, float | None], Evaluation | None]:
    """Train one epoch with learning rate `lr`; then the first process evaluates on the validation videos."""
    first = session.processes.is_first

    def log_iteration(values):
        if first:
            session.folder.log_iteration({"epoch": epoch, **values})
            session.wandb.log_iteration(epoch, values)

    set_learning_rate(session.step.optimizer, lr)
    terms = args.losses.split(",")
    losses = train_one_epoch(
        session.step,
        session.train_loader,
        terms=terms,
        log_iteration=log_iteration,
        first_iteration=first_iteration,
        log_every=args.log_every,
        progress=f"Epoch {epoch}/{args.epochs}" if first else None,
    )
    if not first:
        return losses, None
    return losses, evaluate(session.net, session.val_loader, device=session.device, terms=terms)


def save_epoch(session: Session, state: dict, epoch: int, scores: dict[str, float], keep: bool) -> dict:
    """Write the checkpoints of a finished epoch and return the new state, which `checkpoint_last.pt` holds."""
    random, *others = session.processes.of_all(random_state(session.device))
    state = state | {"epoch": epoch, "iteration": state["iteration"] + len(session.train_loader)}
    if not session.processes.is_first:
        return state
    weights = session.net.state_dict()
    if scores["Seg-type"] > state["best_scores"].get("Seg-type", 0):
        state = state | {"best_epoch": epoch, "best_scores": scores}
        checkpoint.save(session.folder.path / checkpoint.BEST, weights)
    if keep:
        checkpoint.save(session.folder.path / checkpoint.epoch_name(epoch), weights)
    state = state | {
        "model": weights,
        "optimizer": session.step.optimizer.state_dict(),
        "random": random,
        "arguments": session.arguments,
        "working_directory": str(Path.cwd()),
        "wandb_id": session.wandb.id,
    }
    if others:
        state["random_of_others"] = others
    checkpoint.save(session.folder.path / checkpoint.LAST, state)  # last: only now is the epoch finished
    return state


def report_best(args: argparse.Namespace, folder: RunFolder, state: dict) -> None:
    """Print, and with --json write, the validation scores of the best epoch."""
    if not state["best_epoch"]:
        print(f"{folder.path}: no epoch scored above 0 in Seg-type on validation: there is no {checkpoint.BEST}")
        return
    print(f"Best F scores (at epoch {state['best_epoch']}):")
    print(score_table({"Val": state["best_scores"]}))
    if not (folder.path / checkpoint.BEST).is_file():
        print(f"note: {folder.path / checkpoint.BEST}, which scored this, is no longer there", file=sys.stderr)
    if args.json:
        write_json(args.json, state["best_scores"])


# ------------------------------------------------------------------------------------------------- evaluation
def evaluate_best(
    args: argparse.Namespace, device: torch.device, class_names: Sequence[str], dataset: SplitData
) -> Evaluation:
    """What checkpoint_best.pt of a run says of a split, which is not loaded yet, or is."""
    path = run_path(args) / checkpoint.BEST
    net = build_net(args, len(class_names), device)
    # Heads and norm placement cannot be told from the weights, and wrong ones give wrong scores without a word.
    settings = net_sizes(args) | {"nhead": args.nhead, "norm_where": args.norm_where}
    sources = {
        flag: f"that of {dataset.where(kind)}" for flag, kind in (("input_a_dim", "audio"), ("input_v_dim", "visual"))
    }
    checkpoint.load_weights(path, net, settings, sources, recorded=read_arguments(path.parent))
    if not dataset.memory and not dataset.columns:
        dataset.load().to(device)
    loader = make_loader(dataset, args.batch_size if args.exact else EVALUATION_BATCH, shuffle=False)
    return evaluate(net.to(device), loader, device=device)


def test(args: argparse.Namespace, device: torch.device) -> None:
    """Evaluate checkpoint_best.pt of a run on the val or test split."""
    checkpoint.require(run_path(args) / checkpoint.BEST)
    class_names = run_class_names(args)
    dataset = open_split(args, args.mode, (), class_names)
    filenames = dataset.filenames
    truth = read_split_reference(args.gt_dir, filenames, class_names)
    evaluation = evaluate_best(args, device, class_names, dataset)
    scores = score(evaluation, truth)
    print(f"Annotations: {truth.version}")
    print("Evaluation result:")
    print(score_table({args.mode.capitalize(): scores}))
    audio, visual = binarize(evaluation.global_prob, evaluation.frame_prob)
    if args.classwise:
        print(class_report(audio, visual, truth, class_names))
    if args.json:
        write_json(args.json, scores)
    if args.save_predictions:
        write_predictions(args.save_predictions, filenames, audio, visual, class_names)
        with atomic_path(args.save_predictions / "probabilities.npz") as tmp, open(tmp, "wb") as file:
            np.savez(
                file, filename=np.array(filenames), global_prob=evaluation.global_prob, frame_prob=evaluation.frame_prob
            )


def train_seeds(args: argparse.Namespace, device: torch.device, processes: ProcessGroup) -> None:
    """Train, validate and test a run with each of the seeds, on data that is read once; then mean and deviation."""

    def run_of(seed: int) -> argparse.Namespace:
        one = argparse.Namespace(**vars(args) | {"seed": seed, "model_name": f"{args.model_name}_seed{seed}"})
        one.resume = args.resume and run_path(one).is_dir()
        return one

    if processes.is_first and not args.resume:
        for seed in args.seeds:  # now, and not when the others have been trained
            RunFolder(run_path(run_of(seed))).require_new()
    data = functools.cache(lambda: load_data(args, device))
    class_names = run_class_names(args)
    dataset = open_split(args, "test", (), class_names)
    truth = read_split_reference(args.gt_dir, dataset.filenames, class_names)
    scores = {}
    for seed in args.seeds:
        one = run_of(seed)
        if processes.is_first:
            print(f"== seed {seed}", flush=True)
        best = train(one, device, processes, data)
        if processes.is_first and best:
            scores[seed] = {"Val": best, "Test": score(evaluate_best(one, device, class_names, dataset), truth)}
    if processes.is_first:
        print(f"Annotations: {truth.version}")
        print(seeds.report(run_path(args), args.seeds, scores))


def set_up_device(args: argparse.Namespace) -> torch.device:
    """The device of this process, ready for the chosen precision."""
    device = select_device(gpu_of_this_process(args.gpu), deterministic=True)
    if args.precision == "tf32" and device.type != "cuda":
        raise InputError("--precision tf32: only CUDA devices have it; choose fp32 or bf16")
    torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    if not args.exact:
        keep_large_blocks()
    return device


def main(args: argparse.Namespace) -> None:
    """Run one mode. Raises InputError for bad input."""
    check_args(args)
    device = set_up_device(args)
    if args.mode != "train":
        if torchrun_rank()[0] == 0:
            test(args, device)
        return
    processes = ProcessGroup.start(device)
    if args.seeds:
        train_seeds(args, device, processes)
    else:
        train(args, device, processes, lambda: load_data(args, device))
    processes.stop()


if __name__ == "__main__":
    command.run(main, get_args_parser())
