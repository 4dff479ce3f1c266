"""Fills docs/pretrained.md: hyperparameters of a CNN, and the estimated cost of sweeps/cnn.toml.

    python docs/make_cnn.py

Measures the rate of one core, to which the process pins itself, in about a minute.
"""

import os
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
from pages import fill

from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.sound.mel import BAND_NAMES, BANDS, FRAMES
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS, hyperparameters_of
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import Fold, Sizes, arrays_of, sizes_of
from gtzan_jax.tables.lists import FAULT_FILTERED, read_list
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.plan import COSTS
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("pretrained.md")
CLASSES, FAMILY = 10, CnnFamily()
TRAIN, EVALUATED, TRIALS, REPEATS = 320, 64, 2, 3  # rows and trials of a measured epoch
AXES = {
    "filters": 16, "blocks": 3, "dropout": 0.2, "optimizer": "'adamw'", "learning_rate": 0.001,
    "frequency_mask": 8, "time_mask": 8, "time_shift": 16,
}  # fmt: skip
SEGMENTS = 10  # of a song; ten songs of GTZAN's have nine
MEANING = {
    "filters": "filters of the first block, a multiple of 8; each further block has twice as many",
    "blocks": "1 to 5",
    "kernel": "side of the kernels: 1, 3, 5 or 7",
    "dropout": "rate at which whole channels are dropped after each block",
    "frequency_mask": f"most bands masked, of {BANDS}",
    "time_mask": f"most frames masked, of {FRAMES}",
    "time_shift": "most frames that a segment is shifted by, either way",
}


def axes_table() -> Table:
    """Returns the hyperparameters that only a CNN has."""
    found = [HYPERPARAMETERS[name] for name in hyperparameters_of("cnn")]
    rows = [
        [f"`{a.name}`", MEANING[a.name], "required" if a.default is None else f"{a.default:g}"]
        for a in found
        if a.families == ("cnn",)
    ]
    return Table(("hyperparameter", "values", "default"), rows)


def measured_rate() -> float:
    """Returns the operations a second of training on noise of the real size, in products."""
    random, count = np.random.default_rng(0), TRAIN + EVALUATED
    y = (np.arange(count) % CLASSES).astype(np.int32)
    x = random.normal(-40, 10, (count, BANDS, FRAMES)).astype(np.float16)
    tracks, genres = (tuple(f"{n}{i}" for i in range(k)) for n, k in (("t", count), ("g", CLASSES)))
    table = FeatureTable(x, y, tracks, BAND_NAMES, genres, "0" * 64, "noise", ())
    fold = Fold(*np.split(np.arange(count), [TRAIN, TRAIN]))
    axes = [f"axes.{axis}=[{value}]" for axis, value in AXES.items()]
    sweep = load_sweep("cnn", ["epochs=1", "protocol=holdout", *axes])
    sizes, seconds = sizes_of(table, [fold]), []
    arrays = [arrays_of(table, fold, sizes)]
    with Engine(sweep, FAMILY, sizes, task_size=1) as engine:
        tasks = engine.plan.tasks(trials_of(sweep, 1, range(TRIALS)))
        for _ in range(1 + REPEATS):  # the first compiles
            begun = time.perf_counter()
            list(engine.run(tasks, arrays))
            seconds.append((time.perf_counter() - begun) / TRIALS)
    return FAMILY.flops(FAMILY.structure(sweep.configs[0]), sizes) / min(seconds)


def hours_block(rate: float) -> str:
    """Returns the cost of sweeps/cnn.toml on GTZAN, by operations."""
    sweep = load_sweep("cnn")
    songs = Counter(listed.part for listed in read_list(FAULT_FILTERED).values())
    train, *others = (SEGMENTS * songs[part] for part in ("train", "validation", "test"))
    sizes = Sizes(train, sum(others), BANDS, CLASSES, frames=FRAMES)
    epoch = [FAMILY.flops(FAMILY.structure(config), sizes) for config in sweep.configs]
    gpu = COSTS["gpu"].flops
    cells = [
        [text, f"{flops / 1e12:,.0f}", f"{flops / rate / 3600:,.1f}", f"{flops / gpu / 60:.1f}"]
        for text, flops in (
            (f"{len(epoch)} networks, {sweep.epochs} epochs", sweep.epochs * sum(epoch)),
            ("at most: the best retrained, 10 networks, 50 epochs", 10 * 50 * max(epoch)),
        )
    ]
    heads = (
        "training", "TFLOP", f"hours of one CPU core at {rate / 1e9:.0f} GFLOP/s",
        f"minutes of a GPU, were it to reach {gpu / 1e12:.0f} TFLOP/s",
    )  # fmt: skip
    return Table(heads, cells).markdown


def main() -> None:
    """Rewrites the blocks between the markers."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before JAX makes its threads
    jax.config.update("jax_platforms", "cpu")
    fill(PAGE, "axes", axes_table().markdown)
    fill(PAGE, "hours", hours_block(measured_rate()))


if __name__ == "__main__":
    main()
