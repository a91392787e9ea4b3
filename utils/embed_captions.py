"""Write the texts of the classes in CLAP's and CLIP's space, which the temporal teacher compares its seconds with.

    python utils/embed_captions.py --classes data/classes.yaml --out texts

Written are text_a.npy, (C, 512), and text_v.npy, (C, 768), float32, rows of length 1 in the order of the class file.
The captions are its own, as for the pseudo labels: `This is a sound of ` comes before those of CLAP.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from pathlib import Path

from utils.base import command, flags
from utils.base.files import require_writable
from utils.encoders import CLIP_MODEL

FILES = {"CLAP": "text_a.npy", "CLIP": "text_v.npy"}


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="embed_captions.py", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    flags.add_dataset_flags(parser)
    for kind in FILES:
        text = f"{kind}'s local weights, instead of the published ones"
        add(f"--{kind.lower()}_checkpoint", type=Path, metavar="FILE", help=text)
    add("--clip_model", default=CLIP_MODEL, metavar="NAME", help="in open_clip, or hf-hub:ORG/REPO, local-dir:FOLDER")
    text = "also run with a tokenizer that is not RoBERTa's, such as a synthetic one"
    add("--any_vocabulary", action="store_true", help=text)
    add("--gpu", default="0", help=flags.GPU_HELP)
    return parser


def main(args: argparse.Namespace) -> None:
    """Write both files. Raises InputError for bad input, or if weights cannot be had."""
    from utils.base.devices import network_device  # torch, and encoders: --help does without
    from utils.base.npy import write_npy
    from utils.encoders import load_encoder
    from utils.features.kinds import KINDS
    from utils.llp.datasets import read_dataset

    require_writable("--out", args.out, folder=True)
    classes, device = read_dataset(args.dataset, args.classes).classes, network_device(args.gpu, "fp32")
    options = {"CLAP": {"any_vocabulary": args.any_vocabulary}, "CLIP": {"model": args.clip_model}}
    for name, file in FILES.items():
        key, kind = f"{name.lower()}_checkpoint", KINDS[name]
        encoder = load_encoder(kind, getattr(args, key), device, flag=f"--{key}", **options[name])
        texts = encoder.embed_captions([getattr(c, f"{kind.encoder}_caption") for c in classes])
        write_npy(args.out / file, texts.cpu().numpy())
        print(f"{args.out / file}: {tuple(texts.shape)}")


if __name__ == "__main__":
    command.run(main, get_args_parser())
