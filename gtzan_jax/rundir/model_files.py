"""The two files of a trained model: its weights (safetensors), and a description (JSON).

Nothing in them is executed, and no more of them is read than a model may have.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gtzan_jax import checks
from gtzan_jax.errors import InputError
from gtzan_jax.files import is_sealed, refuse_links, sealed, write_atomically
from gtzan_jax.models.calibration import Calibration
from gtzan_jax.models.hearing import Hearing
from gtzan_jax.models.layout import LAYOUTS
from gtzan_jax.models.reach import Reach
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.space.sweep_file import parse_config
from gtzan_jax.text import command_line, printable

_FORMAT = 6
_READ = (5, 6)  # the former lacks the fingerprints of the training rows
_WEIGHTS, _DESCRIPTION = "model.safetensors", "model.json"
_MAX_JSON = 2**22  # bytes of the description: names of features, genres, and the training rows
_MAX_HEADER = 2**12  # bytes before the weights, a few times what their names and shapes take


def save_model(model: TrainedModel, folder: Path) -> None:
    """Writes ``model.safetensors`` (the weights) and ``model.json`` (all else)."""
    from safetensors.numpy import save

    weights = save({name: np.ascontiguousarray(array) for name, array in model.params.items()})
    description = {
        "format": _FORMAT,
        "data": model.data,
        "config": dict(model.config),
        "slope": model.slope,
        "genres": list(model.genres),
        "features": list(model.features),
        "mean": model.mean.tolist(),
        "scale": model.scale.tolist(),
        "hearing": msgspec.to_builtins(model.hearing),
        "protocol": model.protocol,
        "reach": msgspec.to_builtins(model.reach),
        "calibration": msgspec.to_builtins(model.calibration),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _WEIGHTS, weights)
    write_atomically(folder / _DESCRIPTION, json.dumps(sealed(description), indent=2) + "\n")


@checks.known_names
def load_model(path: str | os.PathLike[str]) -> TrainedModel:
    """Reads a trained model.

    Args:
      path: a run directory, whose ``best`` is read, or a folder with a model inside it, such as
        ``retrained/rank2``.

    Raises:
      InputError: there is no model, its files do not fit together, or ``path`` is none.
      TypeError: a parameter is unknown.
    """
    from safetensors import SafetensorError

    folder = Path(checks.path(path, "path"))
    if not (folder / _DESCRIPTION).is_file():
        folder = folder / "best"
    if not (folder / _DESCRIPTION).is_file():
        raise InputError(f"{path}: no trained model there; {_remedy(Path(path))}")
    refuse_links(Path(path))
    try:
        return _assemble(_description(folder / _DESCRIPTION), folder / _WEIGHTS)
    # Files may be damaged, or made to do harm: by a number without end, by too many brackets.
    except (
        OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, SafetensorError,
    ) as error:  # fmt: skip
        reason = printable(f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise InputError(f"{folder}: the model's files cannot be used ({reason[:200]})") from None


def _remedy(path: Path) -> str:
    """Returns where there is a model, or how to make one."""
    patterns = ("retrained/*", "*")  # of a run directory, and of its folder retrained
    found = [p.parent for each in patterns for p in sorted(path.glob(f"{each}/{_DESCRIPTION}"))]
    if found:
        return f"give one of {', '.join(map(str, found))}"
    if (path / "manifest.json").is_file():
        return f"{command_line('retrain', [f'--workdir={path}'])} makes one of a finished run"
    return "give a run directory, or a folder with a model inside it, such as its best/"


def _description(path: Path) -> dict[str, Any]:
    described = json.loads(_read(path, _MAX_JSON))
    if described["format"] not in _READ:
        raise ValueError(
            f"format {described['format']!r}, and this version reads {_FORMAT}: retrain it with "
            "--name=NAME"
        )
    if not is_sealed(described):
        raise ValueError(f"the checksum of {path.name} does not fit: damaged, or edited")
    return dict(described)


def _read(path: Path, limit: int) -> bytes:
    """Reads a file, and no more of it than it may have."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name} has more than {limit:,} bytes")
    return content


def _assemble(described: Mapping[str, Any], path: Path) -> TrainedModel:
    """Checks a description, then reads the weights, which must be just those that it implies."""
    config = parse_config(described["config"], "config")
    features, genres = _names(described["features"]), _names(described["genres"])
    mean, scale = (np.asarray(described[name], np.float64) for name in ("mean", "scale"))
    shape, slope = (len(features),), float(described["slope"])
    if mean.shape != shape or scale.shape != shape or not (scale > 0).all():
        raise ValueError(f"mean and scale are not {len(features)} numbers each, the scale above 0")
    if not np.isfinite([*mean, *scale, slope]).all():
        raise ValueError("mean, scale or slope is not finite")
    shapes = LAYOUTS[config.family].shapes(config, len(features), len(genres))
    params = _weights(path, shapes, described["weights_sha256"])
    hearing = msgspec.convert(described["hearing"], Hearing)
    if (hearing.kind == "spectrogram") != (config.family == "cnn"):
        raise ValueError(f"a {config.family} does not hear as {hearing.kind}")
    return TrainedModel(
        config, params, features, genres, mean, scale, slope, str(described["data"]),
        hearing=hearing,
        protocol=msgspec.convert(described["protocol"], str),
        reach=_reach(described["reach"], len(features) * (1 + (config.family == "cnn"))),
        calibration=msgspec.convert(described["calibration"], Calibration | None),
    )  # fmt: skip


def _names(value: Any) -> tuple[str, ...]:
    if not value or not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError("features or genres are no list of names")
    if len(set(value)) < len(value):
        raise ValueError("features or genres have a name twice")
    return tuple(value)


def _reach(value: Any, num_features: int) -> Reach | None:
    """Checks where the training songs lie."""
    reach = msgspec.convert(value, Reach | None)
    if reach is None:
        return None
    if {len(reach.mean), len(reach.deviation), len(reach.is_log)} != {num_features}:
        raise ValueError(f"reach is not {num_features} numbers each")
    numbers = np.array([*reach.mean, *reach.deviation, *reach.percentiles])
    if not np.isfinite(numbers).all() or min(reach.deviation) <= 0:
        raise ValueError("a number of reach is not finite, or a deviation not above 0")
    if (np.diff(reach.percentiles) < 0).any():
        raise ValueError("the percentiles of reach do not ascend")
    if reach.rows is not None and (not reach.rows or len(reach.rows) % num_features):
        raise ValueError(f"the rows of reach are not {num_features} bytes each")
    return reach


def _weights(
    path: Path, shapes: Mapping[str, tuple[int, ...]], sha256: str
) -> dict[str, np.ndarray]:
    """Reads weights of given shapes."""
    from safetensors.numpy import load

    content = _read(path, 4 * sum(map(math.prod, shapes.values())) + _MAX_HEADER)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not the one that {_DESCRIPTION} describes")
    arrays: dict[str, np.ndarray] = load(content)
    if arrays.keys() != shapes.keys():
        raise ValueError(f"{path.name} holds {sorted(arrays)}, not {sorted(shapes)}")
    for name, shape in shapes.items():  # whose order, unlike the file's, is always the same
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype}{array.shape}, not {shape}")
    return arrays
