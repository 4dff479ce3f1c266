"""A trained network at work: what it says of rows and of songs, and why."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np

from gtzan_jax.models import backend
from gtzan_jax.models.attribution import (
    MOST_PIECES,
    NODES,
    Attributions,
    integrated_gradients,
)
from gtzan_jax.models.families import FAMILIES
from gtzan_jax.models.family import Family
from gtzan_jax.models.layers import Activation, nested, voted

if TYPE_CHECKING:
    from gtzan_jax.models.trained import TrainedModel

_AT_ONCE = 1e6  # numbers whose gradients are held in memory together
_NUMBERS = 5e5  # of the pieces of the path together, which bounds the time; ten at least


@contextlib.contextmanager
def _exactly() -> Iterator[None]:
    """Fixes what figures depend on, whatever a notebook's settings and how it was trained."""
    with backend.pinned(), jax.default_matmul_precision("float32"):
        yield


@_exactly()
def log_probabilities(
    model: "TrainedModel", x: np.ndarray, songs: np.ndarray | None = None, num_songs: int = 0
) -> np.ndarray:
    """Returns the logarithms of the classes' probabilities, float32, of each row or each song.

    Those of a song are the means of its rows', normalised.

    Args:
      model: whose they are.
      x: (rows, …), standardised.
      songs: (rows,) int32, the number of each row's song; None for rows by themselves.
      num_songs: that there are.
    """
    family, params = FAMILIES[model.config.family], _params(model)
    return np.asarray(_log_probabilities(family, params, x, _activation(model), songs, num_songs))


@_exactly()
def song_attributions(model: "TrainedModel", x: np.ndarray, label: int) -> Attributions:
    """Attributes the log-probability of a class, by the vote of a song's rows, to the inputs.

    What is attributed is log softmax(m / T) of the class, where m is the mean of the rows' logits:
    the same as by the mean of their log-probabilities, which differs by a constant. The baseline
    is 0 everywhere: a song of rows that are the training rows' mean.

    Args:
      model: whose it is, and T.
      x: (rows, …) float32, standardised.
      label: the class.
    """
    family, params = FAMILIES[model.config.family], _params(model)
    activation = _activation(model)

    def of_song(rows: jax.Array) -> jax.Array:
        mean = family.logits(params, rows, activation).mean(axis=0)
        return jax.nn.log_softmax(mean / model.temperature)[label]

    return integrated_gradients(
        of_song,
        x,
        np.zeros_like(x),
        nodes_at_once=min(NODES, max(1, int(_AT_ONCE // x.size))),
        most_pieces=min(MOST_PIECES, max(10, int(_NUMBERS // x.size))),
    )


def _params(model: "TrainedModel") -> dict[str, dict[str, jax.Array]]:
    return nested({name: jax.numpy.asarray(array) for name, array in model.params.items()})


def _activation(model: "TrainedModel") -> Activation:
    name = model.config.setting("activation")
    return Activation.of(name, model.slope, {name})


@functools.partial(jax.jit, static_argnames=("family", "num_songs"))
def _log_probabilities(
    family: Family,
    params: Mapping[str, Mapping[str, jax.Array]],
    x: jax.Array,
    activation: Activation,
    songs: jax.Array | None,
    num_songs: int,
) -> jax.Array:
    """Compiles :func:`log_probabilities`."""
    logits = family.logits(params, x, activation)
    return jax.nn.log_softmax(logits if songs is None else voted(logits, songs, num_songs))
