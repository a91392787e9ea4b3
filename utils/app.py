"""A local page into which one drops videos; it shows their events as utils/parse_video.py does.

    python utils/app.py --checkpoint models/model_VALOR++/checkpoint_best.pt --out events

The networks are loaded once. Videos are parsed one after another, also those of several tabs, and each gets the files
that utils/parse_video.py writes. Only this machine reaches the page, unless --host says otherwise. It needs gradio:
pip install -r requirements-app.txt. docs/PARSING.md says more.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import errno
import importlib.util
import ipaddress
import os
import socket
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_room_for_files, require_writable
from utils.parse import flags as parse_flags

HOST, PORT = "127.0.0.1", 7860


def port_number(text: str) -> int:
    """argparse type: a port that any user may open."""
    number = flags.positive_int(text)
    if not 1024 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1024 to {2**16 - 1}")
    return number


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    args_parser = flags.ArgumentParser(prog="app.py", description=__doc__)
    parse_flags.add_parser_flags(args_parser, required=True)
    text = "folder of the results, all of which the page lists (default: a temporary one, which is removed at the end)"
    args_parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    parse_flags.add_event_flags(args_parser.add_argument_group("events"))
    add = args_parser.add_argument_group("the page").add_argument
    text = "the address to open the page at; any but this machine's own lets others upload videos and see all results"
    add("--host", default=HOST, metavar="ADDRESS", help=text)
    add("--port", type=port_number, default=PORT, metavar="N", help="the port to open it at")
    parse_flags.add_network_flags(args_parser)
    return args_parser


def require_free(host: str, port: int) -> bool:
    """Whether only this machine reaches an address. Raises InputError if nothing can be opened at it."""
    expected = f"expected an address of this machine, such as {HOST}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise InputError(f"--host {host}: {error.strerror}; {expected}") from error
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise InputError(f"--port {port}: is in use; end what uses it, or choose another") from error
                raise InputError(f"--host {host}: {error.strerror}; {expected}") from error
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def main(args: argparse.Namespace) -> None:
    """Show the page until Ctrl-C. Raises InputError for bad input, or without gradio."""
    if importlib.util.find_spec("gradio") is None:
        raise InputError("utils/app.py needs gradio: pip install -r requirements-app.txt")
    require_writable("--out", args.out, folder=True)
    require_room_for_files("--out", args.out)
    if not require_free(args.host, args.port):
        text = f"--host {args.host}: anyone who reaches this machine can upload videos to it and see all results"
        print(f"warning: {text}", file=sys.stderr)
    from utils.parse.results import results_folder

    with results_folder(args.out) as (results, uploads):
        video_parser = parse_flags.load_parser(args)
        # read by gradio: it sends nothing to its makers, and asks no proxy for a page of this machine
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(uploads), "no_proxy": "*"}
        from utils.parse.app import App

        end = "" if args.out else ", which is removed at the end; --out DIR keeps them"
        print(f"results are written to {results.folder}{end}")
        App(video_parser, results, args.hop or 10, args.threshold, args.spectrogram).serve(args.host, args.port)


if __name__ == "__main__":
    command.run(main, get_args_parser())
