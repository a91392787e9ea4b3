"""What each part of nets/fast gains in a training step, and this checkout's step against that of another one.

    python benchmarks/bench_step.py                          # each part left out in turn
    python benchmarks/bench_step.py --against ../other       # also a checkout of the project at another commit

Each way has a process of its own, and they take turns: a row is the median ratio of the rounds to this checkout's step,
and the shortest step. A batch has 64 videos of random numbers. On a shared machine, --threads 1 --cpu_time (the time of
the process on one core) repeats best.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from prettytable import PrettyTable

from utils.base import command, flags

MODELS = {"VALOR": (128, 2048), "VALOR+": (128, 2048), "VALOR++": (768, 768)}  # sizes of audio and visual features
WAYS = {
    "nets/fast": "",
    "without oneDNN": "linear.has_onednn = lambda: False",
    "without cheap masks": "dropout.dropout_mask = lambda s, p, x: torch.nn.functional.dropout(x.new_ones(s), p)",
    "nets alone": None,
}
# Run in each checkout, of any commit that has benchmarks/bench_train.network_and_step.
WORKER = """
import sys, time
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads({threads})
from benchmarks import bench_train, training_data
flags = training_data.network_flags({model!r})
flags += ["--gpu", "-1", "--precision", {precision!r}, "--input_a_dim", "{audio}", "--input_v_dim", "{visual}"]
args, device = bench_train.parse(*flags), torch.device("cpu")
{patch}
names = ("hidden_dim", "ff_dim", "num_layers", "nhead", "norm_where", "input_a_dim", "input_v_dim")
given = {{name: getattr(args, name) for name in names}}
settings = dict(num_classes=25, **{{name: value for name, value in given.items() if value is not None}})
takes_settings = bench_train.network_and_step.__code__.co_argcount == 3
_, step = bench_train.network_and_step(args, *([settings] if takes_settings else []), device)
try:
    from utils.base.devices import keep_large_blocks
except ImportError:
    from utils.devices import keep_large_blocks
keep_large_blocks()
rows = {{"audio": {audio}, "visual": {visual}, "visual_st": 512}}
batch = {{name: torch.randn(64, 10, size) for name, size in rows.items()}}
labels = {{"weak": (64, 25), "pseudo_a": (64, 10, 25), "pseudo_v": (64, 10, 25)}}
batch |= {{name: (torch.rand(shape) < 0.1).float() for name, shape in labels.items()}}
clock = time.process_time if {cpu_time} else time.perf_counter
def run(steps):
    start = clock()
    for _ in range(steps):
        values = step(batch)
    values.tolist()
    return (clock() - start) / steps
run(30)
time.sleep(5)  # an older checkout may compile in a thread
run(5)
print("ready", flush=True)
for line in sys.stdin:
    print(run(int(line)), flush=True)
"""


def start(root: Path, patch: str | None, model: str, precision: str, args: argparse.Namespace) -> subprocess.Popen:
    """A process that times steps of one way; `patch`: code that leaves a part out, None: the published layers."""
    audio, visual = MODELS[model]
    code = ""
    if patch is None:
        code = "bench_train.valor.accelerate = lambda net, dtype: net"
    elif patch:
        code = f"from nets.fast import dropout, linear\n{patch}"
    text = WORKER.format(
        root=str(root),
        threads=args.threads,
        model=model,
        precision=precision,
        audio=audio,
        visual=visual,
        patch=code,
        cpu_time=args.cpu_time,
    )
    return subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measure(model: str, precision: str, args: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds a step of every way, by round."""
    root = Path(__file__).resolve().parents[1]
    ways = {name: (root, patch) for name, patch in WAYS.items() if patch is not None or precision == "fp32"}
    if args.against:
        ways[str(args.against)] = (args.against.resolve(), "")
    processes = {name: start(*way, model, precision, args) for name, way in ways.items()}
    found = {name: [] for name in ways}
    for process in processes.values():
        if process.stdout.readline().strip() != "ready":
            raise SystemExit("a process failed; its message is above")
    for _ in range(args.rounds):
        for name, process in processes.items():
            process.stdin.write(f"{args.steps}\n")
            process.stdin.flush()
            found[name].append(float(process.stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return found


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_step.py", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="DIR", help="checkout of another commit")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["VALOR", "VALOR++"], help="which")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"], help="which")
    parser.add_argument("--rounds", type=flags.positive_int, default=8, help="of all ways in turn")
    parser.add_argument("--steps", type=flags.positive_int, default=8, help="of a round")
    parser.add_argument("--threads", type=flags.positive_int, default=2, help="of each process")
    parser.add_argument("--cpu_time", action="store_true", help="time of the process instead of the clock")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    began = time.perf_counter()
    table = PrettyTable(["model", "precision", "way", "step, ms (shortest)", "ratio (median)"], align="r")
    for model in args.models:
        for precision in args.precisions:
            found = measure(model, precision, args)
            own = found["nets/fast"]
            for name, times in found.items():
                ratio = median(a / b for a, b in zip(times, own, strict=True))
                table.add_row([model, precision, name, f"{1000 * min(times):.0f}", f"{ratio:.3f}"])
    print(table)
    print(f"{time.perf_counter() - began:.0f} s, {args.threads} threads, {'CPU time' if args.cpu_time else 'clock'}")


if __name__ == "__main__":
    command.run(main, get_args_parser())
