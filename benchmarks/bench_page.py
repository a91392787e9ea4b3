"""How fluid the page of a long video is: times between frames in Chromium while it is zoomed and scrolled by the wheel.

    python benchmarks/bench_page.py [--seconds 3600 --events 600]

The video's probabilities are synthetic. A frame is asked for as soon as the one before is shown, as a browser does; the
figures are milliseconds between frames, of which a screen of 60 Hz allows 16.7 at best.
"""

import argparse
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from utils.base import command, flags
from utils.llp.classes import CLASS_NAMES, C
from utils.parse.events import ParsedVideo, find_events
from utils.parse.outputs import write_outputs
from utils.parse.sound import SoundPainter

WANTED = 50  # milliseconds
# Zooms in at the middle of the waveform, scrolls, and zooms out; resolves to the times between frames.
WHEEL = """
const done = arguments[0], wave = document.getElementById("wave"), box = wave.getBoundingClientRect(), times = [];
const turn = (deltaY, shiftKey) => wave.dispatchEvent(new WheelEvent("wheel",
  {deltaY, shiftKey, clientX: box.left + box.width / 2, clientY: box.top + 5, bubbles: true, cancelable: true}));
let last = performance.now(), count = 0;
requestAnimationFrame(function frame(now) {
  if (count) times.push(now - last);
  last = now;
  if (count++ === 180) return done(times);
  turn(count < 60 ? -60 : 60, count >= 60 && count < 120);
  requestAnimationFrame(frame);
});
"""


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_page.py", description=__doc__)
    parser.add_argument("--seconds", type=flags.positive_int, default=3600, help="length of the video")
    parser.add_argument("--events", type=flags.positive_int, default=600, help="heard or seen events, at least")
    return parser


def long_video(path: Path, seconds: int, events: int, seed: int = 0) -> ParsedVideo:
    """A video with at least `events` events that are heard or seen, and noise as its sound."""
    rng = np.random.default_rng(seed)
    prob = rng.uniform(0, 0.4, (seconds, 2, C)).astype(np.float32)
    painter = SoundPainter(seconds)
    for start in range(0, seconds, 10):
        painter.add(start, (rng.standard_normal(160_000) * rng.uniform(0.02, 0.3)).astype(np.float32), 16_000)
    about = (np.ones((seconds, C), np.float32), np.ones((seconds, 2), bool), CLASS_NAMES, 10, [])
    video = ParsedVideo(path, float(seconds), np.arange(seconds + 1.0), prob, *about, sound=painter.picture())
    while (find_events(video).modality != "audio_visual").sum() < events:
        for _ in range(20):
            onset = rng.integers(seconds - 3)
            prob[onset : onset + rng.integers(2, 12), rng.integers(2), rng.integers(C)] = rng.uniform(0.5, 1)
    return video


def frame_times(driver, page: Path) -> np.ndarray:
    """Milliseconds between frames, (180,), while a page is zoomed and scrolled."""
    driver.get(page.as_uri())
    return np.array(driver.execute_async_script(WHEEL))


def main(args: argparse.Namespace) -> None:
    """Write the page, open it, print the times."""
    from tests.browser import open_browser

    with tempfile.TemporaryDirectory(prefix="bench-page-") as folder, open_browser(1600, 1000) as driver:
        page = Path(folder, "out/report.html")
        events = write_outputs(page.parent, long_video(Path("long.mp4"), args.seconds, args.events), 0.5, {}, False)
        times = frame_times(driver, page)
    heard_or_seen = (events.modality != "audio_visual").sum()
    print(f"{args.seconds} s, {heard_or_seen} events heard or seen, {len(times)} frames at 1600 x 1000")
    print(
        "milliseconds between frames: " + ", ".join(f"{q} % {np.percentile(times, q):.1f}" for q in (50, 90, 99, 100))
    )
    print(f"wanted under {WANTED}: {(times < WANTED).mean():.1%} of the frames")


if __name__ == "__main__":
    command.run(main, get_args_parser())
