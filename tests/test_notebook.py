"""The notebook: it runs, is saved with its outputs, and installs only what is missing."""

import base64
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import nbclient
import nbformat
import pytest
from conftest import ROOT
from packaging.requirements import Requirement

PATH = ROOT / "notebooks" / "gtzan_jax.ipynb"
NOTEBOOK = nbformat.read(PATH, as_version=4)
CODE = {cell.id: cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code"}
PROSE = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# ----------------------------------------------------------------------------------- as it is saved


def test_it_is_a_valid_notebook():
    nbformat.validate(nbformat.read(PATH, as_version=nbformat.NO_CONVERT))


def test_it_is_saved_with_outputs_of_the_real_table():
    """As docs/make_notebook.py writes it: every cell was run once, in order, without an error."""
    cells = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(not cell.metadata for cell in cells)
    outputs = [output for cell in cells for output in cell.outputs]
    assert "error" not in {output.output_type for output in outputs}
    shown = {cell.id: as_text(cell) for cell in cells}
    assert "768" in shown["sweep"]
    assert "features_30_sec.csv" in shown["sweep"]
    assert not any("SYNTHETIC" in text for text in shown.values())
    assert all("image/png" in shown[name] for name in ("curves", "over-time"))
    assert PATH.stat().st_size < 1_000_000
    assert not re.search(r"/(work|home|root|tmp)/", "".join(shown.values()))


@pytest.mark.slow  # since continuous integration has installed the linter by then
@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]])
def test_its_code_passes_the_linter(arguments):
    ruff = shutil.which("ruff", path=Path(sys.executable).parent) or shutil.which("ruff")
    if not ruff:
        pytest.skip("needs ruff, of the extra dev")
    done = subprocess.run([ruff, *arguments, PATH], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_links_lead_somewhere():
    links = [link for text in PROSE for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert links
    for link in links:
        if "://" in link:
            continue
        assert (PATH.parent / link).exists(), link


def test_it_says_what_the_sample_is():
    assert re.search(r"\*\*SYNTHETIC\*\*", "\n".join(PROSE))
    assert 'DATA = "auto"' in CODE["choices"]


# ------------------------------------------------------------------------------- what is installed


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Returns what runs the installing cell, and returns the requirements that pip was given."""

    def run(packages, folder=tmp_path, source="", has_gpu=False):
        def version(name):
            if name in packages:
                return "1.0"
            raise importlib.metadata.PackageNotFoundError(name)

        calls = []
        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if has_gpu else None)
        monkeypatch.setattr(subprocess, "run", lambda arguments, **_: calls.append(arguments))
        monkeypatch.setenv("PATH", os.environ["PATH"])
        monkeypatch.chdir(folder)
        exec(CODE["install"], {"SOURCE": source})
        return [arguments[arguments.index("--quiet") + 1 :] for arguments in calls]

    return run


ALL = {"gtzan_jax", "librosa", "soundfile", "gradio"}


def test_nothing_is_installed_where_all_is_there(install):
    assert install(ALL) == []


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks"])
@pytest.mark.parametrize("missing", sorted(ALL))
def test_what_is_missing_comes_from_the_checkout(install, folder, missing):
    """And nothing else is asked of pip, which so leaves what fits as it is."""
    assert install(ALL - {missing}, folder) == [[f"gtzan_jax[audio,demo] @ {ROOT.as_uri()}"]]


@pytest.mark.parametrize(
    ("packages", "has_gpu", "extras"),
    [
        ({"jax"}, True, {"audio", "demo"}),
        ({"jax"}, False, {"audio", "demo"}),
        (set(), True, {"audio", "demo", "cuda"}),
        (set(), False, {"audio", "demo"}),
    ],
)
def test_a_jax_stays_and_where_there_is_none_the_machine_decides(
    install, packages, has_gpu, extras
):
    ((package,),) = install(packages, ROOT, has_gpu=has_gpu)
    assert Requirement(package).extras == extras <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("source", ["git+https://example.org/copy.git", "file:///tmp/copy"])
def test_an_address_is_taken_as_it_is(install, source):
    ((package,),) = install({"jax"}, source=source)
    assert package == f"gtzan_jax[audio,demo] @ {source}"
    assert Requirement(package).url == source


def test_without_a_checkout_it_says_what_to_do(install):
    with pytest.raises(SystemExit, match="set SOURCE in the first cell"):
        install({"jax"})


# ------------------------------------------------------------------------------- from top to bottom


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path):
    """On the sample and 24 configs, with this Python's kernel, in an empty folder."""
    started = time.perf_counter()
    notebook = nbformat.read(PATH, as_version=4)
    (choices,) = [cell for cell in notebook.cells if cell.id == "choices"]
    choices.source = 'DATA, SWEEP = "sample", "smoke"'
    folder, scratch = tmp_path / "here", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    client = nbclient.NotebookClient(
        notebook,
        timeout=1800,  # seconds for a cell: what takes that long hangs
        kernel_name="python3",  # that of this Python
        resources={"metadata": {"path": str(folder)}},
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "KERAS_"))}
    env = kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    with client.setup_kernel(env=env):
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)  # raises what the cell raises
        board = json.loads(next(scratch.glob(".tensorboard-info/*.info")).read_text())
        assert finds_run(board["port"], "retrained")
    print(f"executed in {time.perf_counter() - started:.0f} s")  # pytest -s shows it
    shown = {cell.id: as_text(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert "SYNTHETIC sample" in shown["sweep"]
    assert "tensorboard-frame" in shown["tensorboard"]
    assert "All figures are from the SYNTHETIC sample" in framed(shown["report"])
    assert "artist_kfold" in shown["gap"]
    assert "%" in shown["predict"]
    assert "OUT OF DISTRIBUTION" in shown["predict"]
    assert "image/png" in shown["curves"]
    assert "image/png" in shown["over-time"]
    assert "page at http://127.0.0.1:" in shown["demo"]
    assert has_ended(board["pid"])
    assert {path.name for path in folder.iterdir()} == {"runs", "chord.wav"}
    assert len(list((folder / "runs").glob("*/results.csv"))) == 4


def as_text(cell):
    """All that a cell's outputs hold, with the kinds of it."""
    made = []
    for output in cell.outputs:
        data = output.get("data", {"text": output.get("text", "")})
        made += [f"{kind} {content}" for kind, content in data.items()]
    return "\n".join(made)


def framed(text):
    """The page in a frame whose address holds the page itself."""
    (page,) = re.findall(r"data:text/html;charset=utf-8;base64,([\w+/=]+)", text)
    return base64.b64decode(page).decode()


def finds_run(port, name):
    """Whether TensorBoard finds a run; asks again while it is still reading the files."""
    for _ in range(60):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=60) as answer:
            if name in json.load(answer):
                return True
        time.sleep(0.5)
    return False


def has_ended(pid):
    """Whether a process that the kernel started ended with it, or soon after."""
    for _ in range(60):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.5)
    return False
