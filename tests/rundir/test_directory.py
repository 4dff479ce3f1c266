import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from gtzan_jax.errors import InputError
from gtzan_jax.process import versions
from gtzan_jax.rundir.directory import RunDir, create_folder, default_folder


def test_an_occupied_folder_is_refused(tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        create_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--workdir=.*file is not a writable folder"):
        create_folder(tmp_path / "file")
    with pytest.raises(InputError, match="not a run directory"):
        RunDir(tmp_path / "file").read_manifest()


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_broken_manifest_is_told(tmp_path, text):
    run = RunDir(tmp_path)
    run.manifest_path.write_text(text)
    with pytest.raises(InputError, match="manifest"):
        run.read_manifest()


def test_versions_name_what_figures_depend_on():
    assert {"python", "jax", "jaxlib", "flax", "optax", "scikit-learn"} <= versions().keys()
    json.dumps(versions())


def test_folders_that_nobody_named_are_made_and_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:  # within one second or two
        made = list(pool.map(default_folder, ["eda"] * 40))
    assert len(set(made)) == 40
    for folder in made:
        assert folder.is_dir()
        assert re.fullmatch(r"runs/eda-\d{8}-\d{6}(-\d+)?", folder.as_posix())


def test_a_place_for_folders_that_nobody_named_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    with pytest.raises(InputError, match="is not a writable folder"):
        default_folder("eda")
    (tmp_path / "runs").unlink()
    (tmp_path / "runs").symlink_to(tmp_path / "not mounted" / "runs")
    with pytest.raises(InputError, match="runs: cannot be created: File exists"):
        default_folder("eda")
