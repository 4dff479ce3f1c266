"""What all tests share: two CPU devices, strict JAX, and tables to work on."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

# Before anything imports Keras: the reference arithmetic runs on JAX, without TensorFlow.
os.environ["KERAS_BACKEND"] = "jax"
# Before anything imports NumPy: there is a process a core, whose threads would wait for each other.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
# Before anything imports librosa, whose beat tracker is compiled then, each function for two types:
# of two processes that do so at once, one may crash, as if it ran a file that the other wrote.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    kept = Path(__file__).parent.parent / ".pytest_cache" / "numba" / worker
    os.environ.setdefault("NUMBA_CACHE_DIR", str(kept))

import jax
import numpy as np
import pytest

from gtzan_jax.backends.backend import Backend
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_atomically
from gtzan_jax.models import jax_settings
from gtzan_jax.rundir.history import History
from gtzan_jax.sound import musicnn_weights
from gtzan_jax.space.config import Trial
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import parse_sweep
from gtzan_jax.tables.folds import Fold, FoldArrays, arrays_of, sizes_of
from gtzan_jax.tables.schema import FEATURES, FeatureTable

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
NEEDS = ("table", "browser", "torch", "sound", "weights")
"""What tests skip without, unless GTZAN_JAX_REQUIRE names it: then they fail."""

REAL_TABLES = (
    ROOT / "data" / "features_30_sec.csv",
    ROOT.parent / "shared" / "data" / "features_30_sec.csv",
)

REAL_SONGS = (ROOT / "data" / "audio", ROOT.parent / "shared" / "data" / "audio")


def pytest_configure() -> None:
    """Refuses a misspelt need, which would let tests skip in silence again."""
    if unknown := required() - set(NEEDS):
        raise pytest.UsageError(
            f"GTZAN_JAX_REQUIRE: {', '.join(sorted(unknown))} is none of {', '.join(NEEDS)}"
        )


def slow(*values: object) -> Any:
    """Returns a case of a parametrised test that only ``-m slow`` runs; others like it stay."""
    return pytest.param(*values, marks=pytest.mark.slow)


def required() -> set[str]:
    """Returns what must be there: the words of the environment variable GTZAN_JAX_REQUIRE."""
    return set(os.environ.get("GTZAN_JAX_REQUIRE", "").split())


def without(need: str, reason: str) -> NoReturn:
    """Ends a test that cannot do without what is not there: skips it, or fails."""
    if need not in NEEDS:
        raise ValueError(f"{need!r} is none of {NEEDS}")
    if need in required():
        pytest.fail(f"{reason}; GTZAN_JAX_REQUIRE names '{need}', so that this is no skip")
    pytest.skip(reason)


def find_real_table() -> Path:
    """Returns the path of the real table; skips without, or fails where it is required."""
    for path in REAL_TABLES:
        if path.is_file():
            return path
    without("table", "needs the real table, which may not be redistributed, at data/")


real_table_path = pytest.fixture(find_real_table, scope="session", name="real_table_path")


@pytest.fixture(scope="session")
def real_songs() -> Path:
    """A folder of some of GTZAN's songs; skips where there is none, or fails where required."""
    for folder in REAL_SONGS:
        if folder.is_dir():
            return folder
    without("sound", "needs songs of GTZAN, which may not be redistributed, at data/audio/")


@pytest.fixture(scope="session")
def many_songs(real_songs: Path) -> Path:
    """A folder of ten songs of each genre; skips where there is none."""
    folder = real_songs.with_name("audio100")
    if not folder.is_dir():
        without("sound", "needs more songs of GTZAN, at data/audio100/")
    return folder


@pytest.fixture
def weights(pytestconfig: pytest.Config) -> Iterator[dict[str, np.ndarray]]:
    """The weights of musicnn, in the cache for this test; skips where they cannot be downloaded.

    A download lasts from one run of the tests to the next, in ``.pytest_cache``.
    """
    place = musicnn_weights._cached()
    musicnn_weights._loaded.clear()
    place.parent.mkdir(parents=True, exist_ok=True)
    lasting = pytestconfig.cache.mkdir("weights") / place.name if pytestconfig.cache else None
    if lasting and lasting.is_file():
        shutil.copyfile(lasting, place)
    try:
        yield musicnn_weights.load_weights()
    except InputError as error:
        without("weights", str(error))
    if lasting and not lasting.is_file():
        write_atomically(lasting, place.read_bytes())
    place.unlink(missing_ok=True)
    musicnn_weights._loaded.clear()


@pytest.fixture(autouse=True, scope="session")
def own_cache(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Keeps the user's cache out of the tests, and the tests out of it.

    Compiled programs last from one run of the tests to the next, in ``.pytest_cache``; the
    processes that tests start find them, too.
    """
    cache = tmp_path_factory.mktemp("cache")
    (cache / "gtzan_jax").mkdir()
    lasting = getattr(pytestconfig, "cache", None)  # none with -p no:cacheprovider
    programs = lasting.mkdir("xla") if lasting else tmp_path_factory.mktemp("programs")
    (cache / "gtzan_jax" / "xla").symlink_to(programs)
    jax.config.update("jax_compilation_cache_dir", str(programs))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield


def make_document(**changes: object) -> dict[str, object]:
    """Returns the document of a sweep of 12 tiny configs in two structures, with changes.

    A key, or an axis in ``axes``, that is changed to None is taken out.
    """
    document: dict[str, object] = {
        "epochs": 2,
        "batch_size": 32,
        "loss": "cross_entropy",
        "leaky_slope": 0.2,
        "learning_rates": {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001},
    }
    axes: dict[str, object] = {
        "num_units1": [8, 12],
        "num_units2": [6],
        "num_units3": [5],
        "dropout1": [0.1],
        "dropout2": [0.2],
        "dropout3": [0.0],
        "activation": ["relu", "leaky_relu"],
        "initializer": ["glorot_uniform"],
        "optimizer": ["adam", "sgd", "rmsprop"],
    }
    axes |= changes.pop("axes", {})  # type: ignore[arg-type]
    document |= changes | {"axes": {k: v for k, v in axes.items() if v is not None}}
    return {key: value for key, value in document.items() if value is not None}


def make_sweep(**changes: object) -> Sweep:
    """Returns the sweep of :func:`make_document`."""
    return parse_sweep(make_document(**changes), "tiny", "test")


def make_cnn_sweep(epochs: int = 2, **axes: Sequence[object]) -> Sweep:
    """Returns a sweep of small networks on spectrograms, in batches of 16."""
    document = {
        "axes": {"filters": [8], **axes}, "epochs": epochs, "batch_size": 16,
        "loss": "cross_entropy", "leaky_slope": 0.2, "protocol": "holdout",
        "learning_rates": {"adam": 0.01, "sgd": 0.05, "rmsprop": 0.002, "adamw": 0.01},
    }  # fmt: skip
    return parse_sweep(document, "cnn", "here")


def make_table(
    num_tracks: int = 100, num_genres: int = 4, num_features: int = len(FEATURES), seed: int = 0
) -> FeatureTable:
    """Returns a table of genres that overlap somewhat, equally many tracks of each."""
    random = np.random.default_rng(seed)
    y = (np.arange(num_tracks) % num_genres).astype(np.int32)
    centres = random.normal(size=(num_genres, num_features))
    x = centres[y] + 1.5 * random.normal(size=(num_tracks, num_features))
    return FeatureTable(
        x=x.astype(np.float32),
        y=y,
        tracks=tuple(f"track{i:03d}.wav" for i in range(num_tracks)),
        features=FEATURES[:num_features],
        genres=tuple(f"genre{i}" for i in range(num_genres)),
        sha256="0" * 64,
        source="made.csv",
        repeats=(),
    )


def make_segments(num_songs: int = 40, num_genres: int = 4, **options: int) -> FeatureTable:
    """Returns a table of three segments of each song, four of the first, in mixed order.

    Segments of one song lie near one another.
    """
    songs = make_table(num_songs, num_genres, **options)
    random = np.random.default_rng(1)
    song = random.permutation(np.r_[np.repeat(np.arange(num_songs), 3), 0])
    segment = [int((song[:row] == number).sum()) for row, number in enumerate(song)]
    x = songs.x[song] + 0.7 * random.normal(size=(len(song), songs.x.shape[1]))
    return replace(
        songs,
        x=x.astype(np.float32),
        y=songs.y[song],
        tracks=tuple(f"genre.{s:05d}.{k}.wav" for s, k in zip(song, segment, strict=True)),
    )


def make_history(trials: Sequence[Trial], figures: np.ndarray) -> History:
    """Returns a history without predictions. figures: (trials, epochs, metrics)."""
    epochs = np.full(len(trials), figures.shape[1], np.int32)
    predicted = np.zeros((len(trials), 0), np.uint8)
    return History(tuple(trials), figures, predicted, epochs, epochs, epochs)


def make_fold(train: object, validation: object = (), test: object = ()) -> Fold:
    """Returns a fold of the given rows."""
    return Fold(*(np.asarray(rows, np.intp) for rows in (train, validation, test)))


def make_arrays(table: FeatureTable, *folds: Fold) -> list[FoldArrays]:
    """Returns the arrays of folds, in sizes that all of them fit into."""
    sizes = sizes_of(table, folds)
    return [arrays_of(table, fold, sizes) for fold in folds]


def this_process(*_: object) -> Backend:
    """Stands in for ``open_backend``: the devices as the tests have them, and no other process."""
    devices = list(map(str, jax.devices()))
    backend = Backend("cpu", devices, f"{len(devices)} cpu devices")
    backend.enter_context(jax_settings.pinned())
    return backend


@pytest.fixture(scope="module")
def in_process() -> Iterator[None]:
    """Runs jobs in this process, with figures of a few bytes, which else take most of the time.

    ``jobs/test_sweep.py`` has processes and figures.
    """
    from gtzan_jax.jobs import retraining, sweeping

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "open_backend", this_process)
        patch.setattr(retraining, "open_backend", this_process)
        patch.setattr("matplotlib.figure.Figure.savefig", save_little)
        patch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", save_little)
        yield


def save_little(_figure: object, target: Any, **_: object) -> None:
    """Stands in for what writes a figure to a file or a path."""
    content = b'<svg viewBox="0 0 72 72"></svg>'
    target.write(content) if hasattr(target, "write") else target.write_bytes(content)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves figures of reports empty, for tests of what stands beside them."""
    monkeypatch.setattr("gtzan_jax.views.plots.style.image_of", lambda *_, **__: b"")
