"""The run directory: all files that one sweep writes; README.md lists them."""

import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import reprlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtzan_jax import process
from gtzan_jax.errors import InputError, described
from gtzan_jax.files import (
    digest,
    is_empty,
    refuse_links,
    remove_temporaries,
    write_atomically,
    write_csv,
    write_csv_parts,
)
from gtzan_jax.rundir.manifest import Data, Manifest, Session, as_dict, decode, encode
from gtzan_jax.rundir.predictions import Part, Predictions, save_predictions
from gtzan_jax.space.sweep import SAMPLERS, Sweep
from gtzan_jax.space.sweep_file import parse_config
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import flag

if TYPE_CHECKING:  # importing pandas takes half a second
    import pandas as pd

TABLES = ("results.csv", "trials.csv", "history.csv", "predictions.safetensors")
"""The files computed from the histories of all trials."""

CONFIGS = "configs.json"
"""The file of the configs, if the sweep does not list them."""


class RunDir:
    """The paths of one run; the folder need not exist yet."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest_path = self.path / "manifest.json"
        self.results_path = self.path / "results.csv"
        self.trials_path = self.path / "trials.csv"
        self.history_path = self.path / "history.csv"
        self.predictions_path = self.path / "predictions.safetensors"
        self.configs_path = self.path / CONFIGS
        self.study_path = self.path / "study.journal"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.overview = self.path / "overview"
        self.best = self.path / "best"
        self.reference = self.path / "reference"
        self.retrained = self.path / "retrained"

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes the manifest with its checksum."""
        write_atomically(self.manifest_path, encode(manifest))

    def read_manifest(self) -> Manifest:
        """Reads the manifest."""
        if self.manifest_path.exists():  # else it may be any folder
            refuse_links(self.path)
        try:
            content = self.manifest_path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{self.path} is not a run directory: it has no manifest.json"
            ) from None
        except OSError as error:
            raise InputError(f"{described(error)}: cannot be read") from None
        return decode(content, self.manifest_path)

    def record(self, manifest: Manifest, *names: str) -> None:
        """Adds checksums of finished files and folders to the manifest, and writes it.

        Each file in ``best``, ``reference`` and the folders in ``retrained`` has a checksum; any
        other folder has a single one.
        """
        for name in names:
            for old in _of(name, manifest.sha256):
                del manifest.sha256[old]
            manifest.sha256 |= self._digests(name)
        self.write_manifest(manifest)

    def has(self, manifest: Manifest, name: str) -> bool:
        """Returns whether a file or folder was recorded as finished."""
        return bool(_of(name, manifest.sha256))

    def damaged(self, manifest: Manifest, name: str) -> str | None:
        """Returns the first file or folder that differs from its record; None if all match."""
        keys, there = _of(name, manifest.sha256), self._digests(name)
        if not keys:
            return name
        return next((key for key in keys if there.get(key) != manifest.sha256[key]), None)

    def _digests(self, name: str) -> dict[str, str]:
        """Returns the checksums of a file or folder, by path in the run; empty if missing."""
        whole = self.path / name
        each = name in ("best", "reference") or whole.parent == self.retrained
        paths = whole.glob("*") if each else [whole]
        return {
            path.relative_to(self.path).as_posix(): digest(path)
            for path in sorted(paths)
            if path.is_file() or path.is_dir()
        }

    def write_tables(
        self,
        results: "pd.DataFrame",
        trials: "pd.DataFrame",
        history: "Iterable[pd.DataFrame]",
        predictions: Mapping[Part, Predictions],
    ) -> None:
        """Writes the files of ``TABLES``; ``history`` yields the parts of history.csv."""
        write_csv(self.results_path, results)
        write_csv(self.trials_path, trials)
        write_csv_parts(self.history_path, history)
        save_predictions(predictions, self.predictions_path)

    def remove(self) -> None:
        """Removes the files of a sweep, except the manifest; leaves all other files."""
        for name in ("checkpoints", "tensorboard", "overview", "best", "reference", "retrained"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (*TABLES, CONFIGS, self.study_path.name):
            (self.path / name).unlink(missing_ok=True)

    def write_configs(self, sweep: Sweep) -> None:
        """Writes the configs of a sweep as a list of objects."""
        text = json.dumps([dict(config) for config in sweep.configs], indent=1, allow_nan=False)
        write_atomically(self.configs_path, text + "\n")

    def with_configs(self, sweep: Sweep) -> Sweep:
        """Returns a sweep with its configs, read from the run if a sampler proposed them."""
        if sweep.search.kind not in SAMPLERS:
            return sweep
        if not self.configs_path.is_file():
            raise InputError(f"{self.path} has no {CONFIGS}: the sweep did not finish")
        where = str(self.configs_path)
        configs = [parse_config(row, where) for row in json.loads(self.configs_path.read_bytes())]
        if not configs or any(config.axes != tuple(sweep.axes) for config in configs):
            raise InputError(f"{where} has no configurations, or those of another sweep")
        return sweep.choosing(configs)

    def read_results(self) -> "pd.DataFrame":
        """Reads results.csv."""
        import pandas as pd

        return pd.read_csv(self.results_path)


def _of(name: str, keys: Iterable[str]) -> list[str]:
    """Returns the keys of a file, or of a folder and its files."""
    return [key for key in keys if key == name or key.startswith(f"{name}/")]


def default_folder(name: str) -> Path:
    """Creates runs/<name>-<UTC time>, with a number if that exists."""
    first = Path("runs", f"{name}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}")
    check_place(first)
    _make(first.parent, exist_ok=True)
    path = first
    for number in itertools.count(2):
        with contextlib.suppress(FileExistsError):
            _make(path, exist_ok=False)
            break
        path = first.with_name(f"{first.name}-{number}")
    return path


def check_folder(path: Path, needed_bytes: float = 0.0) -> None:
    """Checks that a folder is empty or can be created."""
    if path.is_dir() and not is_empty(path):
        raise InputError(
            f"{flag('workdir', path)}: the folder is not empty; name a new one, or delete it"
        )
    check_place(path, needed_bytes)


def check_place(
    path: str | os.PathLike[str], needed_bytes: float = 0.0, name: str = "workdir"
) -> None:
    """Checks that a folder can be created and written to; ``name`` is that of the flag."""
    path = Path(path)
    # os.path.exists, which accepts names that are too long.
    nearest = next(p for p in (path, *path.absolute().parents) if os.path.exists(p))
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise InputError(f"{flag(name, path)}: a name of more than 255 bytes; choose a shorter one")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{flag(name, path)}: {nearest} is not a writable folder; name another")
    free = shutil.disk_usage(nearest).free
    if free < needed_bytes:
        raise InputError(
            f"{flag(name, path)}: the run needs {needed_bytes / 1e6:,.0f} MB, and only "
            f"{free / 1e6:,.0f} MB are free; free some space or name another folder"
        )


def create_folder(path: Path) -> None:
    """Creates an empty folder for the output of a command."""
    check_folder(path)
    _make(path, exist_ok=True)


def _make(path: Path, exist_ok: bool) -> None:
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and not exist_ok:
            raise
        raise InputError(f"{flag('workdir', path)}: cannot be created: {error.strerror}") from None


def begin(run: RunDir, request: Manifest, overwrite: bool) -> Manifest:
    """Begins or resumes the requested run, and writes its manifest. The caller holds the lock."""
    remove_temporaries(run.path)
    manifest = request
    if not run.manifest_path.exists():
        check_folder(run.path)
    elif overwrite:
        run.remove()
    else:
        manifest = run.read_manifest()
        different = list(differences(_identity(manifest), _identity(request)))
        if different:
            raise InputError(
                f"{flag('workdir', run.path)} holds another run ({'; '.join(different)}): name "
                "another folder, or remove that run with --overwrite"
            )
        # Table and folder may have been moved.
        manifest.data, manifest.resume = request.data, request.resume
    run.write_manifest(manifest)
    return manifest


def _identity(manifest: Manifest) -> dict[str, Any]:
    # Without devices, versions and --batching, which change figures by rounding errors only.
    document = as_dict(manifest)
    document["data"] = manifest.data.sha256
    document["columns"] = dataclasses.asdict(manifest.data.columns)
    keys = ("sweep", "seeds", "split", "matmul_precision", "data", "columns")
    return {key: document[key] for key in keys}


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Yields the differences between two JSON documents as text."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differences(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
    elif old != new:
        yield f"{where} {reprlib.repr(old)} there, {reprlib.repr(new)} here"


def describe_data(table: FeatureTable, given: str) -> Data:
    """Returns the manifest entry of a feature table, from ``--data=given``."""
    return Data(
        flag=given,
        source=table.source,
        sha256=table.sha256,
        tracks=len(table.y),
        songs=table.num_songs,
        features=len(table.features),
        genres=list(table.genres),
        repeats=[[table.tracks[row] for row in rows] for rows in table.repeats],
        columns=table.columns,
        is_of_songs=table.is_of_songs,
        pretrained=table.pretrained,
    )


def describe_session(
    command: str, trials_before: int, platform: str, devices: Sequence[str]
) -> Session:
    """Returns the manifest entry of this process."""
    return Session(
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=command,
        platform=platform,
        devices=list(devices),
        versions=process.versions(),
        trials_before=trials_before,
    )
