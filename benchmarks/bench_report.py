"""Time, memory and size of `make_report.py` on a long list, and how long its page takes to open in Chromium.

    python benchmarks/bench_report.py [--videos 100000] [--compare] [--keep DIR]

Names, events and two runs are synthetic. The command is a process of its own, as a user starts it; without Chromium its
page is not opened.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from tests.browser import open_browser
from utils.base import command, flags
from utils.base.files import size_text
from utils.llp.annotations import REFERENCE_FILES, write_predictions
from utils.llp.events import segments_to_events
from utils.make_lookalike import synthetic_events, synthetic_names

ROOT = Path(__file__).resolve().parents[1]
NOISE = {"first": 0.02, "second": 0.01}  # of two seconds of a class
OPENED = """
const done = arguments[0], go = () => {
  const drawn = performance.getEntriesByName('list-drawn')[0];
  drawn ? done([performance.getEntriesByType('navigation')[0].loadEventEnd, drawn.startTime]) : setTimeout(go, 20);
}; go();"""


def write_folder(folder: Path, count: int) -> None:
    """A list of `count` videos, their reference, and two runs."""
    rng = np.random.default_rng(8)
    names = synthetic_names(rng, count)
    reference = np.stack([synthetic_events(rng)[0] for _ in names], axis=1)  # (2, N, C, T)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "videos.csv").write_text("filename\n" + "".join(f"{name}\n" for name in names))
    for modality, segments in zip(REFERENCE_FILES, reference, strict=True):
        events = segments_to_events(segments, names)
        events.to_csv(folder / REFERENCE_FILES[modality], sep="\t", index=False)
    for run, noise in NOISE.items():
        wrong = np.repeat(rng.random((*reference.shape[:-1], 5), np.float32) < noise, 2, axis=-1)
        write_predictions(folder / run, names, *(reference ^ wrong))


def open_page(page: Path) -> None:
    """Print how long the page takes to open, and to change the order of its list."""
    with open_browser(1600, 1000) as driver:
        driver.set_script_timeout(300)
        driver.get("about:blank")
        driver.get(page.as_uri() + "#videos-part")
        loaded, drawn = driver.execute_async_script(OPENED)
        sort = "const t = performance.now(); document.getElementById('direction').click(); return performance.now() - t"
        print(f"load event after {loaded:.0f} ms, first timelines after {drawn:.0f} ms", flush=True)
        print(f"the list turned round in {driver.execute_script(sort):.0f} ms", flush=True)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_report.py", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=flags.positive_int, default=100_000, help="in the list")
    parser.add_argument("--compare", action="store_true", help="a page of two runs")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the files here, and leave them")
    return parser


def main(args: argparse.Namespace) -> None:
    """Write the files, if they are not there, make the page, and open it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        if not (folder / "second").is_dir():
            write_folder(folder, args.videos)
        page = folder / "page.html"
        tool = [sys.executable, ROOT / "utils/make_report.py", "--pred_dir", folder / "first", "--out", page]
        tool += ["--label_csv", folder / "videos.csv", "--gt_dir", folder]
        start = time.perf_counter()
        subprocess.run([*tool, *(["--compare", folder / "second"] if args.compare else [])], check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(f"{args.videos:,} videos: {seconds:.1f} s, {size_text(peak)} at most, page of", end=" ")
        print(size_text(page.stat().st_size), flush=True)
        if shutil.which("chromium") and shutil.which("chromedriver"):
            open_page(page)


if __name__ == "__main__":
    command.run(main, get_args_parser())
