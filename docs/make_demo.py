"""Draws the page of gtzan_jax.demo, on a wide screen and on a narrow one, in Chromium.

    python docs/make_demo.py runs/mine SONG

The run is of

    python -m gtzan_jax.extract SONGS --features=musicnn --segment_seconds=3 --output=segments.csv
    python -m gtzan_jax.sweep --data=segments.csv --protocol=holdout --sweep=smoke

with songs 00000 to 00009 of each genre of GTZAN; SONG is another one, classical.00042.wav. Needs
Debian's packages chromium and chromium-driver.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parent.parent
PICTURE, WIDTH = ROOT / "docs" / "images" / "demo.png", 1280  # pixels
SECONDS = 120


def open_browser() -> webdriver.Chrome:
    """Starts a headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("headless=new", "no-sandbox", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
    return webdriver.Chrome(options=options, service=service)


def resize(browser: webdriver.Chrome, height: int) -> None:
    """Sets the browser's screen."""
    screen = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def draw(browser: webdriver.Chrome, address: str, song: Path) -> None:
    """Drops a song on the page, and writes all of it as a PNG of 128 colours."""
    resize(browser, 900)
    browser.get(address)
    wait = WebDriverWait(browser, SECONDS)
    field = wait.until(lambda b: b.find_element(By.CSS_SELECTOR, "input[type=file]"))
    field.send_keys(str(song.resolve()))
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ".song .bars"))
    time.sleep(2)  # until the waveform is drawn
    height = browser.execute_script("return document.querySelector('gradio-app').scrollHeight")
    resize(browser, height)
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as image:
        image.convert("RGB").quantize(128).save(PICTURE, optimize=True)


def main() -> None:
    """Starts the page and draws it."""
    run, song = sys.argv[1:]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "gtzan_jax.demo", run],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        browser = open_browser()
        try:
            lines = (re.search(r"http://\S+", line) for line in server.stdout or ())
            address = next(filter(None, lines))[0]
            draw(browser, address, Path(song))
        finally:
            browser.quit()
            server.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
