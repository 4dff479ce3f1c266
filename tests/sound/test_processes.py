"""Many files at once: a file that ends its process costs only itself."""

import os
import time
from pathlib import Path

import pytest
from hostile_rows import rows_of

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.sound.processes import of_many


def is_gone(pid):
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_whatever_happens_costs_the_file_it_happened_to(capfd):
    names = ["a", "SIGSEGV", "b", "exit", "bad", "SIGKILL", "bug", "c", "d", "e"]
    found = dict(of_many(rows_of, [Path(f"{name}.wav") for name in names], workers=2))
    assert {path.stem for path in found} == set(names)
    good = {path.stem: rows for path, rows in found.items() if isinstance(rows, list)}
    assert set(good) == set("abcde")
    assert all(rows[0][::2] == [1.0, 1.0] for rows in good.values())
    pids = {int(rows[0][1]) for rows in good.values()}
    assert os.getpid() not in pids
    assert all(map(is_gone, pids))
    reasons = {p.stem: str(e) for p, e in found.items() if isinstance(e, SoundError)}
    ends = {
        "SIGSEGV": "was ended by SIGSEGV",
        "SIGKILL": "was ended by SIGKILL",
        "exit": "ended with code 3",
    }
    for name, end in ends.items():
        assert reasons[name].startswith(f"{name}.wav: its process {end}")
        assert reasons[name].endswith("is the file damaged?")
    assert reasons["bad"] == "bad.wav: it is bad"
    assert reasons["bug"] == "bug.wav: KeyError: 'of a decoder'"
    assert "chatter" not in "".join(capfd.readouterr())


def test_missing_packages_end_all():
    with pytest.raises(InputError, match="librosa is missing"):
        list(of_many(rows_of, [Path("missing.wav")], workers=1))


def test_files_are_asked_for_when_there_is_a_process_for_them():
    asked = []

    def paths():
        for number in range(6):
            asked.append(number)
            yield Path(f"{number}.wav")

    for count, _ in enumerate(of_many(rows_of, paths(), workers=2), start=1):
        assert len(asked) <= count + 2
