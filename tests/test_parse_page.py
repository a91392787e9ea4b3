"""report.html in a real browser: loads, is played, follows clicks, keys and the slider."""

import io
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.bench_page import WANTED, frame_times, long_video
from tests.browser import console_errors, emulate, open_browser, screenshot
from tests.media_files import ffmpeg
from utils.parse.events import ParsedVideo, find_events
from utils.parse.outputs import write_outputs

FILES = ("events.csv", "events.vtt", "events.txt", "events.eaf")  # in the order of the buttons
NAMES = ("Speech", "Dog </script>", "Cat <b>&'\"", "Violin_fiddle")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> ParsedVideo:
    """Twenty seconds: three classes at 0.5, one more from 0.3 down."""
    path = tmp_path_factory.mktemp("page") / 'it\'s a "clip" #1 50% é.mp4'
    picture = "testsrc2=size=320x180:rate=10:duration=20"
    coding = "-c:v libx264 -g 10 -pix_fmt yuv420p -c:a aac -movflags +faststart"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=duration=20", *coding.split(), path)
    prob = np.full((20, 2, 4), 0.1, np.float32)
    prob[2:8, 0, 0], prob[5:12, 1, 0] = 0.9, 0.7
    prob[10:20, 0, 1], prob[0:3, 1, 2] = 0.6, 0.8
    prob[4:9, :, 3] = 0.35
    gate = np.full((20, 4), 0.95, np.float32)
    return ParsedVideo(path, 20.0, np.arange(21.0), prob, gate, np.ones((20, 2), bool), NAMES, 10, ["a <note>"])


@pytest.fixture(scope="module", params=[False, True], ids=["linked", "embedded"])
def page(video, request) -> str:
    """URL of the page."""
    folder = video.path.parent / f"out {request.param}"
    write_outputs(folder, video, 0.5, {"features": ["CLAP", "CLIP"], "checkpoint": "m<o>del.pt"}, embed=request.param)
    return (folder / "report.html").as_uri()


def js(driver, expression: str):
    return driver.execute_script(f"return {expression}")


def wait(driver, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 10).until(lambda d: js(d, condition), condition)


def test_page(page, video, tmp_path):
    """Events, clicks, keys, the slider. One browser for all: Chromium takes seconds to start."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with open_browser(1000, 800) as driver:
        driver.get(page)
        wait(driver, "document.getElementById('media').readyState >= 2")
        assert driver.find_element(By.TAG_NAME, "h1").text == video.path.name
        assert driver.find_element(By.CLASS_NAME, "notes").text == "a <note>"

        # the events of the page are those of the files
        def events() -> set:
            script = "[...document.querySelectorAll('.event, .mark')].map(e => [e.dataset.kind, +e.dataset.onset, "
            return {tuple(e) for e in js(driver, script + "+e.dataset.offset, data.classes[e.dataset.c]])")}

        def expected(threshold) -> set:
            table = find_events(video, threshold)
            return set(zip(table.modality, table.onset, table.offset, table.event_labels, strict=True))

        assert events() == expected(0.5) and len(events()) == 5
        assert [e.text for e in driver.find_elements(By.CLASS_NAME, "name")] == [
            "Speech",
            "Dog </script>",
            "Cat <b>&'\"",
        ]

        # a click on a timeline jumps there
        left, top, width = place(driver, ".track.visual")
        click(driver, left + 0.75 * width, top + 5)
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 15) < 0.05")
        assert abs(float(js(driver, "parseFloat(document.getElementById('cursor').style.left)")) - 75) < 0.5
        assert "Dog" in js(driver, "document.getElementById('now').textContent")

        # keys: arrows move a second, n and p go to events, enter in the list too, space plays
        driver.execute_script("document.activeElement.blur()")
        body = driver.find_element(By.TAG_NAME, "body")
        body.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 2) < 0.05")
        body.send_keys("n")
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 5) < 0.05")
        body.send_keys("nn")
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 10) < 0.05")
        body.send_keys("p")
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 5) < 0.05")
        driver.execute_script("document.querySelector('#rows tr:nth-child(2) button').focus()")
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 2) < 0.05")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        wait(driver, "!document.getElementById('media').paused && document.getElementById('media').currentTime > 2.3")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        wait(driver, "document.getElementById('media').paused")
        assert js(driver, "parseFloat(document.getElementById('cursor').style.left)") > 10

        # the slider changes the events
        slider = driver.find_element(By.ID, "threshold")
        slider.send_keys(*[Keys.ARROW_LEFT] * 20)
        assert js(driver, "document.getElementById('value').textContent") == "0.3"
        assert events() == expected(0.3) and len(events()) == 8
        assert "8 events" in js(driver, "document.getElementById('count').textContent")
        assert console_errors(driver) == []


def shown(driver) -> int:
    """The class whose curve is drawn."""
    return js(driver, "+document.getElementById('curve').dataset.c")


def hover(driver, c: int) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    ActionChains(driver, duration=0).move_to_element(
        driver.find_element(By.CSS_SELECTOR, f"[data-c='{c}'] .kinds")
    ).perform()


def test_a_click_pins_a_class_and_hovering_never_changes_it(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    with open_browser(1600, 1200) as driver:
        driver.get(page)
        wait(driver, "document.getElementById('media').readyState >= 1")
        assert shown(driver) == 0
        hover(driver, 1)
        assert shown(driver) == 1
        driver.find_element(By.CSS_SELECTOR, ".class[data-c='2'] .name").click()
        assert shown(driver) == 2
        for c in (0, 1):
            hover(driver, c)
            assert shown(driver) == 2
        left, top, _ = place(driver, ".class[data-c='1'] .track.visual")
        click(driver, left + 3, top + 3)  # another click, another class
        assert shown(driver) == 1 and len(driver.find_elements(By.CSS_SELECTOR, "#curve path")) == 3
        driver.find_element(By.ID, "unpin").click()
        hover(driver, 0)
        assert shown(driver) == 0
        # a class without events can be looked at, too: it says at which threshold it would have some
        picker = Select(driver.find_element(By.ID, "pick"))
        assert [o.text for o in picker.options][1:] == [
            "Speech (peak 0.90)",
            "Cat <b>&'\" (peak 0.80)",
            "Dog </script> (peak 0.60)",
            "Violin fiddle (peak 0.35)",
        ]
        picker.select_by_value("3")
        assert shown(driver) == 3
        assert driver.find_element(By.CSS_SELECTOR, ".class[data-c='3'] .name").text.split("\n") == [
            "Violin fiddle",
            "peak 0.35",
        ]
        assert console_errors(driver) == []


def test_a_page_is_never_empty(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with open_browser(1200, 900) as driver:
        driver.get(page)
        slider = driver.find_element(By.ID, "threshold")
        slider.send_keys(Keys.END)
        assert "No events at this threshold. The likeliest" in driver.find_element(By.ID, "classes").text
        names = [e.text.split("\n") for e in driver.find_elements(By.CSS_SELECTOR, ".class .name")]
        assert names == [
            ["Speech", "peak 0.90"],
            ["Cat <b>&'\"", "peak 0.80"],
            ["Dog </script>", "peak 0.60"],
            ["Violin fiddle", "peak 0.35"],
        ]
        assert shown(driver) == 0 and "no events" in driver.find_element(By.ID, "rows").text
        slider.send_keys(Keys.HOME)
        assert js(driver, "document.getElementById('value').textContent") == "0.01"
        assert console_errors(driver) == []


def view(driver) -> list[float]:
    """The first and the last second that are shown."""
    js(driver, "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return js(driver, "[view.start, view.start + view.span]")


def turn(driver, selector: str, delta: int, share: float, **keys) -> None:
    """Turn the wheel above a share of an element's width."""
    script = (
        "const e = document.querySelector(arguments[0]), b = e.getBoundingClientRect(); e.dispatchEvent(new WheelEvent("
    )
    script += (
        "'wheel', {deltaY: arguments[1], clientX: b.left + arguments[2] * b.width, clientY: b.top + 2, bubbles: true, "
    )
    driver.execute_script(script + "cancelable: true, ...arguments[3]}))", selector, delta, share, keys)


def test_zoom_and_scroll(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    with open_browser(1600, 1200) as driver:
        driver.get(page)
        wait(driver, "document.getElementById('media').readyState >= 1")
        assert view(driver) == [0, 20]
        turn(driver, ".curve", -500, 0.25)  # what is below the pointer stays there
        start, end = view(driver)
        assert 0 < start < 5 < end < 20 and (5 - start) / (end - start) == pytest.approx(0.25, abs=0.01)
        left, _, width = place(driver, ".event[data-kind='visual'][data-onset='5']")
        track, _, whole = place(driver, ".class[data-c='0'] .track.visual")
        assert (left - track) / whole == pytest.approx((5 - start) / (end - start), abs=0.01)
        assert width / whole == pytest.approx(7 / (end - start), abs=0.01)
        ticks = js(driver, "[...document.querySelectorAll('#axis span')].map(e => e.textContent)")
        assert ticks[:2] == ["00:03.5", "00:04"] and ticks[-1] == "00:10.5"
        turn(driver, ".curve", 500, 0.25)
        assert view(driver) == pytest.approx([0, 20])
        before = view(driver)
        turn(driver, ".track.audio", -500, 0.5)  # over the lanes the page scrolls
        assert view(driver) == before
        turn(driver, ".track.audio", -200, 0.5, ctrlKey=True)
        assert view(driver)[1] - view(driver)[0] < 10
        turn(driver, ".track.audio", 100, 0.5, shiftKey=True)
        assert view(driver)[0] > 6
        body = driver.find_element(By.TAG_NAME, "body")
        body.send_keys("0")
        assert view(driver) == [0, 20]
        body.send_keys("++")
        assert view(driver)[1] - view(driver)[0] == pytest.approx(5)
        body.send_keys("-")
        assert view(driver)[1] - view(driver)[0] == pytest.approx(10)
        driver.find_element(By.ID, "whole").click()
        # drag over the strip to choose, drag the frame to move it
        left, top, width = place(driver, "#strip")
        drag = ActionChains(driver, duration=0)
        pointer = drag.w3c_actions.pointer_action

        def move(share):
            pointer.move_to_location(int(left + share * width), int(top + 10))

        move(0.5), pointer.pointer_down(), move(0.6), move(0.75), pointer.pointer_up()
        drag.perform()
        assert view(driver) == pytest.approx([10, 15], abs=0.1)
        drag = ActionChains(driver, duration=0)
        pointer = drag.w3c_actions.pointer_action
        move(0.6), pointer.pointer_down(), move(0.5), move(0.35), pointer.pointer_up()
        drag.perform()
        assert view(driver) == pytest.approx([5, 10], abs=0.1)
        # a jump to what is not shown shows it
        body.send_keys("n")
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 2) < 0.05")
        assert view(driver) == pytest.approx([1.5, 6.5], abs=0.1) and console_errors(driver) == []


def test_the_list_is_sorted_and_follows_playback(page, video):
    from selenium.webdriver.common.by import By

    with open_browser(1600, 1200) as driver:
        driver.get(page)
        wait(driver, "document.getElementById('media').readyState >= 2")

        def column(number: int) -> list[str]:
            return js(driver, f"[...document.querySelectorAll('#rows td:nth-child({number})')].map(e => e.textContent)")

        table = find_events(video)
        assert column(5) == [f"{x:.2f}" for x in table.confidence] and column(1)[:2] == ["00:00", "00:02"]
        click_head = lambda n: driver.find_elements(By.CSS_SELECTOR, "#heads button")[n].click()
        click_head(4)
        assert column(5) == sorted(column(5), reverse=True)
        click_head(4)
        assert column(5) == sorted(column(5))
        click_head(2)
        assert column(3) == sorted(column(3))
        driver.execute_script("seek(10.5)")
        wait(driver, "document.querySelectorAll('#rows .current').length > 0")
        current = js(
            driver, "[...document.querySelectorAll('#rows .current')].map(e => [e.dataset.kind, +e.dataset.c])"
        )
        assert sorted(current) == [["audio", 1], ["visual", 0]]
        driver.execute_script("seek(0.5); document.getElementById('media').play()")
        wait(driver, "[...document.querySelectorAll('#rows .current')].some(e => e.dataset.onset === '2')")
        assert console_errors(driver) == []


def test_the_page_saves_what_the_command_writes(page, video, tmp_path):
    """At two thresholds; the page's probabilities have four digits, so the last of a confidence may differ."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with open_browser(1200, 900) as driver:
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        driver.get(page)
        for threshold, keys in ((0.5, 0), (0.3, 20)):
            driver.find_element(By.ID, "threshold").send_keys(*[Keys.ARROW_LEFT] * keys)
            folder = video.path.parent / f"again {threshold}"
            write_outputs(folder, video, threshold, {}, embed=False)
            for button, name in zip(driver.find_elements(By.CSS_SELECTOR, "#exports button"), FILES, strict=True):
                button.click()
                deadline = time.monotonic() + 10
                while not (tmp_path / name).exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
                saved = (tmp_path / name).read_text()
                (tmp_path / name).unlink()
                if name == "events.csv":
                    mine, theirs = pd.read_csv(io.StringIO(saved)), pd.read_csv(folder / name)
                    assert np.abs(mine.confidence - theirs.confidence).max() <= 2e-4
                    assert mine.drop(columns="confidence").equals(theirs.drop(columns="confidence"))
                else:
                    assert saved == (folder / name).read_text(), name
        assert console_errors(driver) == []


def test_an_hour_stays_fluid(tmp_path):
    """benchmarks/bench_page.py has the times; the machine may do other work, so the best of three counts."""
    write_outputs(tmp_path / "out", long_video(Path("long.mp4"), 3600, 600), 0.5, {}, embed=False)
    with open_browser(1600, 1000) as driver:
        times = min((frame_times(driver, tmp_path / "out/report.html") for _ in range(3)), key=np.median)
        print(f"median {np.median(times):.1f} ms, 90 % {np.percentile(times, 90):.1f} ms")
        assert len(times) == 180 and np.median(times) < WANTED
        start, end = view(driver)
        assert end - start > 1000  # in, along, and out again


def place(driver, selector: str) -> list[float]:
    """Left, top and width of an element in the window, in pixels."""
    return js(driver, f'(r => [r.left, r.top, r.width])(document.querySelector("{selector}").getBoundingClientRect())')


def click(driver, x: float, y: float) -> None:
    """With the mouse, at a point of the page that is in view."""
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(driver, duration=0)
    actions.w3c_actions.pointer_action.move_to_location(int(x), int(y))
    actions.click().perform()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_fits_its_window(video, dark, tmp_path):
    """No sideways scrolling at 360 and 1600 pixels, text that stands out from its background."""
    write_outputs(tmp_path / "out", video, 0.5, {}, embed=False)
    page = (tmp_path / "out/report.html").as_uri()
    with open_browser(360, 740, dark) as driver:
        for width in (360, 1600):
            emulate(driver, width, 900, dark)
            driver.get(page)
            wait(driver, "document.getElementById('media').readyState >= 1")
            assert js(driver, "document.documentElement.scrollWidth") <= width
            style = "getComputedStyle(document.body)"
            background, text = (luminance(js(driver, f"{style}.{name}")) for name in ("backgroundColor", "color"))
            assert (background < 0.1) == dark
            assert (max(background, text) + 0.05) / (min(background, text) + 0.05) > 7  # WCAG's contrast ratio
            assert screenshot(driver, tmp_path / f"{width}.png").stat().st_size > 10_000
            assert console_errors(driver) == []


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(1, 2, 3)`."""
    values = np.array([int(x) for x in colour.split("(")[1].split(")")[0].split(",")[:3]]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
