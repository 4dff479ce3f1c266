"""The multilayer perceptron: dense layers, inverted dropout, softmax outside.

Everything here works on one member; callers batch with ``vmap``. Only the layer widths are
static: activation, dropout rates, distribution and scale of the initial weights may be traced.
Every activation is 0 at 0, so that units of padding stay 0.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gtzan_jax.models.family import Array, Key, Tree
from gtzan_jax.models.layers import (
    BLOCK,
    NORMAL,
    Activation,
    Drawn,
    draw_uniform,
    dropout_factors,
    initial_scale,
    noise_bits,
    truncated_normal,
)
from gtzan_jax.models.layout import MlpLayout, Structure, layer_names
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes


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
            normal=np.asarray(initializer in NORMAL) if sweep.parts & NORMAL else None,
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

    def logits(self, params: Tree, x: jax.Array, activation: Activation) -> jax.Array:
        """Returns (rows, classes) logits without dropout."""
        none = np.zeros(0)
        traced = Traced(scales=none, units=none, dropout=none, activation=activation)
        return self.apply(params, x, traced, None)

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


def initial_scales(config: Config, num_features: int, num_classes: int) -> tuple[float, ...]:
    """Returns what the draws of each dense layer are scaled by; see ``layers.initial_scale``.

    The hyperparameter speaks of the hidden layers; the output layer keeps glorot_uniform, Keras's
    default.
    """
    pairs = list(itertools.pairwise((num_features, *config.units, num_classes)))
    name = config.setting("initializer")
    hidden = [initial_scale(name, *pair) for pair in pairs[:-1]]
    return (*hidden, initial_scale("glorot_uniform", *pairs[-1]))


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
    blocks = [-(-fan_out // BLOCK) for _, fan_out in shapes]
    names = [
        layer << 24 | row << 8 | block
        for layer, (fan_in, _) in enumerate(shapes)
        for row in range(fan_in)
        for block in range(blocks[layer])
    ]
    drawn = draw_uniform(key, names)
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
            drawn = jnp.where(normal, truncated_normal(drawn), drawn)
        kernel = drawn * scales[layer]
        rows, columns = used[layer], used[layer + 1]
        if rows is not None:
            kernel = jnp.where(rows[:, None], kernel, 0.0)
        if columns is not None:
            kernel = jnp.where(columns, kernel, 0.0)
        params[name] = {"kernel": kernel, "bias": jnp.zeros((fan_out,), jnp.float32)}
    return params
