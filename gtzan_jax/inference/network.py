"""Computes log-probabilities of rows and of songs, and attributions, by a trained network."""

import contextlib
import functools
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from flax import traverse_util

from gtzan_jax.inference.attribution import Attributions, integrated_gradients
from gtzan_jax.models import jax_settings
from gtzan_jax.models.family import FAMILIES, Family
from gtzan_jax.models.layers import Tree, voted
from gtzan_jax.space.config import Config
from gtzan_jax.tables.folds import Sizes


@contextlib.contextmanager
def _exactly() -> Iterator[None]:
    """Pins the JAX settings that results depend on."""
    with jax_settings.pinned(), jax.default_matmul_precision("float32"):
        yield


class Network:
    """A trained network; parameters are named as in ``Family.shapes``."""

    def __init__(
        self, config: Config, params: Mapping[str, np.ndarray], slope: float, sizes: Sizes
    ) -> None:
        self._family = FAMILIES[config.family]
        self._traced = self._family.traced(config, sizes, slope, {config.setting("activation")})
        self._params = traverse_util.unflatten_dict(dict(params), sep=".")  # type: ignore[no-untyped-call]

    @_exactly()
    def log_probabilities(
        self, x: np.ndarray, songs: np.ndarray | None = None, num_songs: int = 0
    ) -> np.ndarray:
        """Returns log-probabilities, float32, (rows, classes) or (songs, classes).

        A song's are the means over its rows, normalised. Rows (rows, …) are standardised; songs are
        (rows,) int32.
        """
        of = self._family, self._params, self._traced
        return np.asarray(_log_probabilities(*of, x, songs, num_songs))

    @_exactly()
    def attributions(self, x: np.ndarray, label: int, temperature: float) -> Attributions:
        """Attributes the log-probability of a class, by the vote of a song's rows, to the inputs.

        The log-probability is log softmax(m / T), where m is the mean of the rows' logits, which
        differs from the mean of their log-probabilities by a constant. Rows (rows, …) are
        standardised float32; the baseline is 0, the training rows' mean.
        """

        def of_song(rows: jax.Array) -> jax.Array:
            mean = self._family.apply(self._params, rows, self._traced, None).mean(axis=0)
            return jax.nn.log_softmax(mean / temperature)[label]

        return integrated_gradients(of_song, x, np.zeros_like(x))


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
