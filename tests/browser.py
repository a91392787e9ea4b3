"""A real headless Chromium for tests of pages, driven by selenium."""

import base64
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)


def emulate(driver, width: int, height: int, dark: bool) -> None:
    """Give a driver's page this many CSS pixels, and the light or dark colour scheme."""
    # The window itself cannot be narrower than some 500 pixels.
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@contextlib.contextmanager
def open_browser(width: int = 1200, height: int = 900, dark: bool = False) -> Iterator:
    """A selenium WebDriver on a fresh profile; skips the test where Chromium or chromedriver is not installed.

    Args:
        width, height: of the page in pixels. dark: what the page is told that the user prefers.
    """
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium (requirements-dev.txt)")
    profile = tempfile.mkdtemp(prefix="valor-chromium-")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(programs[1]))
    try:
        emulate(driver, width, height, dark)
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def browser():
    """browser(width, height, dark=False) -> a driver, as `open_browser` gives, until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *size, **more: stack.enter_context(open_browser(*size, **more))


def console_errors(driver) -> list[str]:
    """What the page wrote to the console since the last call, other than information."""
    return [line["message"] for line in driver.get_log("browser") if line["level"] in ("WARNING", "SEVERE")]


def screenshot(driver, path: Path) -> Path:
    """A picture of the whole page, as high as it is."""
    size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(shot["data"]))
    return path
