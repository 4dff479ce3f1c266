"""The multilayer perceptron: dense layers, inverted dropout, softmax outside.

Everything here works on one member; callers batch with ``vmap``. Only the layer widths are
static: activation, dropout rates, distribution and scale of the initial weights may be traced.
Every activation is 0 at 0, so that units of padding stay 0.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from gtzan_jax.models import threefry
from gtzan_jax.models.attribution import Attributions, integrated_gradients
from gtzan_jax.models.family import Array, Key, Tree
from gtzan_jax.models.layout import MlpLayout, Structure, layer_names
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes

# Random numbers for units are drawn in blocks of this many, each block from a key of its
# own, so that a wider layer begins with the numbers of a narrower one.
_BLOCK = 64

Drawn = jax.Array | np.ndarray  # in a program, or on the host

_NORMAL = frozenset({"he_normal", "glorot_normal", "lecun_normal"})
_TRUNCATED_DEVIATION = 0.87962566103423978  # of N(0, 1) without what is beyond two deviations


class Activation(NamedTuple):
    """The activation of the hidden layers, traced.

    Leaky ReLU with a slope, unless one of the others is true. Those that a sweep has no use for are
    None, and not computed.
    """

    slope: Array | float  # () float32, of leaky ReLU for negative inputs; 0 is ReLU
    elu: Array | None = None  # () bool
    gelu: Array | None = None
    silu: Array | None = None
    tanh: Array | None = None

    @classmethod
    def of(cls, name: str, slope: float, parts: Set[str]) -> "Activation":
        """Returns a named activation, as an array for each part of a sweep that is one."""
        chosen: dict[str, Any] = {
            other: np.asarray(other == name) for other in cls._fields[1:] if other in parts
        }
        return cls(np.float32(slope), **chosen)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies it to each element, as Keras defines it."""
        y = jnp.where(x >= 0, x, self.slope * x)
        for chosen, function in (
            (self.elu, jax.nn.elu),
            (self.gelu, functools.partial(jax.nn.gelu, approximate=False)),
            (self.silu, jax.nn.silu),
            (self.tanh, jnp.tanh),
        ):
            if chosen is not None:
                y = jnp.where(chosen, function(x), y)
        return y


class MLP(nn.Module):
    """Dense layers with an activation and dropout between them; returns logits.

    Attributes:
      widths: units of each hidden layer.
      num_classes: units of the output layer.
    """

    widths: Sequence[int]
    num_classes: int

    @nn.compact
    def __call__(
        self, x: jax.Array, activation: Activation, factors: Sequence[jax.Array] | None = None
    ) -> jax.Array:
        """Applies the network.

        Args:
          x: (batch, features) float32.
          activation: of the hidden layers.
          factors: for each hidden layer (batch, width), from :func:`dropout_factors`; None at
            test time.

        Returns:
          (batch, classes) float32 logits.
        """
        *hidden, output = layer_names(len(self.widths))
        for layer, (name, width) in enumerate(zip(hidden, self.widths, strict=True)):
            x = activation(nn.Dense(width, name=name)(x))
            if factors is not None:
                x = x * factors[layer]
        return nn.Dense(self.num_classes, name=output)(x)


class Traced(NamedTuple):
    """The numbers that stand for a config in a program."""

    scales: Array  # (layers,) float32, of the initial weights
    units: Array  # (hidden layers,) int32, without padding
    dropout: Array  # (hidden layers,) float32 rates
    activation: Activation
    normal: Array | None = None  # () bool, whether hidden weights start normal; None: none does


@dataclass(frozen=True)
class MlpFamily(MlpLayout):
    """The MLP as a family."""

    def traced(self, config: Config, sweep: Sweep, sizes: Sizes) -> Traced:
        """Returns what the weights start from, units, dropout rates and activation."""
        scales = initial_scales(config, sizes.num_features, sizes.num_classes)
        name, initializer = config.setting("activation"), config.setting("initializer")
        return Traced(
            scales=np.asarray(scales, np.float32),
            units=np.asarray(config.units, np.int32),
            dropout=np.asarray(config.dropout, np.float32),
            activation=Activation.of(name, sweep.slope_of(config), sweep.parts),
            normal=np.asarray(initializer in _NORMAL) if sweep.parts & _NORMAL else None,
        )

    def draw_initial(self, key: Key, structure: Structure, sizes: Sizes) -> list[Drawn]:
        """Draws kernels in (-1, 1); see :func:`initial_kernels`."""
        return initial_kernels(key, (sizes.num_features, *structure, sizes.num_classes))

    def draw_noise(self, key: Key, structure: Structure, positions: int) -> list[Drawn]:
        """Draws random bits for the units of each hidden layer; see :func:`noise_bits`."""
        return noise_bits(key, structure, positions)

    def init(self, traced: Traced, drawn: Sequence[jax.Array], structure: Structure) -> Tree:
        """Scales the drawn kernels; see :func:`initial_params`."""
        scales, units = jnp.asarray(traced.scales), jnp.asarray(traced.units)
        return initial_params(drawn, scales, units, structure, traced.normal)

    def apply(
        self, params: Tree, x: jax.Array, traced: Traced, noise: Sequence[jax.Array] | None
    ) -> jax.Array:
        """Returns (batch, classes) logits; the structure is that of the parameters."""
        *hidden, output = layer_names(len(params) - 1)
        widths = tuple(params[name]["bias"].shape[0] for name in hidden)
        factors = noise and [
            dropout_factors(bits[:, :width], rate)
            for bits, width, rate in zip(noise, widths, jnp.unstack(traced.dropout), strict=True)
        ]
        model = MLP(widths, params[output]["bias"].shape[0])
        return jnp.asarray(model.apply({"params": params}, x, traced.activation, factors))

    def kept(self, params: Tree, config: Config) -> dict[str, np.ndarray]:
        """Returns kernels (fan_in, fan_out) and biases (fan_out,) without padding."""
        names = layer_names(len(config.units))
        num_features = params[names[0]]["kernel"].shape[0]
        num_classes = params[names[-1]]["kernel"].shape[1]
        pairs = itertools.pairwise((num_features, *config.units, num_classes))
        kept = {}
        for name, (fan_in, fan_out) in zip(names, pairs, strict=True):
            kept[f"{name}.kernel"] = np.asarray(params[name]["kernel"])[:fan_in, :fan_out]
            kept[f"{name}.bias"] = np.asarray(params[name]["bias"])[:fan_out]
        return kept


def noise_bits(key: Key, widths: Sequence[int], positions: int) -> list[Drawn]:
    """Draws random bits for the units of each hidden layer.

    A unit's bits depend on its layer, its place in it and the position, not on how many units
    or positions there are.

    Returns:
      for each hidden layer (positions, width) uint16, uniform.
    """
    blocks = [-(-width // _BLOCK) for width in widths]
    names = [layer << 16 | block for layer, n in enumerate(blocks) for block in range(n)]
    drawn = _draw(key, names, (positions, _BLOCK), jnp.uint16)
    return [
        drawn[end - n : end].swapaxes(0, 1).reshape(positions, -1)[:, :width]
        for end, n, width in zip(np.cumsum(blocks), blocks, widths, strict=True)
    ]


def _draw(key: Key, names: Sequence[int], shape: tuple[int, ...], dtype: DTypeLike) -> Drawn:
    """Draws (names, *shape) random bits, each name's from a key of its own.

    One draw for all of them, since every separate one adds to the time to compile.
    """
    if isinstance(key, np.ndarray):
        return threefry.bits(threefry.fold_in(key, names), shape, dtype)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.asarray(names, jnp.uint32))
    return jax.vmap(lambda k: jax.random.bits(k, shape, dtype))(keys)


def dropout_factors(bits: jax.Array, rate: Array | float) -> jax.Array:
    """Turns random bits into the factors of inverted dropout, as in Keras.

    A unit is dropped where its bits, read as a fraction, are below ``rate``; kept ones are
    divided by ``1 - rate``. The rate is thereby rounded to a multiple of 2**-16.

    Args:
      bits: uint16 of any shape.
      rate: () float32 in [0, 1); may be traced.

    Returns:
      float32 of the shape of ``bits``: 0 or 1 / (1 - rate).
    """
    threshold = jnp.round(jnp.asarray(rate, jnp.float32) * 65536.0).astype(jnp.uint16)
    return jnp.where(bits >= threshold, 1.0 / (1.0 - rate), 0.0).astype(jnp.float32)


def initial_scales(config: Config, num_features: int, num_classes: int) -> tuple[float, ...]:
    """Returns, for each dense layer, what draws in (-1, 1) or truncated normal ones are scaled by.

    For uniform initial weights that is their bound: ``random_uniform`` is Keras's U(±0.05), the
    others are sqrt(3 v), with a variance v of 2 / (fan_in + fan_out) for glorot (Glorot and Bengio
    2010), 2 / fan_in for he (He et al. 2015), 1 / fan_in for lecun (LeCun et al. 1998). For normal
    ones it is sqrt(v), over the deviation that truncation leaves. The hyperparameter speaks of the
    hidden layers; the output layer keeps glorot_uniform, Keras's default.
    """
    pairs = list(itertools.pairwise((num_features, *config.units, num_classes)))
    name = config.setting("initializer")
    hidden = [_initial_scale(name, *pair) for pair in pairs[:-1]]
    return (*hidden, _initial_scale("glorot_uniform", *pairs[-1]))


def _initial_scale(initializer: str, fan_in: int, fan_out: int) -> float:
    if initializer == "random_uniform":
        return 0.05
    kind = initializer.partition("_")[0]
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[kind]
    if initializer in _NORMAL:
        return math.sqrt(variance) / _TRUNCATED_DEVIATION
    return math.sqrt(3 * variance)


def initial_kernels(key: Key, sizes: Sequence[int]) -> list[Drawn]:
    """Draws kernels in (-1, 1), which :func:`initial_params` scales.

    A weight depends on its layer, row and column, not on the sizes: the kernels of a wider
    network begin with those of a narrower one.

    Args:
      key: a random key.
      sizes: features, units of each hidden layer, classes.

    Returns:
      for each layer (fan_in, fan_out) float32.
    """
    shapes = list(itertools.pairwise(sizes))
    blocks = [-(-fan_out // _BLOCK) for _, fan_out in shapes]
    names = [
        layer << 24 | row << 8 | block
        for layer, (fan_in, _) in enumerate(shapes)
        for row in range(fan_in)
        for block in range(blocks[layer])
    ]
    # The middles of 2**23 equal steps, each exact in float32.
    steps = (_draw(key, names, (_BLOCK,), jnp.uint32) >> 9).astype(jnp.float32)
    drawn = (steps + 0.5) / 2.0**22 - 1.0
    counts = [fan_in * n for (fan_in, _), n in zip(shapes, blocks, strict=True)]
    return [
        drawn[end - count : end].reshape(fan_in, -1)[:, :fan_out]
        for end, count, (fan_in, fan_out) in zip(np.cumsum(counts), counts, shapes, strict=True)
    ]


def initial_params(
    kernels: Sequence[jax.Array],
    scales: jax.Array,
    units: jax.Array,
    widths: Sequence[int],
    normal: Array | None = None,
) -> Mapping[str, Mapping[str, jax.Array]]:
    """Makes the initial parameters of an :class:`MLP` from kernels in (-1, 1).

    One draw serves every initialiser and width: it is scaled, or first put through the normal
    distribution's quantiles, so that configs that share a seed start from weights of the same
    ranks, and the weights to and from the columns that pad a hidden layer are zero. These stay
    zero: no gradient reaches them.

    Args:
      kernels: from :func:`initial_kernels`, at least as wide as ``widths``.
      scales: (layers,) float32, from :func:`initial_scales`; may be traced.
      units: (hidden layers,) int32, the units that are not padding; may be traced.
      widths: units of each hidden layer, padding included.
      normal: () bool, whether the hidden layers' weights are normal, truncated at two deviations.

    Returns:
      for each layer its kernel (fan_in, fan_out) and its bias (fan_out,), zero, float32.
    """
    sizes = (kernels[0].shape[0], *widths, kernels[-1].shape[1])
    used = [None, *(np.arange(w) < units[layer] for layer, w in enumerate(widths)), None]
    params: dict[str, dict[str, jax.Array]] = {}
    for layer, name in enumerate(layer_names(len(widths))):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        drawn = kernels[layer][:fan_in, :fan_out]
        if normal is not None and layer < len(widths):
            drawn = jnp.where(normal, _truncated_normal(drawn), drawn)
        kernel = drawn * scales[layer]
        rows, columns = used[layer], used[layer + 1]
        if rows is not None:
            kernel = jnp.where(rows[:, None], kernel, 0.0)
        if columns is not None:
            kernel = jnp.where(columns, kernel, 0.0)
        params[name] = {"kernel": kernel, "bias": jnp.zeros((fan_out,), jnp.float32)}
    return params


def _truncated_normal(uniform: jax.Array) -> jax.Array:
    """Turns numbers uniform in (-1, 1) into those of N(0, 1), truncated at two deviations."""
    inside = math.erf(math.sqrt(2))  # the probability of less than two deviations
    return math.sqrt(2) * jax.scipy.special.erfinv(inside * uniform)


def log_probabilities(
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    activation: str,
    slope: float,
    songs: np.ndarray | None = None,
    num_songs: int = 0,
) -> np.ndarray:
    """Returns the logarithms of the classes' probabilities, float32, of each row or each song.

    Those of a song are the means of its rows', normalised.

    Args:
      params: by name, see :meth:`MlpFamily.kept`.
      x: (rows, features) float32, standardised.
      activation: of the hidden layers, a name.
      slope: of leaky ReLU for negative inputs.
      songs: (rows,) int32, the number of each row's song; None for rows by themselves.
      num_songs: that there are.
    """
    chosen = Activation.of(activation, slope, {activation})
    return np.asarray(_log_probabilities(dict(params), x, chosen, songs, num_songs))


@functools.partial(jax.jit, static_argnames="num_songs")
def _log_probabilities(
    params: Mapping[str, jax.Array],
    x: jax.Array,
    activation: Activation,
    songs: jax.Array | None = None,
    num_songs: int = 0,
) -> jax.Array:
    """Compiles :func:`log_probabilities`."""
    logits = _logits(params, x, activation)
    if songs is not None:
        rows = jax.ops.segment_sum(jnp.ones_like(songs, jnp.float32), songs, num_songs)
        votes = jax.ops.segment_sum(jax.nn.log_softmax(logits), songs, num_songs)
        logits = votes / rows[:, None]
    return jax.nn.log_softmax(logits)


def song_attributions(
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    activation: str,
    slope: float,
    label: int,
    temperature: float,
) -> Attributions:
    """Attributes the log-probability of a class, by the vote of a song's rows, to the inputs.

    What is attributed is log softmax(m / T) of the class, where m is the mean of the rows' logits:
    the same as by the mean of their log-probabilities, which differs by a constant. The baseline
    is 0 everywhere: a song of rows that are the training rows' mean.

    Args:
      params: by name, see :meth:`MlpFamily.kept`.
      x: (rows, features) float32, standardised.
      activation: of the hidden layers, a name.
      slope: of leaky ReLU for negative inputs.
      label: the class.
      temperature: T.
    """
    chosen = Activation.of(activation, slope, {activation})

    def voted(rows: jax.Array) -> jax.Array:
        mean = _logits(params, rows, chosen).mean(axis=0)
        return jax.nn.log_softmax(mean / temperature)[label]

    return integrated_gradients(voted, x, np.zeros_like(x))


def _logits(params: Mapping[str, Any], x: jax.Array, activation: Activation) -> jax.Array:
    none = np.zeros(0)
    traced = Traced(scales=none, units=none, dropout=none, activation=activation)
    return MlpFamily().apply(_nested(params), x, traced, None)


def _nested(params: Mapping[str, jax.Array]) -> dict[str, dict[str, jax.Array]]:
    nested: dict[str, dict[str, jax.Array]] = {}
    for name, array in params.items():
        layer, _, part = name.partition(".")
        nested.setdefault(layer, {})[part] = array
    return nested
