"""Weights: from the published wheel, checked, and refused in one line."""

import io
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from made_weights import made_weights, put_weights

from gtzan_jax.errors import InputError
from gtzan_jax.sound import musicnn_weights
from gtzan_jax.sound.musicnn_weights import WHEEL, load_weights, read_weights


@pytest.fixture(autouse=True)
def own_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(musicnn_weights, "_loaded", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def no_index(monkeypatch):
    """Lets pip find nothing."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def content_of(weights):
    """Returns the file of numbers of some weights: as a checkpoint, with Adam's numbers."""
    parts = {}
    for name, array in weights.items():
        parts[name] = array.astype("<f4").tobytes()
        if "moving_" not in name:
            for slot in ("Adam", "Adam_1"):
                parts[f"{name}/{slot}"] = bytes(array.nbytes)
    parts |= {f"beta{i}_power": struct.pack("<f", 0.9) for i in (1, 2)}
    return b"".join(parts[name] for name in sorted(parts))


@pytest.fixture
def published(monkeypatch):
    """Has random weights stand for the published ones; returns them, and their file's content."""
    weights = made_weights()
    content = content_of(weights)
    monkeypatch.setattr(musicnn_weights, "SHA256", musicnn_weights.sha256(content).hexdigest())
    return weights, content


def wheel_of(content, name=musicnn_weights._FILE):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        wheel.writestr(name, content)
    return made.getvalue()


@pytest.mark.usefixtures("no_index")
@pytest.mark.parametrize("pack", [lambda content: content, wheel_of], ids=["numbers", "wheel"])
def test_a_file_is_read_once_for_all(published, tmp_path, pack):
    weights, content = published
    assert len(content) == musicnn_weights._BYTES
    file = tmp_path / "file"
    file.write_bytes(pack(content))
    read_weights(str(file))
    file.unlink()
    musicnn_weights._loaded.clear()  # as in another process
    found = load_weights()
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:-4] + b"\0\0\0\1", "does not hold musicnn's weights: the SHA-256 of"),
        (lambda c: c + b"more", "does not hold musicnn's weights"),
        (lambda _: b"", "does not hold musicnn's weights"),
        (lambda c: wheel_of(c[:-4]), "does not hold musicnn's weights"),
        (lambda c: wheel_of(c, "other"), "holds no musicnn/MSD_musicnn/"),
        (lambda c: wheel_of(c)[1000:], r"holds no musicnn/MSD_musicnn/|does not hold musicnn's"),
    ],
)
def test_another_file_is_refused_and_nothing_is_kept(published, tmp_path, change, message):
    file = tmp_path / "file.whl"
    file.write_bytes(change(published[1]))
    with pytest.raises(InputError, match=message):
        read_weights(str(file))
    assert not musicnn_weights._cached().exists()


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"--weights=no/such\.whl: No such file"):
        read_weights("no/such.whl")


@pytest.mark.usefixtures("no_index")
def test_without_a_network_the_remedy_is_said():
    with pytest.raises(InputError) as caught:
        load_weights()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("No matching distribution", "pip download --no-deps musicnn==0.1.0", "--weights="):
        assert part in message


@pytest.mark.usefixtures("no_index")
def test_damaged_weights_in_the_cache_are_got_again():
    put_weights()
    assert load_weights().keys() == made_weights().keys()
    musicnn_weights._loaded.clear()
    path = musicnn_weights._cached()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="cannot be downloaded"):
        load_weights()


@pytest.mark.usefixtures("no_index")
def test_a_cache_that_cannot_be_written_is_told_and_costs_nothing_else(published, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file in the place of the folder")
    file = tmp_path / "file"
    file.write_bytes(published[1])
    read_weights(str(file))
    assert "cannot be written" in capsys.readouterr().err
    assert load_weights().keys() == published[0].keys()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.usefixtures("weights")  # or a skip
def test_the_published_wheel(tmp_path):
    """Names, shapes and places are those of the checkpoint's own index, in the wheel."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"--dest={tmp_path}"]
    subprocess.run([*pip, "musicnn==0.1.0"], check=True)
    with zipfile.ZipFile(tmp_path / WHEEL) as wheel:
        index = dict(entries(wheel.read("musicnn/MSD_musicnn/.index")))
        content = wheel.read(musicnn_weights._FILE)
    ours = musicnn_weights._arrays_of(content)
    plain = {n: e for n, e in index.items() if "Adam" not in n and "power" not in n and n}
    assert plain.keys() == ours.keys()
    for name, (shape, offset, size) in plain.items():
        assert ours[name].shape == tuple(shape)
        assert ours[name].tobytes() == content[offset : offset + size]


def varint(data, i):
    number = shift = 0
    while True:
        byte = data[i]
        number, shift, i = number | (byte & 127) << shift, shift + 7, i + 1
        if byte < 128:
            return number, i


def fields(message):
    """Yields the number and the value of each field of a protocol buffer."""
    i = 0
    while i < len(message):
        tag, i = varint(message, i)
        if tag & 7 == 5:
            value, i = message[i : i + 4], i + 4
        else:
            value, i = varint(message, i)
            if tag & 7 == 2:
                value, i = message[i : i + value], i + value
        yield tag >> 3, value


def block(table, offset, size):
    """Yields keys and values of a block of LevelDB's table format, uncompressed."""
    data = table[offset : offset + size]
    end = len(data) - 4 - 4 * struct.unpack("<I", data[-4:])[0]
    i, key = 0, b""
    while i < end:
        shared, i = varint(data, i)
        unshared, i = varint(data, i)
        length, i = varint(data, i)
        key = key[:shared] + data[i : i + unshared]
        i += unshared
        yield key, data[i : i + length]
        i += length


def entries(table):
    """Yields name, shape, offset and size of each array of a tensor bundle's index."""
    _, i = varint(table[-48:], 0)
    _, i = varint(table[-48:], i)
    offset, i = varint(table[-48:], i)
    size, _ = varint(table[-48:], i)
    for _, handle in block(table, offset, size):
        start, i = varint(handle, 0)
        for key, value in block(table, start, varint(handle, i)[0]):
            found = dict(fields(value))
            dims = [v for n, v in fields(found.get(2, b"")) if n == 2]
            shape = [dict(fields(dim)).get(1, 0) for dim in dims]
            yield key.decode(), (shape, found.get(4, 0), found.get(5, 0))
