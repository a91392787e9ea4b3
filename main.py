"""Train and evaluate an audio-visual video parser: VALOR, VALOR+, VALOR++, or another one, by its flags.

    python main.py --mode train --model_name my_run      # scripts/train_valor.sh has the published settings
    python main.py --mode test  --model_name my_run --save_predictions predictions

The flags of the published release keep their names and defaults.
"""

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    from utils import _start  # noqa: F401

import numpy as np
import torch

import nets
from dataloader import LLPDataset, PackedDataset, SplitData, make_loader
from nets.fast import for_device
from utils.base import command, devices, flags
from utils.base.distributed import SEED_STRIDE, ProcessGroup, torchrun_rank
from utils.base.errors import InputError
from utils.base.files import require_writable, write_json
from utils.download import published
from utils.features.cache import FEATURE_DTYPES
from utils.features.kinds import LOGITS
from utils.llp.annotations import Reference, write_predictions
from utils.llp.datasets import DataSet
from utils.llp.videos import read_split, with_modalities
from utils.metrics import protocols
from utils.metrics.decision_thresholds import DEFAULT
from utils.metrics.protocols import decide, tables_text
from utils.metrics.tables import class_report, plain_scores
from utils.train import checkpoint, engine, networks, recipe_flags, run_folder, schedule, scoring, seeds, tuned
from utils.train.cuda_graphs import GraphedStep
from utils.train.recipe import MODALITIES
from utils.train.run import Run
from utils.train.step import TrainStep
from utils.train.trackers import Wanted, add_tracker_flags

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
MEMORY_SHARE = 0.7  # of what is available, that a split may take unless --memory_limit says more
EVALUATION_BATCH = 256  # videos
SCHEDULE = ("scheduler", "lr", "epochs", "stepsize", "gamma", "warm_up_epoch", "lr_min")
SIZES = {"input_a_dim": "audio", "input_v_dim": "visual"}  # flag -> the features whose size it is
ST_SIZE = "input_st_dim"  # an argument of the network, without a flag


def get_args_parser() -> argparse.ArgumentParser:
    """All flags of a run."""
    about = {"usage": "main.py [flags]", "description": __doc__}
    parser = flags.ArgumentParser(prog="main.py", allow_abbrev=False, **about)
    positive_int, positive_float = flags.positive_int, flags.positive_float
    data = parser.add_argument_group("data")
    add = data.add_argument
    flags.add_data_flags(data)
    flags.add_gt_dir_flag(data)
    flags.add_dataset_flags(data, of_run=True)
    packed = "features and labels from this file of utils/pack_features.py, instead of the folders and lists above"
    add("--packed", type=Path, metavar="FILE", help=packed)
    add("--exact", action="store_true", help="published order of arithmetic, on raw features (slower)")
    add("--cache_dir", type=Path, default="./data/cache", help="where pooled features are cached")
    add("--no_cache", action="store_true", help="read all feature files each time, and cache nothing")
    dtype = "of pooled features in the cache and in memory; a packed file has its own"
    add("--feature_dtype", choices=FEATURE_DTYPES, default="float32", help=dtype)
    limit = "a larger split is read ahead from the cache or the packed file; if not given, 70 percent of free memory"
    add("--memory_limit", type=positive_float, metavar="GB", help=limit)
    add("--num_workers", type=flags.non_negative_int, default=4, help="threads or processes that read files")

    add = parser.add_argument_group("run").add_argument
    add("--mode", choices=("train", "val", "test"), default="train", help="what to do")
    add("--seed", type=flags.seed, default=1, help="seed of all random numbers")
    several = "train and test a run MODEL_NAME_seedS with each of these seeds; seeds.json has their statistics"
    add("--seeds", type=flags.seed, nargs="+", metavar="S", help=several)
    add("--gpu", default="0", help=flags.GPU_HELP)
    add("--precision", choices=PRECISIONS, default="fp32", help="of matrix products; tf32: 10 bits, on GPUs only")
    add("--experimental", action="store_true", help=networks.EXPERIMENTAL)
    add("--model_name", default=flags.gives_way("MMIL_Net"), help="folder in model_save_dir (default: --model's)")
    add("--model_save_dir", default="models/", help="folder of all runs")
    add("--checkpoint", type=published.model_name, metavar="NAME", help=published.HELP)
    add("--resume", action="store_true", help="continue the run --model_name where it stopped")
    add("--save_epochs", action="store_true", help="keep checkpoint_epoch_<e>.pt of every epoch")
    add("--log_every", type=positive_int, default=10, help="iterations between lines of iterations.jsonl")
    add_tracker_flags(add)

    add = parser.add_argument_group("results").add_argument
    add("--json", type=Path, help="write the ten scores to this file")
    predictions = "val, test: write pred_audio.csv, pred_visual.csv and probabilities.npz"
    add("--save_predictions", type=Path, metavar="DIR", help=predictions)
    tune = "val: choose thresholds by segment-level Type, one of videos and one of segments, or those per class"
    add("--tune_thresholds", nargs="?", const="one", choices=("one", "per_class"), help=tune)
    add("--thresholds", choices=("0.5", "tuned"), default="0.5", help="val, test: of decisions")
    add("--classwise", action="store_true", help="val, test: print the scores of each class, too")

    recipe_flags.add_flags(parser)
    networks.add_network_flags(parser.add_argument_group("model"))
    return parser


def check_args(args: argparse.Namespace) -> DataSet:
    """Settles the flags of the network and of files, and checks what argparse cannot; the run's data set.

    Raises InputError for flags that do not fit.
    """
    if args.checkpoint:
        use_published(args)
    shape = {name: getattr(args, name) for name in networks.SHAPE}
    vars(args).update(dict.fromkeys(shape) | networks.settle(args.model, shape))
    args.model_name = args.model_name if flags.is_given(args.model_name) else args.model
    training = ("resume", "save_epochs", "use_wandb", "tensorboard", "seeds")
    other = ("save_predictions", "classwise") if args.mode == "train" else training
    flags.refuse(args, other, f"--mode {args.mode}")
    if (args.tune_thresholds and args.mode != "val") or (args.thresholds == "tuned" and args.mode == "train"):
        raise InputError("--tune_thresholds belongs to --mode val, and --thresholds tuned to --mode val or test")
    if args.seeds:
        flags.refuse(args, ("json",), "--seeds, which writes seeds.json")
        if len(set(args.seeds)) < len(args.seeds):
            raise InputError(f"--seeds {' '.join(map(str, args.seeds))}: lists one twice")
    if args.mode == "train":
        recipe_flags.check_recipe(recipe_values(args), torchrun_rank()[1])
    if args.exact:
        fast = {"packed": None, "feature_dtype": "float32", "precision": "fp32", "experimental": False}
        flags.refuse(args, [name for name, value in fast.items() if getattr(args, name) != value], "--exact")
        if torchrun_rank()[1] > 1:
            raise InputError("--exact runs in one process, not under torchrun")
        flags.refuse(args, ("memory_limit",), "--exact, which keeps features in their files")
    if not args.model_name or Path(args.model_name).is_absolute() or ".." in Path(args.model_name).parts:
        raise InputError(f"--model_name {args.model_name!r}: expected the name of a folder in {args.model_save_dir}")
    dataset = run_folder.run_dataset(run_path(args), args.dataset, args.classes)
    vars(args).update(dataset.paths(vars(args)))
    if dataset.seconds is None:
        flags.refuse(args, ("exact",), "videos that differ in length")
    if args.packed and args.feature_dtype != "float32":
        raise InputError("--feature_dtype has no meaning with --packed: the file has its own; pack it with that flag")
    require_writable("--json", args.json)
    require_writable("--save_predictions", args.save_predictions, folder=True)
    return dataset


def use_published(args: argparse.Namespace) -> None:
    """Let --checkpoint stand for the folder, the sizes and the features of a published model, unless others are given.

    Raises InputError in training, or if the model cannot be fetched.
    """
    if args.mode == "train":
        raise InputError("--checkpoint tests a published model: add --mode test; --model_name names a run to train")
    usual = published.usual_flags(args.checkpoint, Path(args.model_save_dir))
    vars(args).update({name: value for name, value in usual.items() if not flags.is_given(getattr(args, name))})


def recipe_values(args: argparse.Namespace) -> dict[str, object]:
    """The flags that make the recipe, by name."""
    return {name: getattr(args, name) for name in recipe_flags.NAMES}


def run_path(args: argparse.Namespace) -> Path:
    """The folder of the run."""
    return Path(args.model_save_dir, args.model_name)


def open_split(args: argparse.Namespace, name: str, labels: Sequence[str], dataset: DataSet) -> SplitData:
    """The split `name`, not yet loaded, with the arrays of `labels`: weak, pseudo_a, pseudo_v, logits_a, logits_v.

    Raises InputError if files are missing or do not fit.
    """
    limit = args.memory_limit * 1e9 if args.memory_limit else MEMORY_SHARE * devices.available_memory()
    if args.packed:
        return PackedDataset(args.packed, name, labels, dataset, memory_limit=limit)
    folders = {"audio_dir": args.audio_dir, "video_dir": args.video_dir, "st_dir": args.st_dir}
    for m in MODALITIES:
        folders[f"{m}_pseudo_dir"] = getattr(args, f"{m}_pseudo_data_dir") if f"pseudo_{m}" in labels else None
        folders[f"{m}_logits_dir"] = getattr(args, f"{m}_logits_dir") if f"logits_{m}" in labels else None
    cache = {"cache_dir": None if args.no_cache else args.cache_dir, "feature_dtype": args.feature_dtype}
    reading = {"num_workers": args.num_workers, "memory_limit": limit, "exact": args.exact}
    split = read_split(getattr(args, f"label_{name}"), dataset)
    split = with_modalities(split, dataset) if name == "train" else split
    return LLPDataset(split, **folders, **cache, **reading, dataset=dataset)


def net_settings(args: argparse.Namespace, data: SplitData, num_classes: int) -> dict[str, networks.Setting]:
    """The network, by its name, and its arguments; sizes of features are read off `data`.

    Raises InputError if a flag says another size, or the network cannot take the audio features.
    """
    if args.exact:  # otherwise they are pooled to ten
        networks.require_rows(args.model, data.shapes["audio"][0], data.where("audio"))
    settings = {"model": args.model, "num_classes": num_classes}
    for flag, kind in SIZES.items():
        given, found = getattr(args, flag), data.shapes[kind][1]
        if given not in (None, found):
            where = data.where(kind)
            raise InputError(f"{where}: feature vectors for {data.name} have size {found}, but {flag} is {given}")
        settings[flag] = found
    settings[ST_SIZE] = data.shapes["visual_st"][1]
    return settings | networks.settle(args.model, {name: getattr(args, name) for name in networks.SHAPE})


def build_net(args: argparse.Namespace, settings: dict[str, networks.Setting], device: torch.device) -> nets.Parser:
    """The network on the device, freshly initialised: as published with --exact, else with the device's layers."""
    net = nets.build(**settings).to(device)
    if args.exact:
        return net
    if PRECISIONS[args.precision] == torch.float32 and not args.experimental:
        return for_device(net, device)
    return networks.accelerated(net, settings, PRECISIONS[args.precision], device)


class Data(NamedTuple):
    """What a run reads: loaded once, also for several runs."""

    dataset: DataSet
    train: SplitData
    val: SplitData
    reference: Reference  # of the validation videos
    thresholds: dict[str, np.ndarray]  # of the teachers' logits, (C,) by modality


def load_data(args: argparse.Namespace, device: torch.device, dataset: DataSet) -> Data:
    """The training and validation videos. Raises InputError for missing or bad files."""
    thresholds = recipe_flags.read_thresholds(args.label_thresholds, dataset)
    labels = recipe_flags.label_kinds(recipe_values(args))
    train, val = (open_split(args, name, labels, dataset) for name in ("train", "val"))
    for split in (train, val):
        net_settings(args, split, len(dataset.classes))
    reference = scoring.read_split_reference(args.gt_dir, val, dataset)
    train.require_same_layout(val)
    return Data(dataset, train.load().to(device), val.load().to(device), reference, thresholds)


def train(
    args: argparse.Namespace, device: torch.device, group: ProcessGroup, dataset: DataSet, load: Callable[[], Data]
) -> dict[str, float]:
    """Train, validate after each epoch, keep the best weights and everything to resume; returns the best scores.

    `load` is called once it is clear that there is something to train. Raises InputError for bad input.
    """
    terms, rates = recipe_flags.terms_of(recipe_values(args)), {name: getattr(args, name) for name in SCHEDULE}
    known = {name: value for name, value in vars(args).items() if value is not None or name not in SIZES}
    known |= {"device": device.type, "processes": group.world_size}
    with Run(run_path(args), group, known, args.resume, args.classes, dataset, protocols.best_by(dataset)) as run:
        if run.epoch < args.epochs:
            data = group.rank_zero_first(load)
            net, step = build(args, data, device, group)
            begin(args, run, data, net, step)
            train_loader = make_loader(data.train, args.batch_size, shuffle=True, group=group)
            val_loader = make_loader(data.val, 1 if args.exact else EVALUATION_BATCH, shuffle=False)
            val_recipe = recipe_flags.make_recipe(recipe_values(args), data.thresholds, data.val, device)
        for epoch in range(run.epoch + 1, args.epochs + 1):
            start, lr = time.perf_counter(), schedule.learning_rate(epoch, **rates)
            schedule.set_learning_rate(step.optimizer, lr)
            log = {"log_iteration": functools.partial(run.log_iteration, epoch), "log_every": args.log_every}
            losses = engine.train_one_epoch(
                step, train_loader, terms=terms, **log, first_iteration=run.iteration, progress=run.title(epoch)
            )
            validation = None
            if group.is_rank_zero:
                evaluation = engine.evaluate(net, val_loader, device=device, terms=terms, recipe=val_recipe)
                validation = evaluation.losses, scoring.score(evaluation, dataset, data.reference)
            run.finish_epoch(epoch, len(train_loader), lr, time.perf_counter() - start, losses, validation)
        return run.finish(args.json)


def build(
    args: argparse.Namespace, data: Data, device: torch.device, group: ProcessGroup
) -> tuple[nets.Parser, TrainStep]:
    """The network with its first values, and what trains it."""
    devices.seed_everything(args.seed)
    net = build_net(args, net_settings(args, data.train, len(data.dataset.classes)), device)
    recipe = recipe_flags.make_recipe(recipe_values(args), data.thresholds, data.train, device)
    is_fixed = not args.exact and not recipe.is_random and data.train.rows is None
    graphs = args.experimental and device.type == "cuda" and is_fixed
    adam = {"betas": (args.beta1, args.beta2), "eps": args.eps, "weight_decay": args.weight_decay}
    kernel = {"fused": not args.exact, "capturable": graphs}
    optimizer = schedule.make_optimizer(net, device, args.optimizer, lr=args.lr, **kernel, **adam)
    if group.rank:
        devices.seed_everything((args.seed + group.rank * SEED_STRIDE) % 2**64)  # its own dropout
    kind = GraphedStep if graphs else TrainStep
    settings = {"terms": recipe_flags.terms_of(recipe_values(args)), "recipe": recipe, "grad_norm": args.grad_norm}
    return net, kind(net, optimizer, **settings, device=device, group=group)


def begin(args: argparse.Namespace, run: Run, data: Data, net: nets.Parser, step: TrainStep) -> None:
    """Bring everything to the point where the run stopped, or make its folder; say what is trained, on what."""
    settings = vars(args) | {flag: data.train.shapes[kind][1] for flag, kind in SIZES.items()}
    extra = {"packed_plan": data.train.plan} if args.packed else {}
    if any(kind in LOGITS for kind in recipe_flags.label_kinds(recipe_values(args))):
        extra["teacher_thresholds"] = " ".join(str(x) for values in data.thresholds.values() for x in values)
    wanted = Wanted(args.use_wandb, args.wandb_project_name, args.wandb_run_name, args.tensorboard)
    run.begin(net, step.optimizer, step.device, settings, extra, wanted)
    if not (group := step.group).is_rank_zero:
        return
    where = f"{step.device}" if group.world_size == 1 else f"{group.world_size} processes, {step.device.type}"
    print(f"{run_path(args)}: {len(data.train)} training and {len(data.val)} validation videos, on {where}", flush=True)
    if args.packed:
        print(f"{args.packed}: features of {', '.join(data.train.sources.values())}", flush=True)
    if data.train.columns:
        size = sum(column.size for column in data.train.columns.values()) / 1e9
        print(f"{data.train.name}: {size:.1f} GB, read ahead from the disk", flush=True)


def train_seeds(args: argparse.Namespace, device: torch.device, group: ProcessGroup, dataset: DataSet) -> None:
    """Train, validate and test a run with each of the seeds, on data that is read once; then mean and deviation.

    Raises InputError for bad input.
    """

    def run_of(seed: int) -> argparse.Namespace:
        one = argparse.Namespace(**vars(args) | {"seed": seed, "model_name": f"{args.model_name}_seed{seed}"})
        one.resume = args.resume and run_path(one).is_dir()
        return one

    if group.is_rank_zero and not args.resume:
        for seed in args.seeds:  # now, and not after the others have been trained
            run_folder.RunFolder(run_path(run_of(seed))).require_new()
    load = functools.cache(lambda: load_data(args, device, dataset))
    split = open_split(args, "test", (), dataset)
    reference = scoring.read_split_reference(args.gt_dir, split, dataset)
    scores = {}
    for seed in args.seeds:
        one = run_of(seed)
        if group.is_rank_zero:
            print(f"== seed {seed}", flush=True)
        best = train(one, device, group, dataset, load)
        if group.is_rank_zero and best:
            said = evaluate_best(one, device, dataset, split)
            scores[seed] = {"Val": best, "Test": scoring.score(said, dataset, reference)}
    if group.is_rank_zero:
        print(f"Annotations: {reference.version}")
        print(seeds.report(run_path(args), args.seeds, scores))


def evaluate_best(
    args: argparse.Namespace, device: torch.device, dataset: DataSet, split: SplitData
) -> engine.Evaluation:
    """What checkpoint_best.pt of a run says of a split, which is loaded if it was not before.

    Raises InputError if the checkpoint cannot be used.
    """
    path, settings = run_path(args) / checkpoint.BEST, net_settings(args, split, len(dataset.classes))
    net = build_net(args, settings, device)
    sources = {flag: f"that of {split.where(kind)}" for flag, kind in SIZES.items()}
    # Heads and norm placement cannot be told from the weights, and wrong ones give wrong scores without a word.
    checkpoint.load_weights(path, net, settings, sources, recorded=run_folder.read_arguments(path.parent))
    if not split.memory and not split.columns:
        split.load().to(device)
    loader = make_loader(split, args.batch_size if args.exact else EVALUATION_BATCH, shuffle=False)
    return engine.evaluate(net, loader, device=device)


def test(args: argparse.Namespace, device: torch.device, dataset: DataSet) -> None:
    """Evaluate checkpoint_best.pt of a run on the val or test split. Raises InputError for bad input."""
    checkpoint.require(run_path(args) / checkpoint.BEST)
    split = open_split(args, args.mode, (), dataset)
    reference = scoring.read_split_reference(args.gt_dir, split, dataset)
    evaluation = evaluate_best(args, device, dataset, split)
    thresholds, rows = DEFAULT, {args.mode.capitalize(): scoring.score(evaluation, dataset, reference)}
    said = scoring.said_by(evaluation, dataset)
    print(f"Annotations: {reference.version}")
    if args.tune_thresholds:
        thresholds = tuned.choose(run_path(args), said, dataset, reference, args.tune_thresholds == "per_class")
    elif args.thresholds == "tuned":
        thresholds = tuned.read(run_path(args), len(dataset.classes))
    if thresholds is not DEFAULT:
        rows[f"{args.mode.capitalize()}, tuned"] = scoring.score(evaluation, dataset, reference, thresholds)
        print(f"Tuned decision thresholds: {tuned.describe(run_path(args), thresholds)}")
    print("Evaluation result:")
    print(tables_text(dataset, rows))
    audio, visual = decide(dataset, said, thresholds)
    if args.classwise:
        print(class_report(audio, visual, reference, dataset.class_names, dataset.av_only))
    if args.json:
        chosen = {} if thresholds is DEFAULT else tuned.plain(thresholds)
        write_json(args.json, plain_scores(list(rows.values())[-1]) | chosen)
    if args.save_predictions:
        write_predictions(args.save_predictions, split.filenames, audio, visual, dataset, said)


def main(args: argparse.Namespace) -> None:
    """Run one mode. Raises InputError for bad input."""
    dataset = check_args(args)
    device = devices.select_training_device(args.gpu, args.precision, exact=args.exact)
    if args.mode != "train":
        if torchrun_rank()[0] == 0:
            test(args, device, dataset)
        return
    group = ProcessGroup.init(device.type)
    if args.seeds:
        train_seeds(args, device, group, dataset)
    else:
        train(args, device, group, dataset, lambda: load_data(args, device, dataset))
    group.destroy()


if __name__ == "__main__":
    command.run(main, get_args_parser())
