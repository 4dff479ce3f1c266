"""The two files of a trained model: its weights (safetensors), and a description (JSON).

Nothing in them is executed, and no more of them is read than a model may have.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.files import is_sealed, refuse_links, sealed, write_atomically
from gtzan_jax.models.layout import layer_names
from gtzan_jax.models.trained import TrainedModel
from gtzan_jax.space.sweep_file import parse_config
from gtzan_jax.text import printable

_FORMAT = 4
_WEIGHTS, _DESCRIPTION = "model.safetensors", "model.json"
_MAX_JSON = 2**20  # bytes of the description, many times what names of features and genres take
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
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _WEIGHTS, weights)
    write_atomically(folder / _DESCRIPTION, json.dumps(sealed(description), indent=2) + "\n")


def load_model(path: str | Path) -> TrainedModel:
    """Reads a trained model.

    Args:
      path: a run directory, or the ``best`` folder inside it.

    Raises:
      InputError: there is no model, or its files do not fit together.
    """
    from safetensors import SafetensorError

    folder = Path(path)
    if not (folder / _DESCRIPTION).is_file():
        folder = folder / "best"
    if not (folder / _DESCRIPTION).is_file():
        raise InputError(f"{path}: no trained model there; give a run directory or its best/")
    refuse_links(Path(path))
    try:
        return _assemble(_description(folder / _DESCRIPTION), folder / _WEIGHTS)
    # Files may be damaged, or made to do harm: by a number without end, by too many brackets.
    except (
        OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, SafetensorError,
    ) as error:  # fmt: skip
        reason = printable(f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise InputError(f"{folder}: the model's files cannot be used ({reason[:200]})") from None


def _description(path: Path) -> dict[str, Any]:
    described = json.loads(_read(path, _MAX_JSON))
    if described["format"] != _FORMAT:
        raise ValueError(
            f"format {described['format']!r}, and this version reads {_FORMAT}: retrain it"
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
    sizes = (len(features), *config.units, len(genres))
    params = _weights(path, sizes, described["weights_sha256"])
    return TrainedModel(
        config, params, features, genres, mean, scale, slope, str(described["data"])
    )


def _names(value: Any) -> tuple[str, ...]:
    if not value or not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError("features or genres are no list of names")
    return tuple(value)


def _weights(path: Path, sizes: tuple[int, ...], sha256: str) -> dict[str, np.ndarray]:
    """Reads the layers between ``sizes``: features, units of the hidden layers, genres."""
    from safetensors.numpy import load

    shapes: dict[str, tuple[int, ...]] = {}
    for name, pair in zip(layer_names(len(sizes) - 2), itertools.pairwise(sizes), strict=True):
        shapes |= {f"{name}.kernel": pair, f"{name}.bias": pair[1:]}
    content = _read(path, 4 * sum(map(math.prod, shapes.values())) + _MAX_HEADER)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not the one that {_DESCRIPTION} describes")
    arrays: dict[str, np.ndarray] = load(content)
    if arrays.keys() != shapes.keys():
        raise ValueError(f"{path.name} holds {sorted(arrays)}, not {sorted(shapes)}")
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype}{array.shape}, not {shapes[name]}")
    return arrays
