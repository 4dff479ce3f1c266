"""The registry of hyperparameters that a sweep may vary, with their checks and defaults."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, Literal

from gtzan_jax.checks import Choice, Number, Whole, shown, yes_or_no
from gtzan_jax.errors import InputError

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh")
INITIALIZERS = (
    "glorot_uniform", "random_uniform", "he_uniform", "he_normal", "glorot_normal", "lecun_normal",
)  # fmt: skip
OPTIMIZERS = ("adam", "sgd", "rmsprop", "adamw", "nadam", "lion")

FAMILIES = {"mlp": "num_units1", "cnn": "filters"}
"""The kinds of model, each with the hyperparameter that only it has, and requires."""

MAX_LAYERS = 6
MAX_UNITS = 8192
MAX_BLOCKS = 5
MAX_FILTERS = 256
# Channels that a CNN normalises together. Numbers of filters are multiples of it, so that the
# padding of a narrower network forms groups of its own.
CHANNELS = 8


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter.

    ``kind`` is its role in a compiled program: ``shape``, a width of a layer, which shares a
    program by zero padding; ``static``, part of the program's key; ``traced``, a number passed to
    the program. Values other than ``plain`` need an optional computation (a *part*), which is
    compiled only into programs of sweeps that use it.
    """

    name: str
    check: Callable[[Any, str], Any]  # returns a value with its type; raises InputError
    kind: Literal["shape", "static", "traced"] = "traced"
    default: Any = None  # None: set by the sweep or another hyperparameter, or no such layer
    prefix: str = ""  # of the value in a config's name
    plain: tuple[Any, ...] | None = None  # None: all values
    families: tuple[str, ...] = ()  # kinds of model that have it; empty: all
    text: str = ""  # its meaning, on one line

    @property
    def stem(self) -> str:
        """The name without the number of a layer."""
        of_layers = self.name.startswith(("num_units", "dropout"))
        return self.name.rstrip("0123456789") if of_layers else self.name

    def show(self, value: Any) -> str:
        """Returns a value as shown in a config's name."""
        if isinstance(value, bool):
            return self.prefix + str(value).lower()
        return self.prefix + (f"{value:g}" if isinstance(value, float) else str(value))

    def part(self, value: Any) -> str | None:
        """Returns the part that a value needs; None for plain values."""
        if self.plain is None or value in self.plain:
            return None
        return value if isinstance(value, str) else self.name


def filters(value: Any, where: str) -> int:
    """Checks a number of filters."""
    checked = Whole(CHANNELS, MAX_FILTERS)(value, where)
    if checked % CHANNELS:
        raise InputError(f"{where} must be a multiple of {CHANNELS}, not {shown(value)}")
    return checked


def kernel(value: Any, where: str) -> int:
    """Checks the side of a convolution's kernel."""
    checked = Whole(1, 7)(value, where)
    if checked % 2 == 0:
        raise InputError(f"{where} must be odd, so that it has a middle, not {shown(value)}")
    return checked


def rate(value: Any, where: str) -> float:
    """Checks a share to remove, such as a dropout rate."""
    checked = Number(0.0, 1.0)(value, where)
    if checked > 0.99:
        raise InputError(f"{where} must be at most 0.99, not {shown(value)}: nothing would be left")
    return checked


batch_size = Whole(1, 1_000_000)
learning_rate = Number(1e-12, 1e6)

_H = Hyperparameter
_LAYERS = range(1, MAX_LAYERS + 1)
_UNIFORM = ("glorot_uniform", "random_uniform", "he_uniform")
_MLP, _CNN = ("mlp",), ("cnn",)
_ZERO = (0.0,)

_ALL = (
    *(
        _H(f"num_units{n}", Whole(1, MAX_UNITS), "shape", families=_MLP,
           text=f"Units of hidden layer {n}; the layer exists only if given. num_units sets all.")
        for n in _LAYERS
    ),
    *(
        _H(f"dropout{n}", rate, default=0.0, families=_MLP,
           text=f"Share of the outputs of hidden layer {n} set to 0 in training. dropout sets all.")
        for n in _LAYERS
    ),
    _H("filters", filters, "shape", families=_CNN,
       text="Channels of the first block; each block has twice those of the one before."),
    _H("blocks", Whole(1, MAX_BLOCKS), "static", 3, "blocks", families=_CNN,
       text="Blocks of convolution, normalisation, activation, pooling and dropout."),
    _H("kernel", kernel, "static", 3, "k", families=_CNN, text="Side of the kernels."),
    _H("dropout", rate, default=0.0, families=_CNN,
       text="Share of whole channels set to 0 in training, after each block."),
    _H("activation", Choice(ACTIVATIONS), default="relu", plain=("relu", "leaky_relu"),
       text="Activation function of the hidden layers or blocks."),
    _H("initializer", Choice(INITIALIZERS), default="glorot_uniform", plain=_UNIFORM,
       text="Distribution of the initial weights."),
    _H("optimizer", Choice(OPTIMIZERS), default="adam", plain=("adam", "sgd", "rmsprop"),
       text="Optimizer."),
    _H("learning_rate", learning_rate, prefix="lr", text="Step size of the optimizer."),
    _H("batch_size", batch_size, "static", prefix="b", text="Rows of a training batch."),
    _H("momentum", Number(0.0, 0.9999), default=0.0, prefix="mom",
       text="Momentum of sgd; no effect on other optimizers."),
    _H("nesterov", yes_or_no, default=False, prefix="nes-", plain=(False,),
       text="Nesterov's momentum for sgd; no effect on other optimizers."),
    _H("weight_decay", Number(0.0, 1e3), prefix="wd", plain=_ZERO,
       text="Decoupled weight decay, of any optimizer. Default: 0; with adamw 0.004."),
    _H("l2", Number(0.0, 1e3), default=0.0, prefix="l2-", plain=_ZERO,
       text="Factor of the sum of squared weights that is added to the training loss."),
    _H("max_norm", Number(0.0, 1e6), default=0.0, prefix="norm", plain=_ZERO,
       text="Largest norm of the weights into a unit; 0: no limit."),
    _H("weight_limit", Number(0.0, 1e6), default=0.0, prefix="limit", plain=_ZERO,
       text="Largest weight, of either sign; 0: no limit."),
    _H("input_noise", Number(0.0, 100.0), default=0.0, prefix="noise", plain=_ZERO, families=_MLP,
       text="Standard deviation of noise on standardised features in training."),
    _H("label_smoothing", rate, default=0.0, prefix="smooth", plain=_ZERO,
       text="Share of the label that is spread evenly over all classes."),
    _H("mixup", Number(0.0, 100.0), default=0.0, prefix="mixup", plain=_ZERO,
       text="α of mixup (Zhang et al., 2018), one λ a batch; 0: none."),
    _H("patience", Whole(0, 100_000), default=0, prefix="p", plain=_ZERO,
       text="Epochs without a lower validation loss before training stops; 0: no stop."),
    _H("frequency_mask", Whole(0, 32), default=0, prefix="fmask", plain=_ZERO, families=_CNN,
       text="Most bands, of 64, that are masked in a training spectrogram."),
    _H("time_mask", Whole(0, 32), default=0, prefix="tmask", plain=_ZERO, families=_CNN,
       text="Most frames, of 65, that are masked in a training spectrogram."),
    _H("time_shift", Whole(0, 32), default=0, prefix="shift", plain=_ZERO, families=_CNN,
       text="Most frames by which a training spectrogram is shifted, either way."),
)  # fmt: skip

HYPERPARAMETERS: dict[str, Hyperparameter] = {axis.name: axis for axis in _ALL}
"""All hyperparameters by name, in the order of tables' columns and of a grid's nesting."""


def family_of(names: Container[str]) -> str:
    """Returns the kind of model that has the given hyperparameters."""
    return next((family for family, axis in FAMILIES.items() if axis in names), "mlp")


def hyperparameters_of(family: str) -> tuple[str, ...]:
    """Returns the names of the hyperparameters of a kind of model."""
    return tuple(
        name
        for name, axis in HYPERPARAMETERS.items()
        if not axis.families or family in axis.families
    )
