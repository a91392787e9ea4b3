"""A real browser for the tests of pages: Debian's Chromium without a window, driven by selenium."""

import shutil
from pathlib import Path

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def emulate(driver, width: int, height: int, dark: bool) -> None:
    """Give a driver's page this many CSS pixels, and the light or dark colour scheme."""
    # The window itself cannot be narrower than some 500 pixels.
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@pytest.fixture
def browser(tmp_path_factory):
    """browser(width, height, dark=False) -> a selenium WebDriver with a page area of that many CSS pixels."""
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    drivers, profiles = [], []

    def start(width: int, height: int, dark: bool = False):
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        profiles.append(tmp_path_factory.mktemp("chromium"))
        for flag in (*FLAGS, f"--user-data-dir={profiles[-1]}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        drivers.append(webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER))))
        emulate(drivers[-1], width, height, dark)
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.quit()
    for profile in profiles:
        shutil.rmtree(profile, ignore_errors=True)
