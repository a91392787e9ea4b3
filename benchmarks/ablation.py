"""Which recipe helps, and which is a decision threshold in disguise: every recipe and network, over seeds.

    python benchmarks/ablation.py --out ablation                     two simulated worlds, about an hour on two cores
    bash scripts/ablation.sh                                         LLP itself, at the published sizes

Each row of RECIPES is trained with each seed, on the same videos as the others; a seed of a simulated world also draws
the videos. The best epoch is chosen on val as main.py does, by segment-level Type at 0.5. Its weights are scored on
test at 0.5 and 0.5, and at the two thresholds that are the best on val. `runs.jsonl` has every run: a command that was
stopped goes on where it was. At the end, or with --report alone, `ablation.md` and `ablation.png` are written: means
over seeds and worlds, and 95 % paired bootstrap intervals of the difference from VALOR.
"""

import argparse
import copy
import functools
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Self

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch

import main as valor
from benchmarks import training_data
from benchmarks.ablation_report import RUNS, read_runs, write_report
from dataloader import SplitData, make_loader
from utils.base import command, devices, flags
from utils.base.distributed import SINGLE
from utils.base.files import append_line
from utils.features.kinds import LOGITS, STREAMS
from utils.llp.annotations import Reference
from utils.llp.datasets import LLP
from utils.metrics.decision_thresholds import Thresholds, choose_thresholds
from utils.simulation.scores import posterior_scores, posterior_thresholds, teacher_scores
from utils.simulation.world import WORLDS, Videos, World
from utils.train import engine, recipe_flags, schedule, scoring

SOFT, WEIGHTS, MIXUP = ["--targets=soft"], ["--reweight=0.5"], ["--mixup=1.7"]
RECIPES = {  # name -> flags of main.py
    "VALOR": [],
    "weak labels (video)": ["--losses=video"],
    "HAN (video, guided)": ["--losses=video,guided"],
    "VALOR, segment losses x 3": ["--segment_weight=3"],
    "VALOR, segment losses x 12": ["--segment_weight=12"],
    "soft targets": SOFT,
    "re-weighting, paper's scale": [*WEIGHTS, "--reweight_scale=one"],
    "re-weighting, release's scale": WEIGHTS,
    "mixup": MIXUP,
    "recombination": ["--recombine=1"],
    "soft + re-weighting": [*SOFT, *WEIGHTS],
    "soft + mixup": [*SOFT, *MIXUP],
    "UWAV's recipe (soft + re-weighting + mixup)": [*SOFT, *WEIGHTS, *MIXUP],
    "segment losses x 12 + recombination": ["--segment_weight=12", "--recombine=1"],
    "MM_Pyramid, VALOR": ["--model=MM_Pyramid"],
    "MM_Pyramid, UWAV's recipe": ["--model=MM_Pyramid", *SOFT, *WEIGHTS, *MIXUP],
    "UWAV, VALOR": ["--model=UWAV"],
    "UWAV, UWAV's recipe": ["--model=UWAV", *SOFT, *WEIGHTS, *MIXUP],
}
LABELS, BOUND = "the teachers' labels", "the true posterior of the labels"  # simulated worlds alone
TRUTH = "VALOR, taught by the true labels"
SMALL = {  # sizes for simulated worlds, by network
    "MMIL_Net": ["--hidden_dim=128", "--nhead=4", "--ff_dim=128", "--num_layers=1"],
    "MM_Pyramid": ["--hidden_dim=128", "--nhead=4", "--ff_dim=128", "--num_layers=4"],
    "UWAV": ["--hidden_dim=128", "--nhead=4", "--ff_dim=256", "--num_layers=5"],
}
COUNTS = {"train": 1500, "val": 300, "test": 800}


class SimulatedSplit(SplitData):
    """Simulated videos in memory, with all that any recipe needs. perfect: the teachers say the truth."""

    def __init__(self, videos: Videos, perfect: bool = False):
        super().__init__("simulated videos", videos.filenames, np.inf)
        pseudo = videos.tracks.transpose(0, 1, 3, 2) if perfect else videos.pseudo
        features = dict(zip(("audio", "visual", "visual_st"), videos.features.values(), strict=True))
        arrays = features | {"weak": videos.weak.astype(np.float32)}
        for i, m in enumerate("av"):
            arrays |= {f"pseudo_{m}": pseudo[:, i].astype(np.uint8), f"logits_{m}": videos.logits[:, i]}
        self.memory = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        self.shapes = {name: tuple(value.shape[1:]) for name, value in self.memory.items()}
        self.places = dict.fromkeys(arrays, Path("simulated"))

    def only(self, labels: list[str]) -> Self:
        """The same videos with these labels, as `open_split` would load them."""
        split = copy.copy(self)
        split.memory = {name: self.memory[name] for name in (*STREAMS, *labels)}
        return split


def parse(name: str, settings: argparse.Namespace, seed: int) -> argparse.Namespace:
    """The flags of a row of the table, as main.py has them."""
    recipe = RECIPES.get(name, [])
    model = next((flag.removeprefix("--model=") for flag in recipe if flag.startswith("--model=")), "MMIL_Net")
    places = training_data.file_flags("VALOR", settings.data) if settings.data else []
    if settings.data and "--targets=soft" in recipe:
        places += [f"--{m}_logits_dir={settings.data / LOGITS[f'logits_{m}']}" for m in "av"]
    rates = [f"--epochs={settings.epochs}", f"--lr={settings.lr}", f"--warm_up_epoch={max(1, settings.epochs // 6)}"]
    rates += ["--scheduler=warm_up_cos_anneal", f"--gpu={settings.gpu}", f"--seed={seed}"]
    sizes = [] if settings.data else SMALL[model]
    args = valor.get_args_parser().parse_args([*map(str, places), *sizes, *rates, *recipe])
    if not settings.data:
        args.packed = Path("simulated")  # as a packed file does, these data have logits, too
    valor.check_args(args)
    return args


def train(args: argparse.Namespace, data: valor.Data, test: SplitData, reference: Reference) -> dict:
    """Train one row of the table and score it; reference: of the test videos."""
    device = devices.select_training_device(args.gpu, args.precision, exact=False)
    net, step = valor.build(args, data, device, SINGLE)
    loader = make_loader(data.train, args.batch_size, shuffle=True)
    loaders = [make_loader(split, valor.EVALUATION_BATCH, shuffle=False) for split in (data.val, test)]
    best, weights, seconds = -1.0, {}, []
    terms, rates = recipe_flags.terms_of(valor.recipe_values(args)), {key: getattr(args, key) for key in valor.SCHEDULE}
    for epoch in range(1, args.epochs + 1):
        schedule.set_learning_rate(step.optimizer, schedule.learning_rate(epoch, **rates))
        log = {"log_iteration": lambda values: None, "log_every": 10**9, "first_iteration": 1, "progress": None}
        start = time.process_time()
        engine.train_one_epoch(step, loader, terms=terms, **log)
        seconds.append(time.process_time() - start)
        found = scoring.score(engine.evaluate(net, loaders[0], device=device), LLP, data.reference)["Seg-type"]
        if found > best:
            best, weights = found, {key: value.clone() for key, value in net.state_dict().items()}
    net.load_state_dict(weights)
    val, tested = (engine.evaluate(net, loader, device=device) for loader in loaders)
    thresholds, _ = choose_thresholds(val.global_prob, val.frame_prob, data.reference.audio, data.reference.visual)
    return {
        "at 0.5": scoring.score(tested, LLP, reference),
        "tuned": scoring.score(tested, LLP, reference, thresholds),
        "thresholds": list(thresholds),
        "seconds": float(np.median(seconds)),
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def simulated(world: str, seed: int) -> tuple[dict[bool, valor.Data], SplitData, Reference, dict]:
    """Data of a world, with its teachers and with perfect ones; the test split; what teachers and posterior score."""
    source = World(WORLDS[world], seed=seed)
    videos = {split: source.videos(split, count) for split, count in COUNTS.items()}
    references = {split: Reference(*videos[split].tracks.transpose(1, 0, 2, 3), "simulated", []) for split in COUNTS}
    thresholds = dict(zip("av", source.thresholds.astype(np.float32), strict=True))
    data = {}
    for perfect in (False, True):
        train, val = (SimulatedSplit(videos[split], perfect) for split in ("train", "val"))
        data[perfect] = valor.Data(LLP, train, val, references["val"], thresholds)
    tracks = videos["test"].tracks
    val, found = (source.posterior(videos[split].features) for split in ("val", "test"))
    tuned = posterior_thresholds(videos["val"].tracks, val)
    bounds = {
        LABELS: {"at 0.5": teacher_scores(tracks, videos["test"].pseudo)},
        BOUND: {
            "at 0.5": posterior_scores(tracks, found, Thresholds()),
            "tuned": posterior_scores(tracks, found, tuned),
        },
    }
    return data, SimulatedSplit(videos["test"]), references["test"], bounds


def simulated_runs(settings: argparse.Namespace, world: str, seed: int, done: set[str]) -> Iterator[tuple[str, dict]]:
    """The rows of the table that are not done, on videos of a world."""
    data, test, reference, bounds = simulated(world, seed)
    yield from (item for item in bounds.items() if item[0] not in done)
    for name in [*RECIPES, TRUTH]:
        if name not in done:
            args, given = parse(name, settings, seed), data[name == TRUTH]
            labels = recipe_flags.label_kinds(valor.recipe_values(args))
            given = given._replace(train=given.train.only(labels), val=given.val.only(labels))
            yield name, train(args, given, test, reference)


def real_runs(settings: argparse.Namespace, world: str, seed: int, done: set[str]) -> Iterator[tuple[str, dict]]:
    """The rows of the table that are not done, on LLP."""
    for name in [name for name in RECIPES if name not in done]:
        args = parse(name, settings, seed)
        test = valor.open_split(args, "test", (), LLP).load()
        reference = valor.scoring.read_split_reference(args.gt_dir, test, LLP)
        device = devices.select_training_device(args.gpu, args.precision, exact=False)
        yield name, train(args, valor.load_data(args, device, LLP), test, reference)


def run(settings: argparse.Namespace, place: tuple[str, int]) -> None:
    """All rows of the table for one world and seed; each is written down when it is done."""
    torch.set_num_threads(settings.threads)
    world, seed = place
    done = {line["name"] for line in read_runs(settings.out) if (line["world"], line["seed"]) == place}
    for name, result in (real_runs if settings.data else simulated_runs)(settings, world, seed, done):
        append_line(settings.out / RUNS, json.dumps({"world": world, "seed": seed, "name": name, **result}))
        print(f"{world}, seed {seed}, {name}: {result['at 0.5']['Seg-type']:.2f}", flush=True)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the study."""
    parser = flags.ArgumentParser(prog="ablation.py", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default="ablation", help="folder of the results")
    add("--data", type=Path, metavar="DIR", help="LLP's folder, at the published sizes; if not given, simulated worlds")
    add("--seeds", type=flags.positive_int, default=5, help="of each world")
    add("--epochs", type=flags.positive_int, default=20, help="of each run")
    add("--lr", type=flags.positive_float, default=2e-3, help="learning rate of all")
    add("--gpu", default="-1", help=flags.GPU_HELP)
    add("--jobs", type=flags.positive_int, default=2, help="runs at a time")
    add("--threads", type=flags.positive_int, default=1, help="of each run")
    add("--report", action="store_true", help="train nothing, write the table and figure of the runs that are there")
    return parser


def main(settings: argparse.Namespace) -> None:
    """Train what is missing, then write the report. Raises InputError for bad input."""
    settings.out.mkdir(parents=True, exist_ok=True)
    worlds = ["LLP"] if settings.data else list(WORLDS)
    places = [(world, seed) for seed in range(1, settings.seeds + 1) for world in worlds]
    if not settings.report:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(settings.jobs, mp_context=context) as pool:
            list(pool.map(functools.partial(run, settings), places))
    print(write_report(settings.out, [*RECIPES, TRUTH]))


if __name__ == "__main__":
    command.run(main, get_args_parser())
