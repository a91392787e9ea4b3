"""utils/app.py in a real browser, with small networks: videos are dropped, queue, and are shown as report.html."""

# ruff: noqa: F811

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.browser import console_errors, emulate, open_browser
from tests.conftest import ROOT
from tests.media_files import make_video
from tests.test_parse_video import small, small_networks, weight_flags  # noqa: F401 (fixtures)
from utils import app
from utils.parse.parser import parse_videos
from utils.parse.results import results_folder

pytest.importorskip("gradio", reason="needs gradio (requirements-app.txt)")
NAME = 'it\'s <b>a "clip" #1 50% é'
PAUSE = 0.4  # seconds that a window takes more, so that its progress can be seen


class Server(NamedTuple):
    """A running app."""

    process: subprocess.Popen
    url: str
    log: Path

    @property
    def results(self) -> Path:
        """The folder that it writes to."""
        [folder] = self.log.parent.glob("valor-app-*")
        return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def usual_flags(small: Path) -> list:
    return ["--checkpoint", small / "VALOR/checkpoint_best.pt", "--gpu", "-1", *weight_flags(small)]


@pytest.fixture(scope="module")
def server(small, tmp_path_factory):
    """The app in a process of its own, as a terminal runs it, with a temporary folder; the last test ends it."""
    folder, port = tmp_path_factory.mktemp("app"), free_port()
    argv = [sys.executable, ROOT / "tests/app_server.py", PAUSE, *usual_flags(small), "--port", port]
    with open(folder / "log.txt", "w") as log:
        streams = {"stdout": log, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(list(map(str, argv)), env=os.environ | {"TMPDIR": str(folder)}, **streams)
    running = Server(process, f"http://127.0.0.1:{port}/", folder / "log.txt")
    try:
        deadline = time.monotonic() + 60
        while "is the page" not in running.log.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.url in running.log.read_text(), running.log.read_text()
        yield running
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "bad.mp4").write_text("no video")
    long, short = make_video(folder / f"{NAME}.mp4", seconds=23), make_video(folder / "short.mp4", seconds=2, sound="")
    return {"long": long, "short": short, "bad": folder / "bad.mp4"}


def drop(driver, *paths: Path) -> None:
    from selenium.webdriver.common.by import By

    wait(driver, "document.querySelector('#drop input[type=file]')")
    driver.find_element(By.CSS_SELECTOR, "#drop input[type=file]").send_keys("\n".join(map(str, paths)))


def wait(driver, condition: str, seconds: float = 30):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, seconds, 0.05).until(lambda d: d.execute_script(f"return {condition}"), condition)


def text(driver, selector: str) -> str:
    return driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)


def listed(driver) -> list[str]:
    return driver.execute_script("return [...document.querySelectorAll('#results label')].map(e => e.innerText.trim())")


def own_errors(driver) -> list[str]:
    """What the console says, but for a warning of Gradio when a stream of events ends."""
    return [message for message in console_errors(driver) if "Method not implemented" not in message]


def test_videos_are_dropped_queue_and_are_shown(server, small, videos, small_networks):
    from selenium.webdriver.common.by import By

    flags = app.get_args_parser().parse_args([str(flag) for flag in usual_flags(small)])
    expected = parse_videos(videos["long"], app.parse_flags.load_parser(flags))
    with open_browser(1300, 900) as driver, open_browser(1300, 900) as other:
        driver.get(server.url)
        drop(driver, videos["long"], videos["bad"], videos["short"])
        wait(driver, "document.getElementById('working').innerText.includes('1/3 windows')")
        assert "%22 #1 50% é.mp4 (1 of 3)" in text(driver, "#working")  # a browser sends a quote as %22
        # while it works, another tab and this one drop more
        other.get(server.url)
        drop(other, videos["short"])
        drop(driver, videos["short"])
        wait(driver, "document.querySelector('#report iframe')")
        name = driver.find_element(By.CSS_SELECTOR, "#results input:checked").get_attribute("value")
        first = text(driver, "#messages")
        assert f"{len(expected)} events" in first and name in first

        # the report in the frame is the one of the files, and its video plays
        driver.switch_to.frame(driver.find_element(By.CSS_SELECTOR, "#report iframe"))
        wait(driver, "document.getElementById('media').readyState >= 2")
        script = "return events.map(e => [e.kind, e.onset, e.offset, data.classes[e.c]])"
        found = {tuple(e) for e in driver.execute_script(script)}
        columns = (expected[c] for c in ("modality", "onset", "offset", "event_labels"))
        assert found == set(zip(*columns, strict=True)) and len(found) == len(expected) > 3
        driver.execute_script("document.getElementById('media').currentTime = 15")  # needs a server that sends ranges
        wait(driver, "!media.seeking && media.currentTime == 15 && media.readyState >= 2")
        driver.switch_to.default_content()

        # none is lost, replaced or shown in place of the one that is looked at; a bad file costs itself only
        wait(driver, "document.querySelectorAll('#messages li').length == 4")
        wait(other, "document.querySelectorAll('#messages li').length == 1")
        assert "failed: bad.mp4: cannot be decoded" in text(driver, "#messages")
        assert "no audio track" in text(driver, "#messages")
        assert sorted(listed(driver))[1:] == ["short", "short_2", "short_3"] and listed(driver)[-1] == name
        out = server.results
        assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == sorted(listed(driver))
        saved = pd.read_csv(out / name / "events.csv")
        pd.testing.assert_frame_equal(
            saved.drop(columns="filename"), expected.drop(columns="filename"), check_dtype=False
        )

        # links: the page in its own tab, and the files
        driver.find_elements(By.CSS_SELECTOR, "#results label")[-1].click()
        wait(driver, "document.querySelector('#report a').innerText.includes('clip')")
        links = {a.text: a.get_attribute("href") for a in driver.find_elements(By.CSS_SELECTOR, "#report a")}
        other.get(links[f"{name} in a tab of its own"])
        assert other.title == f"{saved.filename[0]} - events"
        other.get(links["events.vtt"])
        assert "WEBVTT" in other.page_source
        assert {"events.csv", "events.eaf", "events.json", "events.txt", "timeline.png", "report.html"} < set(links)
        assert own_errors(driver) == [] and server.log.read_text().count("networks loaded") == 1


def test_all_results_are_listed_for_who_opens_the_page_later(server, videos):
    """On a phone, in the dark."""
    from selenium.webdriver.common.by import By

    with open_browser(390, 800) as driver:
        emulate(driver, 390, 800, dark=True)
        driver.get(server.url)
        wait(driver, "document.querySelector('#report iframe')")
        newest = listed(driver)[0]
        assert newest in driver.find_element(By.CSS_SELECTOR, "#report iframe").get_attribute("title")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 26)"
        driver.find_elements(By.CSS_SELECTOR, "#results label")[-1].click()
        wait(driver, f"!document.querySelector('#report iframe').title.includes({newest!r})")
        resources = driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert len(resources) > 10 and [url for url in resources if not url.startswith(server.url)] == []
        foreign = "return [...document.querySelectorAll('link[href], script[src]')].map(e => e.href || e.src)"
        urls = driver.execute_script(foreign)
        assert urls and [url for url in urls if not url.startswith((server.url, "data:"))] == []
        assert own_errors(driver) == []  # a request to another host would fail


def test_only_this_machine_reaches_the_page(server):
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]
    assert [a for a in listening if a.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]  # 127.0.0.1
    six = Path("/proc/net/tcp6")
    assert not six.exists() or f":{port:04X} " not in " ".join(
        line.split()[1] + " " for line in six.read_text().splitlines()[1:] if line.split()[3] == "0A"
    )


def test_bad_flags_cost_a_line(command, small, tmp_path, monkeypatch):
    usual = usual_flags(small)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = command(app, *usual, "--port", taken.getsockname()[1])
    assert result.status == 2 and "is in use; end what uses it, or choose another" in result.error
    result = command(app, *usual, "--host", "203.0.113.1", "--port", free_port())
    assert result.status == 2 and "expected an address of this machine" in result.error
    result = command(app, *usual, "--port", "80")
    assert result.status == 2 and "80 is not a number from 1024 to 65535" in result.error
    (tmp_path / "file").touch()
    result = command(app, *usual, "--out", tmp_path / "file", "--port", free_port())
    assert result.status == 2 and "expected a folder" in result.error
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    result = command(app, *usual)
    assert result.error == "app.py: error: utils/app.py needs gradio: pip install -r requirements-app.txt"


def test_other_machines_are_warned_of(command, small, monkeypatch):
    monkeypatch.setattr(app.parse_flags, "load_parser", lambda args: (_ for _ in ()).throw(KeyboardInterrupt))
    for host, warned in (("0.0.0.0", True), ("127.0.0.1", False), ("localhost", False)):
        result = command(app, *usual_flags(small), "--host", host, "--port", free_port())
        assert result.status == 130 and ("anyone who reaches this machine" in result.err) == warned


def test_results_have_names_of_their_own_and_none_of_a_failure(tmp_path):
    upload = tmp_path / "a/Clip.mp4"
    upload.parent.mkdir()
    upload.write_text("a video")
    (tmp_path / "out/clip").mkdir(parents=True)
    with results_folder(tmp_path / "out") as (results, uploads):
        assert uploads.parent == results.folder
        with results.new(upload) as video:
            assert video == tmp_path / "out/Clip_2/video/Clip.mp4" and video.read_text() == "a video"
            (video.parents[1] / "report.html").touch()
        with pytest.raises(ZeroDivisionError), results.new(upload) as video:
            assert video.parents[1].name == "Clip_3" and 1 / 0
        assert results.names() == ["Clip_2"] and [p.name for p in results.files("Clip_2")] == ["report.html"]
        (tmp_path / "report.html").touch()
        assert results.files("..") == results.files("clip") == results.files("") == []
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["Clip_2", "clip"]


def test_ctrl_c_while_a_video_is_parsed_costs_a_line_and_leaves_nothing(server, videos):
    """The last one, since it ends the app."""
    folder = server.results
    assert f"results are written to {folder}, which is removed at the end" in server.log.read_text()
    with open_browser() as driver:
        driver.get(server.url)
        drop(driver, videos["long"])
        wait(driver, "document.getElementById('working').innerText.includes('0/3 windows')")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=15) == 130
    assert server.log.read_text().splitlines()[-1] == "app.py: interrupted" and not folder.exists()
    assert "Traceback" not in server.log.read_text()
