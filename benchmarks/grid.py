"""The benchmark's sweep, and a sample of it for slow peers.

Peers import this module, so it must not import JAX, whose import would count as their time.
"""

from collections.abc import Mapping, Sequence

from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep

SWEEP = "assignment"


def the_sweep() -> Sweep:
    """Returns the assignment's sweep: 768 configs, 10 epochs."""
    return load_sweep(SWEEP)


def stratified(sweep: Sweep, per_stratum: int = 1) -> list[Config]:
    """Returns a sample of configs, with the same number for each optimizer and shape group.

    The steps through the configs of an optimizer are coprime to the number of values of the other
    hyperparameters, so that every value occurs.

    Args:
      sweep: the sweep.
      per_stratum: configs for each optimizer and shape group; 1 gives 24 for the assignment.
    """
    return [
        configs[(5 * place + 7 * turn) % len(configs)]
        for place, configs in enumerate(batches(sweep))
        for turn in range(min(per_stratum, len(configs)))
    ]


def batches(sweep: Sweep) -> list[list[Config]]:
    """Returns the configs that share layer widths and optimizer: 24 lists of 32."""
    groups: dict[tuple[tuple[int, ...], str], list[Config]] = {}
    for config in sweep.configs:
        groups.setdefault((config.units, config["optimizer"]), []).append(config)
    return list(groups.values())


def project(seconds: Mapping[str, Sequence[float]], sweep: Sweep) -> float:
    """Projects the seconds of a whole sweep from those of some of its runs.

    Args:
      seconds: of single runs, by optimizer.
      sweep: the sweep; it has the same number of configs for each optimizer.
    """
    runs = sweep.num_configs / len(sweep.axes["optimizer"])
    return sum(runs * sum(some) / len(some) for some in seconds.values())


def by_optimizer() -> dict[str, list[float]]:
    """Returns an empty list for each optimizer of the sweep, for seconds of single runs."""
    return {name: [] for name in the_sweep().axes["optimizer"]}
