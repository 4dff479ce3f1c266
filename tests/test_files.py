import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gtzan_jax.errors import InputError
from gtzan_jax.files import (
    digest,
    held,
    is_empty,
    is_sealed,
    refuse_links,
    remove_temporaries,
    replaced_folder,
    sealed,
    write_atomically,
)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "written", b"")
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("usual", "written")]
    assert modes[0] == modes[1]


def test_parts_are_written_one_after_another(tmp_path):
    write_atomically(tmp_path / "file", (f"{number}\n" for number in range(3)))
    assert (tmp_path / "file").read_text() == "0\n1\n2\n"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    with replaced_folder(tmp_path / "folder") as aside:
        (aside / "new").touch()
        assert (tmp_path / "folder" / "old").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_a_folder_that_fails_stays_as_it_was(tmp_path):
    def fail(folder):
        with replaced_folder(folder) as aside:
            (aside / "new").touch()
            raise OSError("disk full")

    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="disk full"):
        fail(tmp_path / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_what_a_killed_process_left_counts_as_nothing_and_is_removed(tmp_path):
    (tmp_path / ".results.csv.x1.tmp").touch()
    (tmp_path / ".best.tmp").mkdir()
    (tmp_path / ".best.tmp" / "model.safetensors").touch()
    assert is_empty(tmp_path)
    remove_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes.txt").touch()
    remove_temporaries(tmp_path)
    assert not is_empty(tmp_path)


def test_a_folders_digest_tells_names_and_contents(tmp_path):
    def folder(**files):
        path = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, text in files.items():
            (path / name).write_text(text)
        return digest(path)

    assert folder(a="1", b="2") == folder(b="2", a="1")
    different = {
        folder(a="1", b="2"),
        folder(a="2", b="1"),
        folder(a="12"),
        folder(a="1"),
        folder(),
    }
    assert len(different) == 5


def test_a_sealed_document_tells_any_change():
    document = sealed({"a": [1, 2], "b": "text"})
    assert is_sealed(json.loads(json.dumps(document)))
    assert sealed(document) == document
    for change in ({"a": [1]}, {"c": None}, {"checksum": "0"}):
        assert not is_sealed(document | change)
    assert not is_sealed({"a": 1})
    assert not is_sealed([1])


HOLD = """
import sys
from pathlib import Path
from gtzan_jax.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_holder_and_a_dead_one_lets_go(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(InputError) as error, held(tmp_path):
            pass
        assert f"in use by process {process.pid} on {socket.gethostname()}" in str(error.value)
        process.kill()
        process.wait()
    with held(tmp_path):
        pass


needs_posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")


@needs_posix
@pytest.mark.parametrize(
    "make",
    [
        lambda lock, other: lock.symlink_to(other),
        lambda lock, other: lock.symlink_to(other.with_name("new")),
        lambda lock, other: lock.hardlink_to(other),
        lambda lock, _: lock.mkdir(),
        lambda lock, _: os.mkfifo(lock),
    ],
    ids=["link", "link to nothing", "hard link", "folder", "pipe"],
)
def test_a_lock_that_is_no_file_of_its_own_is_refused(tmp_path, make):
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.write_text("mine")
    make(folder / ".lock", other)
    with pytest.raises(InputError, match=r"\.lock is .*remove it") as error, held(folder):
        pass
    assert error.value.args[0].isprintable()
    assert other.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "run"]


@needs_posix
@pytest.mark.parametrize("name", ["x", "a/b/x", ".lock", ".segments.tmp", "\x1b[2J\n"])
@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/"), os.mkfifo])
def test_links_and_pipes_are_refused_wherever_they_are(tmp_path, name, make):
    folder = tmp_path / "link"  # which one names a folder by is one's own choice
    (tmp_path / "run" / "a" / "b").mkdir(parents=True)
    (tmp_path / "run" / "file").touch()
    folder.symlink_to("run")
    refuse_links(folder)
    make(folder / name)
    with pytest.raises(InputError, match="is a link or a special file") as error:
        refuse_links(folder)
    assert error.value.args[0].isprintable()
