"""report.html in a real browser: loads, is played, follows clicks, keys and the slider."""

import numpy as np
import pytest

from tests.browser import console_errors, emulate, open_browser, screenshot
from tests.media_files import ffmpeg
from utils.parse.events import ParsedVideo, find_events
from utils.parse.outputs import write_outputs

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
    """One browser for all: Chromium takes seconds to start."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with open_browser(1000, 800) as driver:
        driver.get(page)
        wait(driver, "document.getElementById('media').readyState >= 2")
        assert driver.find_element(By.TAG_NAME, "h1").text == video.path.name
        assert driver.find_element(By.CLASS_NAME, "notes").text == "a <note>"

        # the events of the page are those of the files
        def events() -> set:
            script = "[...document.querySelectorAll('.event')].map(e => [e.dataset.kind, +e.dataset.onset, "
            return {tuple(e) for e in js(driver, script + "+e.dataset.offset, data.classes[e.dataset.c]])")}

        def expected(threshold) -> set:
            table = find_events(video, threshold)
            return set(zip(table.modality, table.onset, table.offset, table.event_labels, strict=True))

        assert events() == expected(0.5) and len(events()) == 5
        assert [e.text for e in driver.find_elements(By.CLASS_NAME, "name")] == list(NAMES[:3])

        # a click on a timeline jumps there
        left, top, width = place(driver, ".track.visual")
        click(driver, left + 0.75 * width, top + 5)
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 15) < 0.05")
        assert abs(float(js(driver, "parseFloat(document.getElementById('cursor').style.left)")) - 75) < 0.5
        assert "Dog" in js(driver, "document.getElementById('now').textContent")

        # the pointer shows the class's curve
        left, top, _ = place(driver, "[data-c='1'] .track.visual")
        click(driver, left + 3, top + 3)
        assert js(driver, "+document.getElementById('curve').dataset.c") == 1
        assert len(driver.find_elements(By.CSS_SELECTOR, "#curve path")) == 3

        # keys: arrows move a second, tab and enter go to an event, space plays
        driver.execute_script("document.activeElement.blur()")
        body = driver.find_element(By.TAG_NAME, "body")
        body.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 2) < 0.05")
        slider = driver.find_element(By.ID, "threshold")
        slider.send_keys(Keys.TAB, Keys.NULL)
        assert js(driver, "document.activeElement.dataset.kind") == "audio"
        driver.switch_to.active_element.send_keys(Keys.TAB)
        assert js(driver, "document.activeElement.dataset.kind") == "visual"
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        wait(driver, "Math.abs(document.getElementById('media').currentTime - 5) < 0.05")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        wait(driver, "!document.getElementById('media').paused && document.getElementById('media').currentTime > 5.3")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        wait(driver, "document.getElementById('media').paused")
        assert js(driver, "parseFloat(document.getElementById('cursor').style.left)") > 25

        # the slider changes the events
        slider.send_keys(*[Keys.ARROW_LEFT] * 20)
        assert js(driver, "document.getElementById('value').textContent") == "0.3"
        assert events() == expected(0.3) and len(events()) == 8
        assert "8 events" in js(driver, "document.getElementById('count').textContent")
        slider.send_keys(Keys.END)
        assert not events() and "No events" in driver.find_element(By.ID, "classes").text
        assert console_errors(driver) == []


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
