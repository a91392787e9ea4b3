"""The largest differences from the published code's values, as a table: what docs/REPRODUCE.md reports.

    python benchmarks/golden_differences.py --llp data --golden tests/golden

Needs LLP's CSVs (the 2024 audio file). Training differences are relative, all others absolute. About two minutes.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from prettytable import PrettyTable

import main as valor
from nets import MMIL_Net
from nets.fast import dropout
from utils.base import command, flags
from utils.llp.annotations import read_reference
from utils.metrics.eval_metrics import ten_scores, video_scores

LOSSES = ("loss_video", "loss_valor_a", "loss_valor_v", "loss_all")
NOT_COMPARABLE = ("fc_frame_att.bias", "fc_av_att.bias", "in_proj_bias")  # no true gradient
OURS_TO_SET = ("use_wandb", "model_name", "mode", "gpu", "wandb_project_name", "wandb_run_name")


def relative(ours: float, theirs: float) -> float:
    """|ours - theirs| / |theirs|."""
    return abs(ours - theirs) / abs(theirs)


def network(golden: Path, name: str) -> dict[str, float]:
    """Initial values, outputs, and the loss and gradient norms of a training step."""
    case, outputs = json.loads((golden / "net.json").read_text())[name], np.load(golden / "net.npz")
    torch.manual_seed(case["init_seed"])
    net = MMIL_Net(**case["args"])
    generator = torch.Generator().manual_seed(case["input_seed"])
    inputs = [torch.randn(shape, generator=generator) for shape in case["input_shapes"]]
    state = net.state_dict()
    initial = max(abs(state[k].double().sum().item() - v["sum"]) for k, v in case["parameters"].items())
    with torch.no_grad():
        found = net.eval()(*inputs)._asdict()
    output = max(np.abs(value.numpy() - outputs[f"{name}/{key}"]).max() for key, value in found.items())
    torch.manual_seed(case["train_forward_seed"])
    trained = net.train()(*inputs)
    loss = trained.global_prob.square().sum() + trained.frame_logits.square().mean()
    loss.backward()
    norms = max(
        abs(p.grad.norm().item() - case["grad_norms"][k]) / max(case["grad_norms"][k], 1e-3)
        for k, p in net.named_parameters()
        if p.grad is not None
    )
    return {
        "initial sums": initial,
        "outputs": output,
        "loss": abs(loss.item() - case["train_loss_value"]),
        "gradient norms": norms,
    }


def metrics(golden: Path, llp_dir: Path) -> dict[str, float]:
    """Scores of 1,849 videos with synthetic predictions, one by one and in total."""
    values = np.load(golden / "metrics.npz")
    shape = tuple(values["shape"])
    audio, visual = (
        np.unpackbits(values[f"pred_{m}"])[: np.prod(shape)].reshape(shape).astype(bool) for m in ("audio", "visual")
    )
    reference = read_reference(llp_dir, values["filename"].tolist())
    ours = video_scores(audio, visual, reference.audio, reference.visual)
    columns = {"a": 0, "v": 1, "event": 2, "av": 3}
    per_video = max(
        np.abs(ours[f"{level}-{kind}"] - 100 * values[key][:, i]).max()
        for level, key in (("Seg", "segment"), ("Event", "event"))
        for kind, i in columns.items()
    )
    total, table = ten_scores(ours), json.loads(str(values["table"]))
    return {"per video": per_video, "ten scores": max(abs(total[name] - table[name]) for name in table)}


def training(expected: dict, name: str, exact: bool) -> dict[str, float]:
    """A whole run in the current folder, which holds `data/`."""
    run, model = expected["runs"][name], f"{name}_{'exact' if exact else 'pooled'}"
    flags = [f"--{k}={v}" for k, v in run["arguments"].items() if k not in OURS_TO_SET]
    flags += ["--gpu=-1", f"--model_name={model}", "--log_every=1", *(["--exact"] if exact else [])]
    parser = valor.get_args_parser()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        valor.main(parser.parse_args(flags))
        test_flags = [f for f in flags if not f.startswith("--log_every")]
        valor.main(parser.parse_args([*test_flags, "--mode=test", "--json=test.json"]))
    folder = Path("models", model)
    steps, epochs = (
        [json.loads(x) for x in (folder / f).read_text().splitlines()] for f in ("iterations.jsonl", "log.jsonl")
    )
    their_steps, their_epochs = ([x for x in run["log"] if key in x] for key in ("iters", "lr"))
    pairs, epoch_pairs = list(zip(steps, their_steps, strict=True)), list(zip(epochs, their_epochs, strict=True))
    weights = torch.load(folder / "checkpoint_best.pt", weights_only=True)
    test = json.loads(Path("test.json").read_text())

    def losses(some):
        return max(relative(a[k], b[f"train {k}"]) for a, b in some for k in LOSSES)

    return {
        "losses, epoch 1": losses([(a, b) for a, b in pairs if b["epoch"] == 1]),
        "losses": losses(pairs),
        "gradient norms": max(relative(a["grad_norm"], b["grad_norm"]) for a, b in pairs),
        "learning rates": max(abs(a["lr"] - b["lr"]) for a, b in epoch_pairs),
        "val losses": max(relative(a[f"val_{k}"], b[f"val {k}"]) for a, b in epoch_pairs for k in LOSSES),
        "val Seg-type": max(abs(a["Seg-type"] - b["Segment-level type F score"]) for a, b in epoch_pairs),
        "checkpoint sums": max(
            relative(weights[k].double().abs().sum().item(), v["abs_sum"])
            for k, v in run["checkpoint_best"].items()
            if not k.endswith(NOT_COMPARABLE) and v["abs_sum"]
        ),
        "test table": max(abs(round(test[k], 2) - v) for k, v in run["test_table"].items()),
    }


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    table = PrettyTable([title, *next(iter(rows.values()))])
    for name, row in rows.items():
        table.add_row([name, *(f"{value:.1e}" if value else "0" for value in row.values())])
    print(table, flush=True)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the comparison."""
    parser = flags.ArgumentParser(prog="golden_differences.py", description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, default="tests/golden", help="golden values")
    parser.add_argument("--llp", type=Path, default="data", help="LLP's CSVs")
    return parser


def main(args: argparse.Namespace) -> None:
    """Compare everything that the folder of golden values holds."""
    golden, llp_dir = args.golden.resolve(), args.llp.resolve()
    cases = json.loads((golden / "net.json").read_text())
    show("network", {name: network(golden, name) for name in cases})
    if (golden / "metrics.npz").is_file():
        show("metrics", {"1,849 videos": metrics(golden, llp_dir)})
    expected = json.loads((golden / "train.json").read_text())
    spec = expected["features"]
    with tempfile.TemporaryDirectory() as folder:
        counts = [x for split in ("train", "val", "test") for x in (f"--{split}", str(spec[split]))]
        generator = [sys.executable, golden / spec["generator"], "data", "--llp", llp_dir, "--seed", str(spec["seed"])]
        subprocess.run([*map(str, generator), *counts], check=True, cwd=folder)
        os.chdir(folder)
        # The golden runs have the masks of torch's own dropout.
        dropout.dropout_mask = lambda shape, p, like: torch.nn.functional.dropout(like.new_ones(shape), p)
        for exact in (True, False):
            title = "training, --exact" if exact else "training, pooled"
            show(title, {name: training(expected, name, exact) for name in expected["runs"]})


if __name__ == "__main__":
    command.run(main, get_args_parser())
