"""The page of gtzan_jax.demo in a headless Chromium: real songs, and a run of the real table."""

import base64
import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from browsing import assert_soon, chromium, requested, shown
from commands import command
from conftest import ROOT
from selenium.webdriver.common.by import By

import gtzan_jax

pytestmark = pytest.mark.slow

# Notes whom the process asks for; Python imports it from a folder on its path.
WATCH = """
import socket
def note(host, *_):
    with open({log!r}, "a") as file:
        print(host, file=file)
class Watched(socket.socket):
    def connect(self, address):
        note(*address)
        return super().connect(address)
def look_up(*values, before=socket.getaddrinfo, **options):
    note(*values)
    return before(*values, **options)
socket.socket, socket.getaddrinfo = Watched, look_up
"""
SONGS = ("classical.00000.wav", "jazz.00017.wav", "rock.00042.wav")


@pytest.fixture(scope="module")
def run(tmp_path_factory, real_table_path):
    """A run of two epochs on the real table."""
    folder = tmp_path_factory.mktemp("music")
    flags = ["--sweep=smoke", f"--data={real_table_path}", "--protocol=holdout", "--epochs=2"]
    flags += ["--retrain_epochs=10", "--retrain_seeds=1", "--workdir=run", "--workers=0"]
    done = command("sweep", *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def site(tmp_path_factory, run):
    """The command that serves the page; yields its address and the folder of its uploads.

    At the end the process is interrupted: then nothing may be left, and it may have asked nobody.
    """
    place = tmp_path_factory.mktemp("site")
    for name in ("cwd", "tmp", "watch"):
        (place / name).mkdir()
    (place / "watch" / "sitecustomize.py").write_text(WATCH.format(log=str(place / "log")))
    path = os.pathsep.join(map(str, (ROOT, place / "watch")))
    with subprocess.Popen(
        [sys.executable, "-m", "gtzan_jax.demo", str(run), "--max_megabytes=3", "--platform=cpu"],
        cwd=place / "cwd", env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(place / "tmp")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        lines = iter(process.stdout)
        try:
            yield next(filter(None, (re.search(r"http://\S+", line) for line in lines)))[0], place
        finally:
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.endswith("stopped by SIGINT\n")
    assert "Traceback" not in errors
    assert list((place / "tmp").rglob("gtzan_jax*")) == []
    assert list((place / "cwd").iterdir()) == []
    assert set((place / "log").read_text().split()) == {"127.0.0.1"}


@pytest.fixture(scope="module")
def browser(real_songs):
    """A browser whose microphone plays a song."""
    song = real_songs / SONGS[1]
    flags = ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
    with chromium(*flags, f"use-file-for-fake-audio-capture={song}") as chrome:
        yield chrome


@contextlib.contextmanager
def opened(browser, site, width=1280, theme="light"):
    """Opens the page; nothing of it may be wider than the screen, or come from elsewhere."""
    address, place = site
    browser.get_log("browser"), requested(browser)
    with shown(browser, width, theme=theme):
        browser.get(address)
        assert_soon(lambda: fields(browser))
        yield browser
        widths = "return [document.documentElement.scrollWidth, innerWidth]"
        found, screen = browser.execute_script(widths)
        assert found <= screen == width
        browser.get("about:blank")
    assert_soon(lambda: not uploads(place))  # once the page is closed
    others = [url for url in requested(browser) if not url.startswith((address, "data:", "blob:"))]
    assert others == ["about:blank"][: len(others)]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def fields(page):
    """Returns the fields that files are given to: of one song, and of several."""
    return page.find_elements(By.CSS_SELECTOR, "input[type=file]")


def uploads(place):
    return [path for path in (place / "tmp").rglob("*") if path.is_file() and path.stat().st_size]


def texts(page, selector):
    return [each.text for each in page.find_elements(By.CSS_SELECTOR, selector)]


def genres(page):
    """Returns the song's genres and their probabilities in percent, as the page shows them."""
    assert_soon(lambda: page.find_elements(By.CSS_SELECTOR, ".song .bars"))
    cells = texts(page, ".song .bars td:nth-child(2)")
    return texts(page, ".song .bars th"), [float(cell.replace(" %", "")) for cell in cells]


def assert_predicted(found, prediction):
    names, percents = found
    assert names == list(prediction.genres[:5])
    np.testing.assert_allclose(percents, 100 * prediction.probabilities[:5], atol=0.051)


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (400, "dark")])
def test_a_song_is_predicted_on_the_page(browser, site, run, real_songs, tmp_path, width, theme):
    sounds = [soundfile.read(real_songs / name) for name in SONGS[:2]]
    long = tmp_path / "long.wav"
    soundfile.write(long, np.concatenate([samples for samples, _ in sounds]), sounds[0][1])
    model = gtzan_jax.load_model(run)
    with opened(browser, site, width, theme) as page:
        fields(page)[0].send_keys(str(long))
        prediction = model.predict_file(long)
        assert_predicted(genres(page), prediction)
        assert len(uploads(site[1])) == 1  # its player's
        assert_soon(lambda: "1:00" in texts(page, "#duration, .timestamps time"))
        picture = (
            "return [...document.querySelectorAll('.song img')].map((i) => i.naturalWidth > 500)"
        )
        assert_soon(lambda: page.execute_script(picture) == [True])
        assert f"Why {prediction.genres[0]}" in texts(page, ".song h2")
        assert any("correct on " in text for text in texts(page, "footer.song p"))


def test_several_songs_are_a_table_and_a_csv(browser, site, run, real_songs, tmp_path):
    (tmp_path / "text.wav").write_text("no sound at all")
    soundfile.write(tmp_path / "silence.wav", np.zeros(22_050 * 5), 22_050)
    files = [
        *(real_songs / name for name in SONGS),
        tmp_path / "text.wav",
        tmp_path / "silence.wav",
    ]
    model = gtzan_jax.load_model(run)
    with opened(browser, site, 400) as page:
        page.find_elements(By.XPATH, "//button[@role='tab'][.='Several songs']")[-1].click()
        fields(page)[1].send_keys("\n".join(map(str, files)))
        assert_soon(lambda: len(texts(page, ".song .wide tr")) == 1 + len(files))
        (row,) = (text for text in texts(page, ".song .wide tr") if text.startswith("text.wav"))
        assert "not predicted: " in row
        link = page.find_element(By.CSS_SELECTOR, ".song a[download]").get_attribute("href")
        rows = pd.read_csv(io.BytesIO(base64.b64decode(link.partition(",")[2])))
        assert_soon(lambda: not uploads(site[1]))  # while the page is still open
    assert list(rows.filename) == [path.name for path in files]
    for row, path in zip(rows[:3].itertuples(), files, strict=False):
        prediction = model.predict_file(path)
        assert row.genre == prediction.genres[0]
        for genre, probability in zip(prediction.genres, prediction.probabilities, strict=True):
            assert getattr(row, f"probability_{genre}") == pytest.approx(probability, abs=2e-6)
    assert rows.unlike[4]


def test_a_song_can_be_recorded(browser, site):
    with opened(browser, site, 400) as page:
        page.find_element(By.CSS_SELECTOR, "button[aria-label='Record audio']").click()
        for name in ("record", "stop"):
            button = f"button.{name}-button"
            assert_soon(lambda b=button: page.find_element(By.CSS_SELECTOR, b).is_displayed())
            page.find_element(By.CSS_SELECTOR, button).click()
            if name == "record":
                assert_soon(lambda: "0:03" in texts(page, "time"))
        assert len(genres(page)[0]) == 5


def test_too_large_a_file_is_refused_in_a_sentence(browser, site, tmp_path):
    (tmp_path / "large.wav").write_bytes(bytes(3 * 2**20 + 1))
    with opened(browser, site) as page:
        fields(page)[0].send_keys(str(tmp_path / "large.wav"))
        words = "exceed the maximum allowed size of 3.0 M"
        assert_soon(lambda: words in page.find_element(By.TAG_NAME, "body").text)
        assert uploads(site[1]) == []


def test_a_port_in_use_is_a_line(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = f"--port={other.getsockname()[1]}"
        done = command("demo", str(run), port, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {port} is in use or not allowed; give another --port\n"


def test_a_terminal_that_is_closed_leaves_nothing(run, tmp_path):
    code = (  # whoever runs the tests may ignore the signal
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "os.execv(sys.executable, [sys.executable, '-m', 'gtzan_jax.demo', *sys.argv[1:]])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run), "--platform=cpu"],
        cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert next(line for line in process.stdout if "http://" in line)
        assert list(tmp_path.glob("gtzan_jax-demo-*"))
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=60)[1].endswith("stopped by SIGHUP\n")
    assert process.returncode == 129
    assert list(tmp_path.glob("gtzan_jax-demo-*")) == []
