import json
import re

import msgspec
import pytest
from conftest import make_sweep
from finished_runs import edit_manifest, random_history, write_run

from gtzan_jax.errors import InputError
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.manifest import FORMAT, Manifest, decode, encode, environment, sweep_of

SWEEP = make_sweep()


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", SWEEP, random_history(SWEEP))


def test_it_reads_back(folder):
    manifest = RunDir(folder).read_manifest()
    assert isinstance(manifest, Manifest)
    assert sweep_of(manifest, folder).to_dict() == SWEEP.to_dict()
    text = (folder / "manifest.json").read_text()
    assert encode(manifest) == text
    assert decode(text.encode(), folder) == manifest


def test_a_name_that_is_no_text_in_the_system_reads_back(folder):
    # What a command line has of bytes that are no UTF-8.
    session = {"command": "python --data=\udcff.csv", "platform": "cpu\udcff"}
    manifest = RunDir(folder).read_manifest()
    manifest.sessions.append(msgspec.structs.replace(manifest.sessions[0], **session))
    assert decode(encode(manifest).encode(), folder) == manifest


@pytest.mark.parametrize("version", [None, 1, FORMAT + 1, "2", [2], {}])
def test_another_format_is_refused_by_its_number(folder, version):
    def change(manifest):
        del manifest["format"], manifest["data"]
        manifest |= {} if version is None else {"format": version}

    edit_manifest(folder, change)
    with pytest.raises(InputError, match=rf"has format .*reads format {FORMAT}") as error:
        read_finished(folder)
    assert error.value.args[0].isprintable()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda m: m["timings_s"].update(a="x"), "$.timings_s[...]"),
        (lambda m: m["data"].update(genres=["rock", 1]), "$.data.genres[1]"),
        (lambda m: m["sessions"][0].update(devices=[1]), "$.sessions[0].devices[0]"),
        (lambda m: m["split"]["folds"][0].update(test=0), "$.split.folds[0].test"),
        (lambda m: m["split"]["folds"][0].pop("train"), "`$.split.folds[0]`"),
        (lambda m: m["split"].pop("folds"), "`$.split`"),
        (lambda m: m["data"].update(extra=1), "`$.data`"),
    ],
)
def test_the_place_of_a_fault_is_told(folder, change, path):
    edit_manifest(folder, change)
    with pytest.raises(InputError, match=re.escape(path)) as error:
        read_finished(folder)
    assert str(folder / "manifest.json") in str(error.value)


def test_what_changed_between_sessions_is_listed(folder):
    [first] = RunDir(folder).read_manifest().sessions
    other = msgspec.structs.replace(first, platform="gpu", versions={"jax": "0.9.2"})
    assert environment([first, other, first]) == {
        "platform": "cpu; gpu",
        "devices": "cpu:0",
        "versions.python": "3.11.7",
        "versions.jax": "0.9.2",
    }
    assert environment([]) == {}


def test_the_checksum_is_that_of_the_rest(folder):
    document = json.loads((folder / "manifest.json").read_text())
    document["seeds"] = [1]
    (folder / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="checksum is wrong"):
        RunDir(folder).read_manifest()
