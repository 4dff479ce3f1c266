"""What a command refuses: one line that says what is wrong and where, and nothing is written."""

import contextlib
import gzip
import io
import os
import re
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from commands import command, run_here
from conftest import this_process
from csv_edits import set_cell as cell
from csv_edits import small_text

from gtzan_jax.jobs import sweeping
from gtzan_jax.jobs.job import Training
from gtzan_jax.resources import resource
from gtzan_jax.tables.folds import scaler_of
from gtzan_jax.tables.schema import COLUMNS, FEATURES
from gtzan_jax.tables.splits import random_split
from gtzan_jax.tables.validation import parse_table

USAGE = 2


@pytest.fixture(scope="module")
def text():
    """A valid CSV: 50 tracks each of blues and jazz, on lines 2 to 101."""
    return small_text(50)


@pytest.fixture(scope="module", autouse=True)
def in_process():
    """Lets the command run in this process; nothing of these tests may get to train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "open_backend", this_process)
        patch.setattr(Training, "begin", None)
        yield


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def nothing_written(folder):
    def there():
        return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}

    before = there()
    yield
    assert there() == before


def assert_one_line(errors, fragments):
    """Asserts that an error is told in one line, after warnings at most, with all fragments."""
    *before, line = errors.splitlines()
    assert all(text.startswith("warning: ") for text in before), errors
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line
    assert len(line) < (900 if "problems: (1)" in line else 600)
    assert line.isprintable()


def assert_refused(folder, capsys, fragments, *argv):
    """Asserts that the command with these flags ends as it should for a usage error."""
    with nothing_written(folder):
        assert run_here("sweep", "--workdir=run", *argv) == USAGE
    printed = capsys.readouterr()
    assert not printed.out
    assert_one_line(printed.err, fragments)


# ---------------------------------------------------------------------------------------- tables


def frame_of(text):
    return pd.read_csv(io.StringIO(text))


def label(lines, name):
    """An edit of a CSV: give some lines another label."""

    def edit(text):
        for line in lines:
            text = cell(line, "label", name)(text)
        return text

    return edit


def in_the_test_part(text):
    """Gives three tracks that are all in the test part a genre of their own."""
    rows = random_split(len(parse_table(text, "t").y), 0).test[:3]
    return label([int(row) + 2 for row in rows], "polka")(text)


def zipped(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("features_30_sec.csv", text)
    return buffer.getvalue()


NUMBER = "is not a finite number"
HEADER = ",".join(COLUMNS)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1061537\n"
LOGIN = "\n<!DOCTYPE html>\n<html><title>Login | Kaggle</title></html>\n"

BAD_TABLES = {
    "no bytes": (lambda _: "", ["bad.csv is empty"]),
    "blank lines": (lambda _: "\n\n\n", ["bad.csv is empty"]),
    "a missing column": (
        lambda text: frame_of(text).drop(columns="tempo").to_csv(index=False),
        ["bad.csv: missing column 'tempo'"],
    ),
    "an extra column": (
        lambda text: frame_of(text).assign(mood=1).to_csv(index=False),
        ["bad.csv: unknown column 'mood'"],
    ),
    "the index of a frame": (
        lambda text: frame_of(text).to_csv(index=True),
        ["bad.csv: column 1 has no name, as pandas and Excel write an index: '--drop=Unnamed: 0'"],
    ),
    "a renamed column": (
        cell(1, "tempo", "Tempo"),
        ["missing column 'tempo'; unknown column 'Tempo' (did you mean 'tempo'?)"],
    ),
    "a column with a space": (cell(1, "tempo", " tempo"), ["' tempo' (did you mean 'tempo'?)"]),
    "a column twice": (cell(1, "rms_var", "rms_mean"), ["repeated column 'rms_mean'"]),
    "no header": (
        lambda text: text.partition("\n")[2],
        ["bad.csv: line 1 has numbers instead of column names"],
    ),
    "another table": (
        lambda _: "a,b\n1,2\n",
        ["bad.csv: no column 'label'; name the column of classes with --label=COLUMN"],
    ),
    "thousands of columns": (
        lambda _: ",".join(f"column{i}" for i in range(20_000)),
        ["bad.csv: no column 'label'; name the column of classes with --label=COLUMN"],
    ),
    "text": (cell(9, "tempo", "fast"), ["bad.csv, line 9, column 'tempo': 'fast' " + NUMBER]),
    "NaN": (
        cell(9, "tempo", "nan"),
        ["line 9, column 'tempo': the value is missing; --impute=median"],
    ),
    "an empty cell": (cell(9, "tempo", ""), ["line 9, column 'tempo': the value is missing"]),
    "a thousands separator": (
        cell(9, "rolloff_mean", '"1,234.5"'),
        [
            "line 9, column 'rolloff_mean'",
            "'1,234.5' " + NUMBER,
            "with a point and without commas",
        ],
    ),
    "a bare thousands separator": (
        cell(9, "rolloff_mean", "1,234.5"),
        ["line 9: 61 values for 60 columns; does a number contain a comma?"],
    ),
    "digits of another script": (cell(9, "tempo", "١٢٣"), ["line 9, column 'tempo'", NUMBER]),
    "1e300": (cell(9, "tempo", "1e300"), ["line 9, column 'tempo': 1e+300 is too large"]),
    "a short line": (cell(7, "label", "blues\n1,2"), ["line 8: 2 values for 60 columns"]),
    "the end is missing": (lambda text: text[:-200], ["line 101", "values for 60 columns"]),
    "an open quote": (cell(7, "label", '"blues'), ["bad.csv, line", "not a CSV"]),
    "text after a quote": (cell(7, "label", '"blues"x'), ["bad.csv, line 7: not a CSV"]),
    "semicolons": (lambda text: text.replace(",", ";"), ["separated by semicolons"]),
    "semicolons and decimal commas": (
        lambda text: text.replace(",", ";").replace(".", ","),
        ["bad.csv is separated by semicolons; save it with commas"],
    ),
    "UTF-16": (lambda text: text.encode("utf-16"), ["bad.csv is in UTF-16; save it as UTF-8"]),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), ["line 1: a NUL", "UTF-16"]),
    "Latin-1": (
        lambda text: cell(9, "filename", "é.wav")(text).encode("latin-1"),
        ["bad.csv is not a CSV in UTF-8 (line 9); save it as UTF-8"],
    ),
    "a NUL byte": (cell(9, "label", "bl\0ues"), ["bad.csv, line 9: a NUL byte"]),
    "zeros": (
        lambda _: bytes(5_000_000),
        ["bad.csv is not a CSV: its first line has more than 1,048,576 bytes"],
    ),
    "a web page": (lambda _: LOGIN, ["bad.csv is a web page, not a CSV", "login"]),
    "a Git LFS pointer": (lambda _: POINTER, ["bad.csv is a Git LFS pointer; git lfs pull"]),
    "a zip": (zipped, ["bad.csv is a zip archive", "take the CSV out of it"]),
    "a gzip": (
        lambda text: gzip.compress(text.encode()),
        ["bad.csv is compressed with gzip; unpack it first"],
    ),
    "no rows": (lambda _: HEADER + "\n", ["bad.csv: 0 songs, but at least 20 are needed"]),
    "19 rows": (
        lambda text: "\n".join(text.splitlines()[:20]),
        ["bad.csv: 19 songs, but at least 20 are needed"],
    ),
    "one genre": (
        lambda text: text.replace(",jazz", ",blues"),
        ["bad.csv: only one genre, 'blues', but at least two are needed"],
    ),
    "a genre of one track": (label([9], "polka"), ["genre 'polka' has 1 song", "at least 2"]),
    "a label with a space": (
        cell(9, "label", "blues "),
        ["line 9, column 'label': 'blues ' has spaces around it"],
    ),
    "an empty label": (cell(9, "label", ""), ["line 9, column 'label': the value is empty"]),
    "a genre with and without a hyphen": (
        lambda text: label(range(9, 19), "hip-hop")(label(range(19, 39), "Hiphop")(text)),
        ["bad.csv, line 9, column 'label': 'hip-hop' and 'Hiphop': use one name"],
    ),
    "an invisible character": (
        label([9, 10], "blues\u200b"),
        ["line 9, column 'label': 'blues\\u200b' has an invisible character"],
    ),
    "a file name twice": (
        cell(9, "filename", "blues.sample00.wav"),
        ["line 9, column 'filename': 'blues.sample00.wav' repeats line 2"],
    ),
    "segments among songs": (
        lambda text: text.replace("blues.sample0", "blues.00000."),
        ["'blues.00000.0.wav' of line 2", "is a song, but", "a table of songs, or one of segments"],
    ),
    "a file name that is empty": (cell(9, "filename", ""), ["line 9, column 'filename'", "empty"]),
    "the same features everywhere": (
        lambda text: frame_of(text).assign(**dict.fromkeys(COLUMNS[1:-1], 3)).to_csv(index=False),
        ["bad.csv: every track has the same features: nothing can be learnt"],
    ),
}


@pytest.mark.parametrize(("edit", "fragments"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_refused(folder, capsys, text, edit, fragments):
    content = edit(text)
    (folder / "bad.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert_refused(folder, capsys, fragments, "--sweep=smoke", "--data=bad.csv")


def make_pipe(path):
    os.mkfifo(path)


def make_run(path):
    path.mkdir()
    (path / "manifest.json").write_text("{}")


def forbid(path):
    path.write_text("a,b\n")
    path.chmod(0)


BAD_PLACES = {
    "nothing there": (
        "bad.csv",
        None,
        ["no feature table 'bad.csv'", "Parquet file that exists"],
    ),
    "a misspelt name": ("kagle", None, ["no feature table 'kagle' (did you mean 'kaggle'?)"]),
    "no name": ("", None, ["no feature table ''"]),
    "a name that is too long": ("x" * 300, None, ["no feature table 'xxx"]),
    "no such home": ("~nobody-here/bad.csv", None, ["no feature table '~nobody-here/bad.csv'"]),
    "a folder": ("bad.csv", lambda p: p.mkdir(), ["bad.csv holds no sound file"]),
    "a run directory": ("bad.csv", make_run, ["cannot read bad.csv: it is a run directory"]),
    "a pipe": ("bad.csv", make_pipe, ["cannot read bad.csv: it is a pipe or a device"]),
    "an endless device": ("/dev/zero", None, ["cannot read /dev/zero: it is a pipe or a device"]),
    "a link to itself": ("bad.csv", lambda p: p.symlink_to(p.name), ["no feature table 'bad.csv'"]),
    "no permission": ("bad.csv", forbid, ["cannot read bad.csv: Permission denied"]),
}


@pytest.mark.parametrize(("name", "make", "fragments"), BAD_PLACES.values(), ids=BAD_PLACES)
def test_what_is_no_table_file_is_refused(folder, capsys, name, make, fragments):
    if make is forbid and os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    if make:
        make(folder / name)
    assert_refused(folder, capsys, fragments, "--sweep=smoke", f"--data={name}")


# -------------------------------------------------------------------------------- accepted tables


@pytest.fixture
def job_of(monkeypatch):
    """Returns what gives the job that the command makes of a table, instead of training it."""
    jobs = []

    def stop(job):
        jobs.append(job)
        raise SystemExit

    monkeypatch.setattr(sweeping, "_held", stop)

    def make(text, *argv):
        with open("good.csv", "w", encoding="utf-8", newline="") as file:
            file.write(text)
        assert run_here("sweep", "--sweep=smoke", "--data=good.csv", "--workdir=run", *argv) == 0
        return jobs.pop()

    return make


def shuffled(text):
    frame = frame_of(text)
    return frame[sorted(frame)].to_csv(index=False)


def quoted(text):
    return "\n".join(
        ",".join(f'"{value}"' for value in line.split(",")) for line in text.splitlines()
    )


GOOD_TABLES = {
    "as it is": lambda text: text,
    "reordered columns": shuffled,
    "CR": lambda text: text.replace("\n", "\r"),
    "quotes around everything": quoted,
    "spaces before numbers": lambda text: text.replace(",0.", ", 0."),
    "no line end at the end": lambda text: text[:-1],
    "blank lines at the end": lambda text: text + "\n\n",
}


@pytest.mark.parametrize("edit", GOOD_TABLES.values(), ids=GOOD_TABLES)
def test_what_can_only_mean_one_table_is_accepted_with_the_same_numbers(text, job_of, edit):
    table, frame = job_of(edit(text)).table, frame_of(text)
    expected = frame[list(FEATURES)].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(table.x, expected)
    assert [table.genres[i] for i in table.y] == list(frame["label"])
    assert list(table.tracks) == list(frame["filename"])


def test_flags_of_axes_mean_what_settings_mean(text, job_of):
    short = ["--epochs=3", "--optimizer=adam,sgd", "--num_units", "8,16", "--batch_size=16"]
    axes = [f"--set=axes.num_units{layer}=[8,16]" for layer in (1, 2, 3)]
    long = ["--set=epochs=3", '--set=axes.optimizer=["adam","sgd"]', *axes, "--set=batch_size=16"]
    sweep = job_of(text, *short).sweep
    assert sweep.to_dict() == job_of(text, *long).sweep.to_dict()
    assert (sweep.epochs, sweep.batch_size, sweep.num_configs) == (3, 16, 64)


def test_a_constant_column_is_accepted_and_says_nothing(text, job_of):
    constant = frame_of(text).assign(tempo=123.456).to_csv(index=False)
    splits = job_of(constant).splits
    place = splits.table.features.index("tempo")
    assert scaler_of(splits.table, splits.folds[0]).scale[place] == 1
    (arrays,) = splits.arrays
    np.testing.assert_allclose(arrays.x_train[:, place], 0, atol=1e-5)
    np.testing.assert_allclose(arrays.x_eval[:, place], 0, atol=1e-5)


def test_a_genre_that_is_tested_only_is_accepted_and_told_of(text, job_of, capsys):
    job = job_of(in_the_test_part(text))
    assert "polka" in job.table.genres
    told = capsys.readouterr().err
    assert told.startswith("warning: no track of polka is in the train part of fold 0")
    assert told.count("\n") == 1


# ------------------------------------------------------------------------------------------ size


def test_a_table_that_is_too_large_is_refused_before_it_is_read(folder, capsys):
    with open(folder / "bad.csv", "wb") as file:
        file.truncate(2**31 + 1)
    fragments = ["bad.csv has 2,147,483,649 bytes; at most 2,147,483,648 are read"]
    assert_refused(folder, capsys, fragments, "--sweep=smoke", "--data=bad.csv")


# ---------------------------------------------------------------------------------- sweep files


def lines(*pairs):
    """An edit of a sweep file: replace lines that begin with a key."""

    def edit(text):
        for key, line in pairs:
            text, count = re.subn(rf"^{key} = .*$", lambda _: line, text, flags=re.M)  # noqa: B023
            assert count == 1
        return text

    return edit


def value(key, text):
    return lines((key, f"{key} = {text}"))


HUNDRED_UNITS = str(list(range(1, 101)))
HUNDRED_RATES = str([i / 200 for i in range(100)])
LIST = "must be a list of at least one value, not"
UNITS = "must be a whole number from 1 to 8,192, not"
CONTRADICT = "contradict each other; leave one out"

BAD_SWEEPS = {
    "no bytes": (lambda _: "", ["bad.toml: 'axes' is missing"]),
    "a table": (lambda _: HEADER, ["bad.toml: not valid TOML", "line 1"]),
    "a syntax error": (
        lines(("epochs", "epochs = = 3")),
        ["bad.toml: not valid TOML: Invalid value (at line 8, column 10)"],
    ),
    "a key twice": (lines(("epochs", "epochs = 3\nepochs = 4")), ["not valid TOML", "line 9"]),
    "Latin-1": (
        lambda text: (text + "# é").encode("latin-1"),
        ["bad.toml: not in UTF-8 (at line 28); save it as UTF-8"],
    ),
    "a NUL byte": (lambda text: text + "\0", ["bad.toml: not valid TOML", "line 28"]),
    "nested too deeply": (value("epochs", "[" * 50_000), ["bad.toml: not valid TOML"]),
    "a number without end": (value("epochs", "9" * 5_000), ["bad.toml: not valid TOML", "4300"]),
    "a hexadecimal number without end": (
        value("epochs", "0x" + "f" * 5_000),
        ["bad.toml: epochs must be a whole number", "a number too long to show"],
    ),
    "a megabyte": (lambda text: text + "#" * 10**6, ["bad.toml: more than 1,000,000 bytes"]),
    "an unknown key": (
        lines(("epochs", "epoch = 3")),
        ["bad.toml: unknown key 'epoch' (did you mean 'epochs'?)"],
    ),
    "a key of two lines": (lines(("epochs", '"a\\nb" = 3')), ["unknown key 'a\\nb'; known keys:"]),
    "a rate of a layer that is not there": (
        lines(("dropout1", "dropout4 = [0.1]")),
        ["bad.toml: axes.dropout4 needs axes.num_units4, which is missing"],
    ),
    "much at once": (
        lines(
            ("epochs", "epoch = 3\nlos = 1\nprotocol = 'k_fold'\nsearch = {kind = 'rnd', eta = 2}"),
            ("batch_size", "batch_size = 0"),
            ("num_units1", "num_units1 = [0, 16.0]"),
            ("dropout1", "dropout1 = [1.0]"),
            ("adam", "adma = 0.1"),
            ("sgd", "sgd = 0.0"),
        ),
        [
            "bad.toml: 9 problems: (1) unknown keys 'epoch' (did you mean 'epochs'?), 'los' (did "
            f"you mean 'loss'?); (2) axes.num_units1 {UNITS} 0; (3) axes.num_units1 {UNITS} 16.0",
            "; (4) axes.dropout1 must be at most 0.99",
            "; (5) batch_size must be",
            "; (6) protocol: unknown value 'k_fold' (did you mean 'kfold'?)",
            "; (7) [search]: kind: unknown value 'rnd' (did you mean 'random'?)",
            "; (8) [learning_rates]: unknown key 'adma' (did you mean 'adam'?)",
            "; (9) learning_rates.sgd must be",
        ],
    ),
    "wrong settings of a search": (
        lines(("epochs", "search = {kind = 'halving', num_cofnigs = 3, eta = 1, brackets = 0}")),
        [
            "bad.toml: 3 problems: (1) [search]: unknown key 'num_cofnigs' (did you mean 'num_conf",
            "(2) [search]: eta must be a whole number",
            "(3) [search]: brackets must be a whole number",
        ],
    ),
    "an unknown protocol": (
        lines(("epochs", 'epochs = 2\nprotocol = "k_fold"')),
        ["bad.toml: protocol: unknown value 'k_fold' (did you mean 'kfold'?)"],
    ),
    "a batch size beside its axis": (
        lines(("dropout1", "batch_size = [16, 701]")),
        ["batch_size 701 is larger than the train part"],
    ),
    "epochs as text": (value("epochs", '"two"'), ["epochs must be a whole number", "'two'"]),
    "a batch larger than the train part": (
        value("batch_size", "701"),
        ["batch_size 701 is larger than the train part, 700 of 1000 tracks", "--set=batch_size="],
    ),
    "an unknown loss": (
        value("loss", '"cross-entropy"'),
        ["bad.toml: loss: unknown value 'cross-entropy' (did you mean 'cross_entropy'?)"],
    ),
    "an axis that is a number": (value("num_units1", "64"), [f"axes.num_units1 {LIST} 64"]),
    "an empty axis": (value("num_units1", "[]"), [f"bad.toml: axes.num_units1 {LIST} []"]),
    "an optimizer twice": (
        value("optimizer", '["sgd", "sgd"]'),
        ["bad.toml: axes.optimizer has a value twice: sgd"],
    ),
    "two rates with one name": (
        value("dropout1", "[0.1, 0.10000001]"),
        ["axes.dropout1 has a value twice: 0.1, as 0.10000001 and 0.1; keep one"],
    ),
    "an unknown optimizer": (
        value("optimizer", '["adamax"]'),
        ["axes.optimizer: unknown value 'adamax' (did you mean 'adam'?); choose one of adam, sgd"],
    ),
    "learning rates that are no table": (
        lambda text: text.replace("[learning_rates]", "[other]"),
        ["bad.toml: unknown key 'other'"],
    ),
    "a grid of 10¹² configs": (
        lines(
            *((f"num_units{i}", f"num_units{i} = {HUNDRED_UNITS}") for i in (1, 2, 3)),
            *((f"dropout{i}", f"dropout{i} = {HUNDRED_RATES}") for i in (1, 2, 3)),
            ("activation", 'activation = ["relu"]'),
            ("optimizer", 'optimizer = ["sgd"]'),
        ),
        ["bad.toml: the grid has 1,000,000,000,000 configs; at most 1,000,000 are allowed"],
    ),
}


@pytest.mark.parametrize(("edit", "fragments"), BAD_SWEEPS.values(), ids=BAD_SWEEPS)
def test_a_bad_sweep_file_is_refused_at_once(folder, capsys, edit, fragments):
    content = edit(resource("sweeps", "smoke.toml").read_text(encoding="utf-8"))
    (folder / "bad.toml").write_bytes(content.encode() if isinstance(content, str) else content)
    started = time.process_time()
    assert_refused(folder, capsys, fragments, "--sweep=bad.toml", "--data=sample")
    assert time.process_time() - started < 1


BAD_SWEEP_PLACES = {
    "a misspelt name": ("asignment", None, ["'asignment' (did you mean 'assignment'?)", "smoke"]),
    "nothing there": ("bad.toml", None, ["no sweep 'bad.toml': give one of assignment, base"]),
    "no name": ("", None, ["no sweep ''"]),
    "a name that is too long": ("x" * 300, None, ["no sweep"]),
    "a folder": ("bad.toml", lambda p: p.mkdir(), ["no sweep 'bad.toml' (not a file)"]),
    "a pipe": ("bad.toml", make_pipe, ["no sweep 'bad.toml' (not a file)"]),
    "no permission": ("bad.toml", forbid, ["bad.toml: cannot be read: Permission denied"]),
}


@pytest.mark.parametrize(
    ("name", "make", "fragments"), BAD_SWEEP_PLACES.values(), ids=BAD_SWEEP_PLACES
)
def test_what_is_no_sweep_file_is_refused(folder, capsys, name, make, fragments):
    if make is forbid and os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    if make:
        make(folder / name)
    assert_refused(folder, capsys, fragments, f"--sweep={name}", "--data=sample")


# ----------------------------------------------------------------------------------------- flags


BAD_FLAGS = {
    "a misspelt flag": (["--sed=1"], ["unknown flag --sed (did you mean --seed?)"]),
    "an unknown flag": (["--gpus=1"], ["unknown flag --gpus", "--help"]),
    "an unknown platform": (["--platform=cuda"], ["--platform=cuda", "auto|cpu|gpu|tpu"]),
    "a number of seeds in words": (["--num_seeds=two"], ["--num_seeds=two"]),
    "a seed beyond 2³¹": (["--seed=9999999999"], ["--seed=9999999999"]),
    "epochs below 0": (["--retrain_epochs=-1"], ["--retrain_epochs=-1"]),
    "more folds than tracks of a genre": (
        ["--protocol=kfold", "--num_folds=101"],
        ["101 folds need as many tracks of each genre", "--num_folds=100 or fewer"],
    ),
    "a search that needs a validation part": (
        ["--search=halving", "--sweep=assignment", "--protocol=assignment"],
        ["selects on the validation part", "--set=protocol=holdout has one"],
    ),
    "all contradictions at once": (
        ["--epochs=3", "--set=epochs=4", "--set=num_seeds=2", "--num_seeds=1", "--dropout=0.1",
         "--set=axes.dropout3=[0.2]", "--profile=p", "--workers=2", "--search=tpe",
         "--set=search.kind=random", "--set=loss=a", "--set=loss=b"],
        [f"error: 6 problems: (1) --epochs and --set=epochs {CONTRADICT}; (2) --search and "
         f"--set=search.kind {CONTRADICT}; (3) --num_seeds and --set=num_seeds {CONTRADICT}; (4) ",
         f"--set=axes.dropout3 and --dropout {CONTRADICT}; ",
         "--set gives 'loss' more than once", "(6) --profile traces this process"],
    ),
    "an unknown value of an axis": (
        ["--optimizer=adam,adamax", "--dropout=1.0", "--set=axis.l2=0.1"],
        ["error: 5 problems: (1) --set=axis.l2=0.1: no table 'axis' (did you mean 'axes'?); (2) ",
         "axes.optimizer: unknown value 'adamax' (did you mean 'adam'?)",
         "axes.dropout3 must be at most"],
    ),
    "an axis of another kind of model": (
        ["--kernel=3"], ["[axes]: unknown key 'kernel'"],
    ),
    "a flag without its value": (["--seed"], ["seed"]),
    "a switch with a value": (["--overwrite=perhaps"], ["--overwrite=perhaps"]),
    "set without a value": (["--set=epochs"], ["--set=epochs: write key=value, such as"]),
    "set without a key": (["--set==3"], ["--set==3: write key=value"]),
    "set of nothing": (["--set="], ["--set=: write key=value"]),
    "set of an unknown key": (["--set=epoch=3"], ["unknown key 'epoch' (did you mean 'epochs'?)"]),
    "set of an unknown table": (
        ["--set=axis.dropout1=[0.1]"],
        ["--set=axis.dropout1=[0.1]: no table 'axis' (did you mean 'axes'?)"],
    ),
    "set of an unknown axis": (["--set=axes.dropout=[0]"], ["[axes]: unknown key 'dropout'"]),
    "set below a value": (["--set=epochs.x=1"], ["--set=epochs.x=1: no table 'epochs'"]),
    "set of an open list": (["--set=axes.dropout1=[0.1"], [f"axes.dropout1 {LIST} '[0.1'"]),
    "set of two values": (["--set=epochs=3\nx=4"], ["--set=epochs=3 x=4: more than one value"]),
    "set of a deep list": (["--set=epochs=" + "[" * 50_000], ["--set=epochs=[[[", "recursion"]),
    "set of a number without end": (["--set=epochs=" + "9" * 5_000], ["--set=epochs=999", "4300"]),
    "set that the file's values contradict": (
        ["--set=batch_size=701"],
        ["batch_size 701 is larger than the train part"],
    ),
    "a working directory that is a file": (["--workdir=file"], ["--workdir=file: file is not a"]),
    "a working directory in a file": (["--workdir=file/run"], ["file is not a writable folder"]),
    "a working directory that holds something": (
        ["--workdir=full"],
        ["--workdir=full: the folder is not empty"],
    ),
    "a working directory without a name": (["--workdir="], ["--workdir= is empty"]),
    "a profile in a file": (["--profile=file/x"], ["--profile=file/x: ", "file is not a"]),
    "a working directory on a device": (["--workdir=/dev/null"], ["/dev/null is not a writable"]),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "fragments"), BAD_FLAGS.values(), ids=BAD_FLAGS)
def test_a_bad_flag_is_refused(folder, capsys, argv, fragments):
    (folder / "file").write_text("")
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("")
    assert_refused(folder, capsys, fragments, "--data=sample", "--sweep=smoke", *argv)


def test_overwriting_without_a_folder_is_refused(folder, capsys):
    with nothing_written(folder):
        assert run_here("sweep", "--data=sample", "--sweep=smoke", "--overwrite") == USAGE
    fragments = ["--overwrite needs --workdir, the run directory to remove"]
    assert_one_line(capsys.readouterr().err, fragments)


# ------------------------------------------------------------------------- processes of their own

COMMANDS = {
    "a platform that is not there": (
        ["--data=sample", "--platform=tpu"],
        ["--platform=tpu: JAX found no TPU", "use --platform=cpu or leave the flag out"],
    ),
}


@pytest.mark.parametrize(("argv", "fragments"), COMMANDS.values(), ids=COMMANDS)
def test_a_process_ends_as_the_tests_above_do(folder, argv, fragments):
    with nothing_written(folder):
        done = command("sweep", "--workdir=run", *argv, folder=folder)
    assert done.returncode == USAGE, done.stderr
    assert not done.stdout
    assert_one_line(done.stderr, fragments)
