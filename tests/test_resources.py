import pytest

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
