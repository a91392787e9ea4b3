"""Write checkpoints of all networks at full size with synthetic weights, to try the commands without the real ones.

    HF_HOME=DIR/hub HF_HUB_OFFLINE=1 python benchmarks/synthetic_weights.py --out DIR

DIR then holds clip.pt (1.7 GB), clap.pt (0.5 GB), vggish.pt (0.3 GB), res152.pt (0.2 GB), r2plus1d_18.pt (0.1 GB) and
hub, a small stand-in for the Hugging Face cache that laion_clap needs; run the commands with the same two variables.
The outputs of such networks are noise.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from tests import synthetic
from utils.base import command, flags
from utils.encoders import CLIP_MODEL


def write_clip(path: Path) -> None:
    """ViT-L/14 with random weights, as open_clip names them."""
    import open_clip

    torch.manual_seed(0)
    torch.save(open_clip.create_model(CLIP_MODEL, load_weights=False).state_dict(), path)


def write_base(kind: str) -> Callable[[Path], None]:
    """The function that writes one of the networks of the base features."""

    def write(path: Path) -> None:
        torch.save(synthetic.base_module(kind).state_dict(), path)

    return write


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="synthetic_weights.py", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser


def main(args: argparse.Namespace) -> None:
    """Write the missing files."""
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "hub").exists():
        synthetic.write_hub_cache(args.out / "hub")
    base = {f"{kind}.pt": write_base(kind) for kind in synthetic.architectures()}
    for name, write in {"clip.pt": write_clip, "clap.pt": synthetic.write_clap, **base}.items():
        if not (args.out / name).exists():
            write(args.out / name)
        print(args.out / name)


if __name__ == "__main__":
    command.run(main, get_args_parser())
