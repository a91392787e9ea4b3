"""Train and evaluate an audio-visual video parser: VALOR, VALOR+ or VALOR++, by its flags.

    python main.py --mode train --model_name my_run        (scripts/train_valor.sh has the published settings)
    python main.py --mode test  --model_name my_run

Flags, their defaults and what a run prints are those of the published release (spec, section 4); `--help` lists all.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from utils import cli

if __name__ == "__main__":
    cli.quiet_interrupts()

import numpy as np
import torch
from torch.utils.data import DataLoader

from dataloader import LLPDataset, make_loader
from nets import MMIL_Net
from nets.han import NORM_PLACES
from utils import checkpoint, engine, llp
from utils.cli import InputError
from utils.devices import select_device
from utils.eval_metrics import decide, ten_scores, video_scores
from utils.files import atomic_path, write_json
from utils.randomness import random_state, seed_everything, set_random_state
from utils.report import class_report, score_table
from utils.run_folder import RunFolder, class_file, read_arguments, require_same_arguments
from utils.wandb_log import WandbLog


class ReadOffFiles(int):
    """A published default that gives way to the size found in the feature files; a given value is a plain int."""


def loss_terms(text: str) -> str:
    """argparse type: `video,audio,visual` or a part of it, in that order."""
    terms = [term.strip() for term in text.split(",")]
    unknown = [term for term in terms if term not in engine.LOSS_TERMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown term {unknown[0]!r}, choose from {','.join(engine.LOSS_TERMS)}")
    return ",".join(term for term in engine.LOSS_TERMS if term in terms)


def get_args_parser() -> argparse.ArgumentParser:
    """All flags of a run."""
    parser = cli.ArgumentParser(
        prog="main.py", description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip

    data = parser.add_argument_group("data")
    data.add_argument("--audio_dir", default="./data/feats/vggish", help="audio features")
    data.add_argument("--video_dir", default="./data/feats/res152", help="visual features")
    data.add_argument("--st_dir", default="./data/feats/r2plus1d_18", help="spatio-temporal features")
    data.add_argument("--v_pseudo_data_dir", default="./data/CLIP/segment_pseudo_labels",
                      help="visual segment-level pseudo labels")  # fmt: skip
    data.add_argument("--a_pseudo_data_dir", default="./data/CLAP/segment_pseudo_labels",
                      help="audio segment-level pseudo labels")  # fmt: skip
    data.add_argument("--label_train", default="./data/AVVP_train.csv", help="videos and their event names")
    data.add_argument("--label_val", default="./data/AVVP_val_pd.csv", help="videos to validate on")
    data.add_argument("--label_test", default="./data/AVVP_test_pd.csv", help="videos to test on")
    data.add_argument("--gt_dir", default="./data", help="folder of AVVP_eval_audio.csv, AVVP_eval_visual.csv")
    cli.add_classes_flag(data, default=None, or_else="the run's own copy, or LLP's 25")
    data.add_argument("--exact", action="store_true", help="published order of arithmetic, on raw features (slower)")
    data.add_argument(
        "--num_workers", type=cli.non_negative_int, default=4, help="threads or processes that read files"
    )

    run = parser.add_argument_group("run")
    run.add_argument("--mode", choices=("train", "val", "test"), default="train", help="what to do")
    run.add_argument("--seed", type=cli.seed, default=1, help="seed of all random numbers")
    run.add_argument("--gpu", default="0", help="number of the CUDA device, -1: CPU; without CUDA always the CPU")
    run.add_argument("--model_name", default="MMIL_Net", help="folder of the run in model_save_dir")
    run.add_argument("--model_save_dir", default="models/", help="folder of all runs")
    run.add_argument("--resume", action="store_true", help="continue the run --model_name where it stopped")
    run.add_argument("--save_epochs", action="store_true", help="keep checkpoint_epoch_<e>.pt of every epoch")
    run.add_argument(
        "--log_every",
        type=cli.positive_int,
        default=10,
        help="iterations between lines of iterations.jsonl, and of wandb",
    )
    run.add_argument("--use_wandb", action="store_true", help="log to Weights & Biases, too")
    run.add_argument("--wandb_project_name", default="Baseline", help="Weights & Biases project")
    run.add_argument("--wandb_run_name", help="Weights & Biases name of the run")

    result = parser.add_argument_group("results")
    result.add_argument("--json", type=Path, help="write the ten scores to this file")
    result.add_argument("--save_predictions", type=Path, metavar="DIR",
                        help="val, test: write pred_audio.csv, pred_visual.csv and probabilities.npz")  # fmt: skip
    result.add_argument("--classwise", action="store_true", help="val, test: print the scores of each class, too")

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument("--losses", type=loss_terms, default="video,audio,visual",
                              help="terms of the loss; video alone is the HAN baseline")  # fmt: skip
    optimisation.add_argument("--batch_size", type=cli.positive_int, default=64, help="videos in a batch")
    optimisation.add_argument("--epochs", type=cli.positive_int, default=60, help="passes over the training videos")
    optimisation.add_argument(
        "--optimizer", type=str.lower, choices=("adamw", "adam"), default="adamw", help="update rule"
    )
    optimisation.add_argument("--lr", type=cli.positive_float, default=1e-4, help="learning rate")
    optimisation.add_argument("--grad_norm", type=cli.non_negative_float, default=1.0,
                              help="clip gradients to this L2 norm, 0: do not")  # fmt: skip
    optimisation.add_argument("--weight_decay", type=cli.non_negative_float, default=1e-3, help="weight decay")
    optimisation.add_argument("--beta1", type=cli.unit_float, default=0.5, help="Adam's first beta")
    optimisation.add_argument("--beta2", type=cli.unit_float, default=0.999, help="Adam's second beta")
    optimisation.add_argument("--eps", type=cli.positive_float, default=1e-8, help="Adam's epsilon")
    optimisation.add_argument("--scheduler", choices=("steplr", "warm_up_cos_anneal"), default="steplr",
                              help="learning rate over epochs")  # fmt: skip
    optimisation.add_argument("--stepsize", type=cli.positive_int, default=10, help="steplr: epochs between steps")
    optimisation.add_argument("--gamma", type=cli.positive_float, default=0.1, help="steplr: factor of a step")
    optimisation.add_argument("--warm_up_epoch", type=cli.non_negative_int, default=5,
                              help="warm_up_cos_anneal: epochs of linear warm-up")  # fmt: skip
    optimisation.add_argument("--lr_min", type=cli.non_negative_float, default=1e-6,
                              help="warm_up_cos_anneal: learning rate of the last epoch")  # fmt: skip

    model = parser.add_argument_group("model")
    model.add_argument("--model", choices=("MMIL_Net",), default="MMIL_Net", help="network")
    model.add_argument("--input_v_dim", type=cli.positive_int, default=ReadOffFiles(2048),
                       help="size of a visual feature; if not given, read off the files")  # fmt: skip
    model.add_argument("--input_a_dim", type=cli.positive_int, default=ReadOffFiles(128),
                       help="size of an audio feature; if not given, read off the files")  # fmt: skip
    model.add_argument("--hidden_dim", type=cli.positive_int, default=512, help="width of the network")
    model.add_argument("--nhead", type=cli.positive_int, default=8, help="attention heads, a divisor of hidden_dim")
    model.add_argument("--ff_dim", type=cli.positive_int, default=1024, help="width of the feed-forward blocks")
    model.add_argument("--num_layers", type=cli.positive_int, default=1, help="HAN layers")
    model.add_argument("--norm_where", choices=NORM_PLACES, default="post_norm", help="place of the layer norms")
    return parser


# ------------------------------------------------------------------------------------------------- shared by all modes


def check_args(args: argparse.Namespace) -> None:
    """What argparse cannot check by itself, before anything is read."""
    if args.hidden_dim % args.nhead:
        raise InputError(f"--nhead {args.nhead} does not divide --hidden_dim {args.hidden_dim}")
    wrong_mode = ("save_predictions", "classwise") if args.mode == "train" else ("resume", "save_epochs", "use_wandb")
    given = [f"--{name}" for name in wrong_mode if getattr(args, name)]
    if given:
        raise InputError(f"{', '.join(given)} has no meaning with --mode {args.mode}")
    if not args.model_name or Path(args.model_name).is_absolute() or ".." in Path(args.model_name).parts:
        raise InputError(f"--model_name {args.model_name!r}: expected the name of a folder in {args.model_save_dir}")
    cli.require_writable("--json", args.json)
    cli.require_writable("--save_predictions", args.save_predictions, folder=True)


def run_path(args: argparse.Namespace) -> Path:
    """The folder of the run."""
    return Path(args.model_save_dir, args.model_name)


def read_class_names(args: argparse.Namespace) -> tuple[str, ...]:
    """Names of the classes that the run tells apart."""
    return llp.class_names(llp.read_classes(class_file(run_path(args), args.classes)))


def find_files(args: argparse.Namespace, split: llp.Split, terms: Sequence[str], num_classes: int) -> LLPDataset:
    """The data set of a split, not yet loaded, with the pseudo labels of the loss `terms`. Settles feature sizes."""
    dataset = LLPDataset(
        split,
        audio_dir=args.audio_dir,
        video_dir=args.video_dir,
        st_dir=args.st_dir,
        a_pseudo_dir=args.a_pseudo_data_dir if "audio" in terms else None,
        v_pseudo_dir=args.v_pseudo_data_dir if "visual" in terms else None,
        exact=args.exact,
        num_workers=args.num_workers,
        num_classes=num_classes,
    )
    for flag, found, folder in (
        ("input_a_dim", dataset.audio_dim, args.audio_dir),
        ("input_v_dim", dataset.visual_dim, args.video_dir),
    ):
        wanted = getattr(args, flag)
        if isinstance(wanted, ReadOffFiles):
            setattr(args, flag, found)
        elif wanted != found:
            raise InputError(f"{folder}: feature vectors for {split.path} have size {found}, but {flag} is {wanted}")
    return dataset


def build_net(args: argparse.Namespace, num_classes: int) -> MMIL_Net:
    """The network of the flags, freshly initialised."""
    return MMIL_Net(num_classes=num_classes, **net_sizes(args), nhead=args.nhead, norm_where=args.norm_where)


def net_sizes(args: argparse.Namespace) -> dict[str, int]:
    """The flags that are sizes of parameters."""
    names = ("input_a_dim", "input_v_dim", "hidden_dim", "ff_dim", "num_layers")
    return {name: getattr(args, name) for name in names}


def read_truth(gt_dir: str, split: llp.Split, class_names: Sequence[str]) -> llp.Truth:
    """Dense annotations of a split's videos; says once what is odd about the files."""
    truth = llp.read_truth(gt_dir, split.filenames, class_names)
    for line in truth.quirks:
        print(f"note: {line}", file=sys.stderr)
    return truth


def score(evaluation: engine.Evaluation, truth: llp.Truth) -> dict[str, float]:
    """The ten scores of an evaluation."""
    decisions = decide(evaluation.global_prob, evaluation.frame_prob)
    return ten_scores(video_scores(*decisions, truth.audio, truth.visual))


# ------------------------------------------------------------------------------------------------- training


class Session(NamedTuple):
    """What the epochs of a run work on."""

    folder: RunFolder
    device: torch.device
    net: MMIL_Net
    optimizer: torch.optim.Optimizer
    train_loader: DataLoader
    val_loader: DataLoader
    truth: llp.Truth  # of the validation videos
    wandb: WandbLog
    arguments: dict  # plain values, as written to arguments.txt and to checkpoint_last.pt


def train(args: argparse.Namespace, device: torch.device) -> None:
    """Train, validate after each epoch, keep the best weights and everything to resume."""
    folder = RunFolder(run_path(args))
    state = None
    try:
        if args.resume:
            folder.lock()
            class_file(folder.path, args.classes)  # the same classes?
            current = {k: v for k, v in vars(args).items() if not isinstance(v, ReadOffFiles)}
            state = folder.state_to_resume(current | {"device": device.type})
        else:
            folder.require_new()
        if state is None or state["epoch"] < args.epochs:
            state = run_epochs(args, *start_session(args, device, folder, state))
    except KeyboardInterrupt:
        begun = f"go on in {folder.path} with --resume"
        raise KeyboardInterrupt(begun if folder.path.exists() else "nothing was trained yet") from None
    finally:
        folder.unlock()
    report_best(args, folder, state)


def start_session(
    args: argparse.Namespace, device: torch.device, folder: RunFolder, state: dict | None
) -> tuple[Session, dict]:
    """Data, network and optimizer at the point of `state` (None: the start), and the folder made ready to write to."""
    class_names = read_class_names(args)
    splits = [llp.read_split(path, class_names) for path in (args.label_train, args.label_val)]
    truth = read_truth(args.gt_dir, splits[1], class_names)
    data, val_data = (find_files(args, split, args.losses.split(","), len(class_names)) for split in splits)
    data.require_same_layout(val_data)
    if state:  # now with the sizes that were read off the files
        require_same_arguments(state, vars(args) | {"device": device.type}, folder.path)
    data.load()
    val_data.load()
    seed_everything(args.seed)
    net = build_net(args, len(class_names)).to(device)
    optimizer = make_optimizer(args, net)
    arguments = {k: v if isinstance(v, (bool, int, float)) else str(v) for k, v in vars(args).items()}
    wandb = WandbLog.start(args.use_wandb, args.wandb_project_name, args.wandb_run_name, arguments, state)
    if state:
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        set_random_state(state["random"], device)
        folder.cut_logs(state["epoch"])
    else:
        folder.begin(arguments, class_file(folder.path, args.classes), start_over=args.resume)
        state = {"epoch": 0, "iteration": 0, "best_epoch": 0, "best_scores": {}}
    print(f"{folder.path}: {len(data)} training and {len(val_data)} validation videos, on {device}", flush=True)
    loaders = make_loader(data, args.batch_size, shuffle=True), make_loader(val_data, args.batch_size, shuffle=False)
    return Session(folder, device, net, optimizer, *loaders, truth, wandb, arguments), state


def run_epochs(args: argparse.Namespace, session: Session, state: dict) -> dict:
    """Train to the last epoch and return the state then."""
    for epoch in range(state["epoch"] + 1, args.epochs + 1):
        start = time.perf_counter()
        lr = engine.learning_rate(
            epoch, scheduler=args.scheduler, lr=args.lr, epochs=args.epochs, stepsize=args.stepsize, gamma=args.gamma,
            warm_up_epoch=args.warm_up_epoch, lr_min=args.lr_min,
        )  # fmt: skip
        try:
            losses, evaluation = run_epoch(args, session, epoch, lr, state["iteration"])
        except (InputError, RuntimeError) as error:  # a loss that is not finite; no memory left on the GPU
            session.folder.discard_unfinished()
            if isinstance(error, torch.OutOfMemoryError):
                raise InputError(f"{session.device} has too little memory; lower --batch_size") from error
            raise
        scores = score(evaluation, session.truth)
        seconds = time.perf_counter() - start
        print(
            f"Epoch[{epoch}/{args.epochs}](Time:{seconds:.2f} sec)(lr:{lr:.6f}) "
            f"Train Loss: {losses[engine.TOTAL]:.3f} Val Loss: {evaluation.losses[engine.TOTAL]:.3f}  "
            f"Val F: {scores['Seg-type']:.3f}",
            flush=True,
        )
        session.folder.log_epoch({
            "epoch": epoch, "lr": lr, "seconds": seconds,
            **{f"train_{name}": value for name, value in losses.items()},
            **{f"val_{name}": value for name, value in evaluation.losses.items()},
            **scores,
        })  # fmt: skip
        session.wandb.log_epoch(epoch, lr, evaluation.losses, scores)
        state = save_epoch(session, state, epoch, scores, keep=args.save_epochs)
    session.wandb.finish()
    return state


def run_epoch(
    args: argparse.Namespace, session: Session, epoch: int, lr: float, first_iteration: int
) -> tuple[dict[str, float | None], engine.Evaluation]:
    """Train one epoch with learning rate `lr`, then evaluate on the validation videos."""

    def log_iteration(values):
        session.folder.log_iteration({"epoch": epoch, **values})
        session.wandb.log_iteration(epoch, values)

    for group in session.optimizer.param_groups:
        group["lr"] = lr
    terms = args.losses.split(",")
    losses = engine.train_one_epoch(
        session.net, session.train_loader, session.optimizer, device=session.device, terms=terms,
        grad_norm=args.grad_norm, log_iteration=log_iteration, first_iteration=first_iteration,
        log_every=args.log_every, progress=f"Epoch {epoch}/{args.epochs}",
    )  # fmt: skip
    return losses, engine.evaluate(session.net, session.val_loader, device=session.device, terms=terms)


def save_epoch(session: Session, state: dict, epoch: int, scores: dict[str, float], keep: bool) -> dict:
    """Write the checkpoints of a finished epoch and return the new state, which `checkpoint_last.pt` holds."""
    weights = session.net.state_dict()
    if scores["Seg-type"] > state["best_scores"].get("Seg-type", 0):
        state = state | {"best_epoch": epoch, "best_scores": scores}
        checkpoint.save(session.folder.path / checkpoint.BEST, weights)
    if keep:
        checkpoint.save(session.folder.path / checkpoint.epoch_name(epoch), weights)
    state = state | {
        "epoch": epoch,
        "iteration": state["iteration"] + len(session.train_loader),
        "model": weights,
        "optimizer": session.optimizer.state_dict(),
        "random": random_state(session.device),
        "arguments": session.arguments | {"device": session.device.type},
        "working_directory": str(Path.cwd()),
        "wandb_id": session.wandb.id,
    }
    checkpoint.save(session.folder.path / checkpoint.LAST, state)  # last: only now is the epoch finished
    return state


def make_optimizer(args: argparse.Namespace, net: MMIL_Net) -> torch.optim.Optimizer:
    """AdamW, or Adam with weight decay in the gradient."""
    kind = torch.optim.AdamW if args.optimizer == "adamw" else torch.optim.Adam
    return kind(
        net.parameters(), lr=args.lr, betas=(args.beta1, args.beta2), eps=args.eps, weight_decay=args.weight_decay
    )


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


def test(args: argparse.Namespace, device: torch.device) -> None:
    """Evaluate checkpoint_best.pt of a run on the val or test split."""
    path = run_path(args) / checkpoint.BEST
    checkpoint.require(path)
    class_names = read_class_names(args)
    split = llp.read_split(args.label_val if args.mode == "val" else args.label_test, class_names)
    truth = read_truth(args.gt_dir, split, class_names)
    dataset = find_files(args, split, (), len(class_names))
    net = build_net(args, len(class_names))
    # Heads and norm placement cannot be told from the weights, and wrong ones give wrong scores without a word.
    settings = net_sizes(args) | {"nhead": args.nhead, "norm_where": args.norm_where}
    sources = {"input_a_dim": f"that of {args.audio_dir}", "input_v_dim": f"that of {args.video_dir}"}
    checkpoint.load_weights(path, net, settings, sources, recorded=read_arguments(path.parent))

    loader = make_loader(dataset.load(), args.batch_size, shuffle=False)
    evaluation = engine.evaluate(net.to(device), loader, device=device)
    scores = score(evaluation, truth)
    print(f"Annotations: {truth.version}")
    print("Evaluation result:")
    print(score_table({args.mode.capitalize(): scores}))
    audio, visual = decide(evaluation.global_prob, evaluation.frame_prob)
    if args.classwise:
        print(class_report(audio, visual, truth, class_names))
    if args.json:
        write_json(args.json, scores)
    if args.save_predictions:
        filenames = split.filenames
        llp.write_predictions(args.save_predictions, filenames, audio, visual, class_names)
        with atomic_path(args.save_predictions / "probabilities.npz") as tmp, open(tmp, "wb") as file:
            np.savez(file, filename=np.array(filenames), global_prob=evaluation.global_prob,
                     frame_prob=evaluation.frame_prob)  # fmt: skip


def main(args: argparse.Namespace) -> None:
    """Run one mode. Raises InputError for bad input."""
    check_args(args)
    device = select_device(args.gpu, deterministic=True)
    if args.mode == "train":
        train(args, device)
    else:
        test(args, device)


if __name__ == "__main__":
    cli.run(main, get_args_parser())
