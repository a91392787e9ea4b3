"""What speed costs in scores: three seeds each of --exact and of the faster ways, on synthetic data.

    python benchmarks/precision_scores.py

Prints mean and standard deviation of the test scores of VALOR and VALOR++ (the published networks, fewer epochs) with
the published arithmetic, with pooled float32, bfloat16 products, and features kept as float16.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from prettytable import PrettyTable

import main as valor
from benchmarks import training_data
from utils.base import command, flags
from utils.make_lookalike import write_synthetic
from utils.train.seeds import FILE

WAYS = {
    "--exact": ("--exact",),
    "float32": (),
    "--precision bf16": ("--precision", "bf16"),
    "--feature_dtype float16": ("--feature_dtype", "float16"),
}
SHOWN = ("Seg-type", "Seg-event", "Event-type", "Event-event")


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="precision_scores.py", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=flags.positive_int, default=12, help="")
    parser.add_argument("--train", type=flags.positive_int, default=400, help="videos")
    parser.add_argument("--seeds", type=flags.seed, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    return parser


def main(args: argparse.Namespace) -> None:
    """Train all, and print."""
    table = PrettyTable(["model", "way", *SHOWN], align="l")
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "data")
        write_synthetic(data, {"train": args.train, "val": 100, "test": 200}, seed=0)
        for model in ("VALOR", "VALOR++"):
            for number, (way, more) in enumerate(WAYS.items()):
                runs = Path(temporary, model, str(number))
                flags = [*training_data.network_flags(model), *training_data.file_flags(model, data), *more]
                flags += ["--warm_up_epoch", "2", "--lr", "3e-4", "--epochs", args.epochs, "--gpu", "-1"]
                flags += ["--model_save_dir", runs, "--seeds", *args.seeds]
                with contextlib.redirect_stdout(io.StringIO()):
                    valor.main(valor.get_args_parser().parse_args(list(map(str, flags))))
                scores = json.loads((runs / FILE).read_text())["test"]
                cells = [f"{scores[name]['mean']:.2f} +- {scores[name]['std']:.2f}" for name in SHOWN]
                table.add_row([model, way, *cells], divider=way == list(WAYS)[-1])
                print(f"{model} {way}: {', '.join(cells)}", file=sys.stderr, flush=True)
    print(table)


if __name__ == "__main__":
    command.run(main, get_args_parser())
