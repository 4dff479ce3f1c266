"""A headless Chromium, and how pages are shown in it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator

from commands import browser_programs
from selenium import webdriver


@contextlib.contextmanager
def chromium(*flags: str) -> "Iterator[webdriver.Chrome]":
    """Starts a headless Chromium that keeps a log of its console and of its requests."""
    program, driver = browser_programs()
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Without a GPU, the projector's points are drawn in software.
    for flag in (
        "headless=new",
        "no-sandbox",
        "window-size=1300,1000",
        "enable-unsafe-swiftshader",
        *flags,
    ):
        options.add_argument(f"--{flag}")
    chrome = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=driver)
    )
    try:
        yield chrome
    finally:
        chrome.quit()


def requested(page: webdriver.Chrome) -> list[str]:
    """Returns the addresses that were asked since the last time."""
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


@contextlib.contextmanager
def shown(
    page: webdriver.Chrome, width: int, height: int = 900, theme: str = "light"
) -> "Iterator[webdriver.Chrome]":
    """Shows a page on a screen of some size, to a reader who prefers a theme."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        yield page
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def assert_soon(condition: Callable[[], object], seconds: float = 60) -> None:
    """Waits for a page to be ready; fails when it is not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the page did not get there"
        time.sleep(0.25)
