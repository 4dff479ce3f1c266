"""The weights of musicnn's network of the Million Song Dataset, from its package (ISC licence).

The package does not install beside current NumPy. At first use pip downloads its wheel; nothing in
it is run, and the arrays of one file are kept in the cache.
"""

import subprocess
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.files import load_arrays, save_arrays
from gtzan_jax.resources import cache_dir
from gtzan_jax.text import printable

SHA256 = "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"
"""Of the file of arrays."""

WHEEL = "musicnn-0.1.0-py3-none-any.whl"

_FILE = "musicnn/MSD_musicnn/.data-00000-of-00001"  # in the wheel
_BYTES = 9_465_596  # of _FILE
_SECONDS = 300  # for 29 MB
_FORMAT = 1  # of the file in the cache

# Shapes of kernels (height, width, in, out), and widths of normalisations.
_KERNELS = (
    (7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51),
    (7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64),
)  # fmt: skip
_DENSE = ((1506, 200), (200, 50))
_NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)

Weights = dict[str, np.ndarray]
"""Float32 arrays by the names of the checkpoint, such as ``conv2d_1/kernel``."""

_loaded: dict[Path, Weights] = {}  # by path in the cache, which may not be writable


def load_weights() -> Weights:
    """Returns the weights from the cache; downloads them at first use.

    Raises:
      InputError: the weights are not in the cache, and cannot be downloaded.
    """
    place = _cached()
    if place not in _loaded:
        try:
            _loaded[place] = load_arrays(place, _FORMAT, lambda about: _kinds())[0]  # noqa: ARG005
        except ValueError:
            _keep(_downloaded(), f"the download of {WHEEL}")
    return _loaded[place]


def layer_name(kind: str, number: int) -> str:
    """Returns the checkpoint's name of a layer, counted from 0."""
    return f"{kind}_{number}" if number else kind


def read_weights(path: str) -> None:
    """Puts the weights into the cache from a file: the package's wheel, or the file of arrays.

    Raises:
      InputError: the file cannot be read, or has another checksum.
    """
    try:
        _keep(_numbers_in(Path(path).expanduser()), printable(path))
    except OSError as error:
        raise InputError(f"--weights={printable(path)}: {error.strerror or error}") from None


def _keep(content: bytes, name: str) -> None:
    """Checks the content of the file of arrays, and puts the weights into the cache."""
    if (found := sha256(content).hexdigest()) != SHA256:
        raise InputError(
            f"{name} does not hold musicnn's weights: the SHA-256 of {_FILE} must be "
            f"{SHA256[:12]}…, not {found[:12]}…; download {WHEEL} again"
        )
    place = _cached()
    _loaded[place] = _arrays_of(content)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(place, _loaded[place], {"format": _FORMAT})
    except OSError as error:
        reason = error.strerror or error
        print(f"warning: {place}: cannot be written: {reason}", file=sys.stderr)


def _cached() -> Path:
    return cache_dir() / f"musicnn-{SHA256[:12]}.safetensors"


def _downloaded() -> bytes:
    """Returns the file of arrays from the package index."""
    print(f"downloading {WHEEL}, 29 MB, once: a pretrained network", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        only = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        try:
            subprocess.run(  # noqa: S603 — of constants
                [*pip, *only, f"--dest={folder}", "musicnn==0.1.0"],
                capture_output=True, check=True, text=True, timeout=_SECONDS,
            )  # fmt: skip
            return _numbers_in(Path(folder, WHEEL))
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"pip exited with {error.returncode}"
        except subprocess.TimeoutExpired:
            reason = f"pip took longer than {_SECONDS} s"
        except OSError as error:
            reason = str(error)
    raise InputError(
        f"musicnn's weights are not in the cache and cannot be downloaded ({printable(reason)}). "
        f"On a machine with a network, get {WHEEL} with pip download --no-deps musicnn==0.1.0, or "
        "from pypi.org/project/musicnn; then run once: python -m gtzan_jax.extract FOLDER "
        f"--features=musicnn --weights={WHEEL}"
    )


def _numbers_in(path: Path) -> bytes:
    """Reads the file of arrays, or that in a wheel, up to one byte more than it should have."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(_BYTES + 1)
    try:
        with zipfile.ZipFile(path) as wheel, wheel.open(_FILE) as file:
            return file.read(_BYTES + 1)
    except (KeyError, OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{printable(path.name)} holds no {_FILE}: {error}") from None


def _shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the arrays, sorted by name as in the checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {}
    for kind, kernels in (("conv2d", _KERNELS), ("dense", _DENSE)):
        for number, kernel in enumerate(kernels):
            name = layer_name(kind, number)
            shapes |= {f"{name}/kernel": kernel, f"{name}/bias": kernel[-1:]}
    for number, width in enumerate(_NORMS):
        name = layer_name("batch_normalization", number)
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        shapes |= {f"{name}/{part}": (width,) for part in parts}
    return dict(sorted(shapes.items()))


def _kinds() -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: ("F32", shape) for name, shape in _shapes().items()}


def _arrays_of(content: bytes) -> Weights:
    """Splits the content into arrays.

    They are sorted by name. Adam's two moments follow each trained array, and Adam's two powers
    precede the convolutions.
    """
    arrays, place = {}, 0
    numbers = np.frombuffer(content, "<f4")
    for name, shape in _shapes().items():
        place += 2 if name == "conv2d/bias" else 0
        size = int(np.prod(shape))
        arrays[name] = numbers[place : place + size].reshape(shape).astype(np.float32)
        place += size if "moving_" in name else 3 * size
    return arrays
