"""Computes with a trained network: log-probabilities of rows and of songs, and attributions."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from gtzan_jax.inference.attribution import MOST_PIECES, NODES, Attributions, integrated_gradients
from gtzan_jax.models import backend
from gtzan_jax.models.family import FAMILIES, Family
from gtzan_jax.models.layers import Tree, voted
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes

_AT_ONCE = 1e6  # numbers whose gradients are held in memory together
_NUMBERS = 5e5  # of the pieces of the path together, which bounds the time; ten at least


class Network(NamedTuple):
    """A trained network: the family, the parameters, and numbers for its config."""

    family: Family
    params: Mapping[str, Any]  # nested, float32
    traced: Tree

    @classmethod
    def of(
        cls, config: Config, params: Mapping[str, np.ndarray], slope: float, sizes: Sizes
    ) -> "Network":
        """Returns the network of parameters by name, as in ``Family.shapes``."""
        family = FAMILIES[config.family]
        traced = family.traced(config, sizes, slope, {config.setting("activation")})
        nested = traverse_util.unflatten_dict(dict(params), sep=".")  # type: ignore[no-untyped-call]
        return cls(family, nested, traced)


@contextlib.contextmanager
def _exactly() -> Iterator[None]:
    """Pins the settings that figures depend on, whatever a notebook's are."""
    with backend.pinned(), jax.default_matmul_precision("float32"):
        yield


@_exactly()
def log_probabilities(
    network: Network, x: np.ndarray, songs: np.ndarray | None = None, num_songs: int = 0
) -> np.ndarray:
    """Returns log-probabilities, float32, (rows, classes) or (songs, classes).

    Those of a song are the means of its rows', normalised.

    Args:
      network: the network.
      x: (rows, …), standardised.
      songs: (rows,) int32, the number of each row's song; None for rows by themselves.
      num_songs: that there are.
    """
    family, params, traced = network
    return np.asarray(_log_probabilities(family, params, traced, x, songs, num_songs))


@functools.partial(jax.jit, static_argnames=("family", "num_songs"))
def _log_probabilities(
    family: Family,
    params: Tree,
    traced: Tree,
    x: jax.Array,
    songs: jax.Array | None,
    num_songs: int,
) -> jax.Array:
    logits = family.apply(params, x, traced, None)
    return jax.nn.log_softmax(logits if songs is None else voted(logits, songs, num_songs))


@_exactly()
def song_attributions(
    network: Network, x: np.ndarray, label: int, temperature: float
) -> Attributions:
    """Attributes the log-probability of a class, by the vote of a song's rows, to the inputs.

    It is log softmax(m / T) of the class, where m is the mean of the rows' logits: the same as by
    the mean of their log-probabilities, which differs by a constant. The baseline is 0 everywhere:
    a song of rows that are the training rows' mean.

    Args:
      network: the network.
      x: (rows, …) float32, standardised.
      label: the class.
      temperature: T.
    """

    def of_song(rows: jax.Array) -> jax.Array:
        mean = network.family.apply(network.params, rows, network.traced, None).mean(axis=0)
        return jax.nn.log_softmax(mean / temperature)[label]

    return integrated_gradients(
        of_song,
        x,
        np.zeros_like(x),
        nodes_at_once=min(NODES, max(1, int(_AT_ONCE // x.size))),
        most_pieces=min(MOST_PIECES, max(10, int(_NUMBERS // x.size))),
    )
