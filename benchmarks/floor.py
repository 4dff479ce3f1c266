"""The floor: the least time that the sweep's arithmetic, or its bytes, takes on this machine.

Operations are counted from the shapes by ``MlpFamily.flops``: matrix products only, forward
and backward for every train row, forward for every test row, each epoch; without the gradient
with respect to the input. The rate is that of one large product in the same process.
"""

import functools
import itertools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Sizes

SIDE = 2048  # rows and columns of both factors
_SIDES = {"cpu": SIDE}  # accelerators need larger products for their full rate
_LARGE_SIDE = 8192
_COPIED = 1 << 25  # numbers of four bytes: much more than the caches of a core
_REPEATS = 10

# Arrays that a step reads and writes, each as large as the weights: weights and moments.
_ARRAYS = {"adam": 3, "sgd": 1, "rmsprop": 2}


def flops_of_sweep(sweep: Sweep, sizes: Sizes) -> float:
    """Returns the floating-point operations of a sweep with one seed."""
    family = MlpFamily()
    return sum(sweep.epochs * family.flops(config.units, sizes) for config in sweep.configs)


def bytes_of_sweep(sweep: Sweep, sizes: Sizes) -> float:
    """Returns the bytes of a sweep with one seed if weights and moments are not cached.

    Every step reads and writes them once, in float32. Activations are not counted.
    """
    total = 0.0
    for config in sweep.configs:
        steps = sweep.epochs * -(-sizes.num_train // sweep.batch_size_of(config))
        units = (sizes.num_features, *config.units, sizes.num_classes)
        weights = sum((a + 1) * b for a, b in itertools.pairwise(units))
        total += 2 * 4 * steps * weights * _ARRAYS[config["optimizer"]]
    return total


def product_rate() -> float:
    """Returns the operations per second of one large float32 product on all devices.

    On the CPU, a product on one of JAX's devices uses all cores, and so does one split over the
    devices; the faster of the two counts.
    """
    side = _SIDES.get(jax.default_backend(), _LARGE_SIDE)
    x = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    mesh = Mesh(np.asarray(jax.devices()), ("rows",))
    placements = [
        (jax.devices()[0], jax.devices()[0]),
        (NamedSharding(mesh, PartitionSpec("rows")), NamedSharding(mesh, PartitionSpec())),
    ]
    factors = [(jax.device_put(x, left), jax.device_put(x, right)) for left, right in placements]
    return 2.0 * side**3 / min(_best(functools.partial(product, *pair)) for pair in factors)


def copy_rate() -> float:
    """Returns the bytes per second, read and written, of a pass over a large array on all devices.

    In place, since a new array would include the time to allocate its memory.
    """
    mesh = Mesh(np.asarray(jax.devices()), ("rows",))
    rows = (len(jax.devices()), _COPIED // len(jax.devices()))
    x: jax.Array = jax.device_put(
        np.ones(rows, np.float32), NamedSharding(mesh, PartitionSpec("rows"))
    )
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    moved = 2.0 * x.size * x.dtype.itemsize

    def call() -> jax.Array:
        nonlocal x
        x = add(x)
        return x

    return moved / _best(call)


def measure(sweep: Sweep, sizes: Sizes) -> dict[str, float]:
    """Measures the machine.

    Returns:
      operations and bytes of the sweep, the rates, and the seconds computed from them.
    """
    flops, moved = flops_of_sweep(sweep, sizes), bytes_of_sweep(sweep, sizes)
    flops_per_s, bytes_per_s = product_rate(), copy_rate()
    return {
        "flops": flops,
        "flops_per_s": flops_per_s,
        "seconds": flops / flops_per_s,
        "bytes": moved,
        "bytes_per_s": bytes_per_s,
        "bytes_seconds": moved / bytes_per_s,
    }


def _best(call: Callable[[], jax.Array]) -> float:
    """Returns the least seconds of several calls, after a first one to compile."""
    call().block_until_ready()
    seconds = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        call().block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
