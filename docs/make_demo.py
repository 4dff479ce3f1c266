"""Draws the page of gtzan_jax.demo, on a wide screen and on a narrow one, in Chromium.

    python docs/make_demo.py RUN SONG

RUN is a finished run, SONG a sound file. Needs Debian's packages chromium and chromium-driver.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parent.parent
PICTURES = {1280: "demo.png", 400: "demo_narrow.png"}  # by width in pixels
SECONDS = 120


def open_browser() -> webdriver.Chrome:
    """Starts a headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("headless=new", "no-sandbox", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
    return webdriver.Chrome(options=options, service=service)


def show(browser: webdriver.Chrome, width: int, height: int, theme: str = "light") -> None:
    """Gives the browser a screen, and its reader a theme."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def picture(browser: webdriver.Chrome, width: int) -> bytes:
    """Returns the whole page as a PNG of few colours."""
    height = browser.execute_script("return document.querySelector('gradio-app').scrollHeight")
    show(browser, width, height)
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as image:
        small = image.convert("RGB").quantize(128)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Starts the page, drops the song on it, and draws it on both screens."""
    run, song = map(Path, sys.argv[1:])
    command = [sys.executable, "-m", "gtzan_jax.demo", run.name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(  # noqa: S603
        command, cwd=run.parent, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        browser = open_browser()
        try:
            lines = iter(server.stdout or ())
            found = next(filter(None, (re.search(r"http://\S+", line) for line in lines)))
            for width, name in PICTURES.items():
                show(browser, width, 900)
                browser.get(found[0])
                wait = WebDriverWait(browser, SECONDS)
                field = wait.until(lambda b: b.find_element(By.CSS_SELECTOR, "input[type=file]"))
                field.send_keys(str(song.resolve()))
                wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ".song .bars"))
                (ROOT / "docs" / "images" / name).write_bytes(picture(browser, width))
        finally:
            browser.quit()
            server.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
