"""Which members train together: programs shared between shape groups, and sizes of chunks.

Every program takes seconds to compile, and the arithmetic of a small network milliseconds. A
narrow network trains to the same numbers in a wider array whose other weights are zero, so
shape groups may share a program at the price of multiplying zeros.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gtzan_jax.space import Shape
from gtzan_jax.splits import Sizes

MODES = ("auto", "shape", "padded")


class Costs(NamedTuple):
    """What a platform is good at; a rough figure suffices, since plans differ by much."""

    chunk: int  # members that a device trains at a time
    memory: float  # bytes of a device that a chunk's weights and moments may take
    compile_s: float  # device-seconds to compile a program
    flops: float  # floating-point operations a second that a device reaches on a chunk


# CPU, measured on two cores: weights and moments of eight members stay in a core's caches (2,
# 4 and 16 are slower), a program takes about 2.3 core-seconds, products run at 60 GFLOP/s.
# GPU and TPU are estimates: an accelerator wants all the work it can get, and compiling takes
# so much longer than training that all shapes share a program unless the sweep is long.
COSTS = {
    "cpu": Costs(chunk=8, memory=1e9, compile_s=2.3, flops=60e9),
    "gpu": Costs(chunk=768, memory=16e9, compile_s=10.0, flops=10e12),
    "tpu": Costs(chunk=128, memory=4e9, compile_s=10.0, flops=5e12),
}

# Shape groups that the planner weighs against each other; more are first rounded up to
# multiples of 16, 32, … units.
_MOST_GROUPS = 64


class Bucket(NamedTuple):
    """Configs that share a program."""

    widths: Shape  # of the program's hidden layers: the widest of the configs
    config_ids: tuple[int, ...]  # in grid order


def flops_of(widths: Sequence[int], sizes: Sizes, epochs: int) -> float:
    """Returns the floating-point operations of one member, matrix products only.

    A product of a row with a kernel of n weights takes 2n operations. A train row meets each
    kernel three times (forward, gradient of the kernel, gradient of the layer's input, which
    the first layer does not need), a test row once.
    """
    weights = _weights(widths, sizes)
    train, test = 6.0 * sum(weights) - 2.0 * weights[0], 2.0 * sum(weights)
    return epochs * (sizes.num_train * train + sizes.num_test * test)


def plan(
    groups: Mapping[Shape, Sequence[int]],
    seconds: Callable[[Shape], float],
    compile_s: float,
    mode: str = "auto",
) -> list[Bucket]:
    """Decides which shape groups share a program.

    Args:
      groups: ids of the configs of each shape group.
      seconds: what training a config takes at given widths, in device-seconds.
      compile_s: what compiling a program takes, likewise.
      mode: ``shape`` gives each group a program of its own, ``padded`` one to all of them,
        ``auto`` merges groups as long as less compiling outweighs the zeros multiplied.

    Returns:
      buckets that hold each config once, in grid order of their first config.
    """
    buckets = [Bucket(shape, tuple(ids)) for shape, ids in groups.items()]
    if mode == "padded":
        buckets = [_merge(buckets)]
    elif mode == "auto":
        buckets = _rounded(buckets)
        while len(buckets) > 1:
            saving, pair = max(
                (_saving(pair, seconds, compile_s), pair)
                for pair in itertools.combinations(buckets, 2)
            )
            if saving <= 0:
                break
            buckets = [bucket for bucket in buckets if bucket not in pair] + [_merge(pair)]
    return sorted(buckets, key=lambda bucket: bucket.config_ids[0])


def chunk_size(widths: Sequence[int], sizes: Sizes, costs: Costs) -> int:
    """Returns how many members of some widths a device trains at a time."""
    # Weights, two moments, gradients and new weights, of four bytes each.
    member = 5 * 4 * sum(_weights(widths, sizes))
    return max(1, min(costs.chunk, int(costs.memory // member)))


def _weights(widths: Sequence[int], sizes: Sizes) -> list[int]:
    """Returns how many weights each layer has, without biases."""
    units = (sizes.num_features, *widths, sizes.num_classes)
    return [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(units)]


def widest(widths: Iterable[Shape]) -> Shape:
    """Returns the most units that there are in each hidden layer."""
    first, second, third = (max(layer) for layer in zip(*widths, strict=True))
    return (first, second, third)


def _merge(buckets: Iterable[Bucket]) -> Bucket:
    widths, ids = zip(*buckets, strict=True)
    return Bucket(widest(widths), tuple(sorted(itertools.chain.from_iterable(ids))))


def _saving(pair: Sequence[Bucket], seconds: Callable[[Shape], float], compile_s: float) -> float:
    """Returns the device-seconds that sharing a program saves."""
    merged = _merge(pair)
    apart = sum(seconds(bucket.widths) * len(bucket.config_ids) for bucket in pair)
    return compile_s + apart - seconds(merged.widths) * len(merged.config_ids)


def _rounded(buckets: list[Bucket]) -> list[Bucket]:
    """Merges shapes that round up to the same multiples, until few enough are left."""
    grain = 8
    while len(buckets) > _MOST_GROUPS:
        grain *= 2
        groups: dict[tuple[int, ...], list[Bucket]] = {}
        for bucket in buckets:
            groups.setdefault(tuple(-(-w // grain) for w in bucket.widths), []).append(bucket)
        buckets = [_merge(group) for group in groups.values()]
    return buckets
