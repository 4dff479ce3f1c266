import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT, slow

from gtzan_jax import resources
from gtzan_jax.errors import nearest
from gtzan_jax.resources import cache_dir, resource


def test_resource_finds_what_lies_beside_the_package():
    assert resource("data", "genre_statistics.csv").is_file()


def test_resource_prefers_the_copy_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "gtzan_jax"
    monkeypatch.setattr(resources, "PACKAGE", package)
    for root in (tmp_path, package):
        (root / "sweeps").mkdir(parents=True)
    assert resource("sweeps") == package / "sweeps"


def test_resource_names_what_is_missing():
    with pytest.raises(FileNotFoundError, match=r"sweeps/no_such\.toml"):
        resource("sweeps", "no_such.toml")


def test_cache_dir_is_the_users_and_is_not_created(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert cache_dir() == tmp_path / "gtzan_jax"
    assert not cache_dir().exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("kagle", " (did you mean 'kaggle'?)"),
        ("SAMPLE", " (did you mean 'sample'?)"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_nearest(name, hint):
    assert nearest(name, ["kaggle", "sample"]) == hint


# No usable home or cache.

# As for a user that is not in /etc/passwd; whoever runs the tests is.
IS_UNKNOWN = """
import pwd
def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
"""
IMPORTS = """
import gtzan_jax
import kagglehub, matplotlib.pyplot, os, pathlib, pooch
from gtzan_jax.resources import cache_dir
pooch.os_cache("librosa")  # as librosa does on import
names = ("MPLCONFIGDIR", "NUMBA_CACHE_DIR", "KAGGLEHUB_CACHE")
for folder in (cache_dir().parent, pathlib.Path.home(), *(os.environ.get(name) for name in names)):
    print(folder)
"""
HOMES = {
    "unknown user": {},
    "no home": {"HOME": "/dev/null/home"},
    "cache is a file": {"HOME": "{tmp}", "XDG_CACHE_HOME": "{tmp}/file"},
    "cache but no home": {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "{tmp}/cache"},
}


def homeless(home, tmp_path):
    """Returns an environment without a usable home, or without a usable cache."""
    (tmp_path / "file").touch()
    (tmp_path / "site").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(IS_UNKNOWN)
    ours = ("HOME", "XDG_", "MPLCONFIG", "NUMBA_", "KAGGLE", "JAX_", "XLA_", "TF_CPP_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    named = {name: value.format(tmp=tmp_path) for name, value in HOMES[home].items()}
    return kept | {"PYTHONPATH": path, "TMPDIR": str(tmp_path / "tmp")} | named


needs_posix = pytest.mark.skipif(os.name != "posix", reason="users of POSIX systems")


@needs_posix
@pytest.mark.parametrize("home", ["unknown user", *map(slow, list(HOMES)[1:])])
def test_libraries_get_a_temporary_folder_where_home_or_cache_is_unusable(home, tmp_path):
    environment = homeless(home, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    cache, user, *folders = map(Path, done.stdout.splitlines())
    [made] = set(folders)
    assert made.parent == tmp_path / "tmp"
    assert not made.exists()  # any more
    has_cache = home == "cache but no home"
    assert cache == (Path(environment["XDG_CACHE_HOME"]) if has_cache else made)
    assert user == Path(environment.get("HOME", made))


@needs_posix
def test_a_usable_home_is_left_as_it_is(tmp_path):
    environment = homeless("unknown user", tmp_path) | {"HOME": str(tmp_path)}
    code = "import os; before = dict(os.environ); import gtzan_jax; print(before == os.environ)"
    code += "; print(*(set(os.environ) - set(before)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "TF_CPP_MIN_LOG_LEVEL"]
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.slow
@needs_posix
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("home", HOMES)
def test_a_sweep_needs_no_home(home, workers, tmp_path):
    flags = ["--sweep=smoke", "--data=sample", "--retrain_epochs=1", f"--workers={workers}"]
    done = subprocess.run(
        [sys.executable, "-m", "gtzan_jax.sweep", *flags, f"--workdir={tmp_path / 'run'}"],
        env=homeless(home, tmp_path), cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="root may become others")
def test_a_sweep_needs_no_known_user():
    other = {"user": 12345, "group": 12345, "extra_groups": ()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = homeless("unknown user", folder) | {"PYTHONPATH": str(ROOT)}
        for path in (folder, folder / "tmp"):
            os.chown(path, 12345, 12345)
        check = [sys.executable, "-c", "import gtzan_jax.cli"]
        try:
            subprocess.run(check, env=environment, check=True, capture_output=True, **other)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("others may not run this Python")
        flags = ["--sweep=smoke", "--data=sample", "--retrain_epochs=1", "--workers=1"]
        done = subprocess.run(
            [sys.executable, "-m", "gtzan_jax.sweep", *flags, f"--workdir={folder / 'run'}"],
            env=environment, cwd=folder, capture_output=True, text=True, **other,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
