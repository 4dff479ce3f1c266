"""Fills docs/cnn.md in: axes, ways to batch a convolution, seconds and operations, a smoke sweep.

    python docs/make_cnn.py
    python -m gtzan_jax.sweep --sweep=cnn_smoke --data=sounds --retrain_epochs=20 \
        --retrain_seeds=2 --workdir=RUNDIR
    python -m gtzan_jax.baselines --data=sounds --protocol=holdout --num_seeds=1 \
        --set=epochs=20 --workdir=BASELINES
    python docs/make_cnn.py RUNDIR BASELINES

Without run directories all but the smoke sweep is written, from measurements on one core, to which
the process pins itself; about five minutes.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import lax
from pages import fill

from gtzan_jax.models import networks
from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.models.layers import Activation
from gtzan_jax.rundir.finished import read_finished
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

PAGE = Path(__file__).with_name("cnn.md")
BATCH, WIDTHS, KERNEL, CLASSES = 32, (16, 32, 64), 3, 10
REPEATS = 3
TRAIN, EVALUATED, TRIALS = 320, 64, 2  # rows and trials of a measured epoch
SEGMENTS = 10  # of a song; ten songs of GTZAN's have nine


# ----------------------------------------------------------------------------------------- axes


def axes_table() -> Table:
    """Returns the axes that only a CNN has."""
    meaning = {
        "filters": "of the first block, a multiple of 8; each block has twice those of the last",
        "blocks": "1 to 5",
        "kernel": "side of the kernels, odd, 1 to 7",
        "dropout": "rate at which whole channels are dropped, after each block",
        "frequency_mask": "the most bands that are masked, of 64",
        "time_mask": "the most frames that are masked, of 65",
        "time_shift": "the most frames that a segment is shifted by, either way",
    }
    only = [
        HYPERPARAMETERS[name]
        for name in hyperparameters_of("cnn")
        if HYPERPARAMETERS[name].families == ("cnn",)
    ]
    rows = [
        [f"`{axis.name}`", meaning[axis.name], axis.kind, _default(axis.default)] for axis in only
    ]
    return Table(("axis", "values", "reaches a program as", "default"), rows)


def _default(value: Any) -> str:
    return "must be given" if value is None else f"{value:g}"


# ----------------------------------------------------------------------------------------- ways


def shifted(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Convolves as ``networks.convolve``, as a sum of a product for each place of the kernel."""
    side, (height, width) = kernel.shape[0], x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)))
    return sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(side)
        for column in range(side)
    )


def columns_of_rows(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Convolves likewise, columns being of one row: a sum of a product for each kernel row."""
    side, (height, width) = kernel.shape[0], x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)))
    columns = jnp.concatenate([padded[:, :, at : at + width] for at in range(side)], axis=-1)
    flat = kernel.reshape(side, -1, kernel.shape[-1])
    return sum(columns[:, row : row + height] @ flat[row] for row in range(side))


def window_pooled(x: jax.Array) -> jax.Array:
    """Pools as ``networks.pooled``, by XLA's operation for it."""
    window = (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


class Way(NamedTuple):
    """How convolutions are computed, and how trials are batched."""

    convolution: str
    batching: str  # alone, lax.map or vmap
    trials: int
    convolve: Callable[..., jax.Array]
    pooled: Callable[[jax.Array], jax.Array] = networks.pooled
    loop: bool = True


XLA, COLUMNS = "XLA's", "columns"
WAYS = (
    Way(XLA + ", one step without a loop", "alone", 1, lax.conv_general_dilated, loop=False),
    Way(XLA, "alone", 1, lax.conv_general_dilated),
    Way(XLA, "`lax.map`", 4, lax.conv_general_dilated),
    Way(XLA, "`vmap`: grouped", 4, lax.conv_general_dilated),
    Way(COLUMNS, "alone", 1, networks.convolve),
    Way(COLUMNS, "`lax.map`", 4, networks.convolve),
    Way(COLUMNS, "`lax.map`", 8, networks.convolve),
    Way(COLUMNS, "`vmap`", 4, networks.convolve),
    Way(COLUMNS, "`vmap`", 8, networks.convolve),
    Way("sum of shifted products", "`lax.map`", 4, shifted),
    Way("sum of products, columns of one row", "`lax.map`", 4, columns_of_rows),
    Way("columns, XLA's pooling", "`lax.map`", 4, networks.convolve, window_pooled),
)


def ways_table() -> Table:
    """Returns the milliseconds of a trial's step, the least of a few."""
    found = [step_seconds(way) for way in WAYS]
    used = found[[(way[0], way[1]) for way in WAYS].index((COLUMNS, "`lax.map`"))]
    rows = [
        [
            way.convolution, way.batching, str(way.trials), f"{1e3 * seconds:,.0f}",
            f"{seconds / used:.2g}",
        ]
        for way, seconds in zip(WAYS, found, strict=True)
    ]  # fmt: skip
    return Table(("convolution", "trials", "how many", "ms a trial and step", "÷ used"), rows)


def step_seconds(way: Way) -> float:
    """Returns what a step of plain gradient descent takes, in seconds a trial."""
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, BANDS, FRAMES, 1)).astype(np.float32)
    labels = random.integers(0, CLASSES, BATCH)
    model = networks.CNN(WIDTHS, KERNEL, CLASSES)
    relu = Activation.of("relu", 0.0, frozenset())

    def loss(params: Any) -> jax.Array:
        log_p = jax.nn.log_softmax(model.apply({"params": params}, x, relu))
        return -log_p[np.arange(BATCH), labels].mean()

    def step(_: Any, params: Any) -> Any:
        return jax.tree.map(lambda p, g: p - 0.01 * g, params, jax.grad(loss)(params))

    def train(steps: Any, params: Any) -> Any:
        return lax.fori_loop(0, steps, step, params) if way.loop else step(0, params)

    def of_trials(params: Any, steps: Any) -> Any:
        many = jax.vmap if "vmap" in way.batching else lambda one: partial(lax.map, one)
        if way.batching == "alone":
            return train(steps, jax.tree.map(lambda leaf: leaf[0], params))
        return many(partial(train, steps))(params)

    with patch.multiple(networks, convolve=way.convolve, pooled=way.pooled):
        first = model.init(jax.random.key(0), x, relu)["params"]
        params = jax.tree.map(lambda leaf: jnp.stack([leaf] * way.trials), first)
        program = jax.jit(of_trials).lower(params, np.int32(1)).compile()
    once = least(lambda: program(params, np.int32(1)), 1)
    if once > 1 or not way.loop:  # of which the first run is one
        return min(once, least(lambda: program(params, np.int32(1)), REPEATS - 1)) / way.trials
    return least(lambda: program(params, np.int32(4)), REPEATS) / 4 / way.trials


def least(work: Callable[[], Any], repeats: int) -> float:
    """Returns the least seconds of some repeats."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


# --------------------------------------------------------------------------------------- engine


class Rate(NamedTuple):
    """What an epoch of a network takes in the engine."""

    filters: int
    augmented: bool
    seconds: float  # a trial and epoch
    flops: float  # of it

    @property
    def rate(self) -> float:
        """Floating-point operations a second, of products."""
        return self.flops / self.seconds


def rates() -> list[Rate]:
    """Measures trials of a CPU's task, of noise in the real size."""
    random = np.random.default_rng(0)
    count = TRAIN + EVALUATED
    y = (np.arange(count) % CLASSES).astype(np.int32)
    x = random.normal(-40, 10, (count, BANDS, FRAMES)).astype(np.float16)
    tracks, genres = (tuple(f"{n}{i}" for i in range(k)) for n, k in (("t", count), ("g", CLASSES)))
    table = FeatureTable(x, y, tracks, BAND_NAMES, genres, "0" * 64, "noise", ())
    parts = np.split(np.arange(count), [TRAIN, TRAIN])
    fold = Fold(*parts)
    return [
        engine_rate(table, fold, filters, augmented)
        for filters in (8, 16, 32)
        for augmented in (False, True)
    ]


def engine_rate(table: FeatureTable, fold: Fold, filters: int, augmented: bool) -> Rate:
    """Measures an epoch of trials that share a program, compiling left out."""
    mask = 8 if augmented else 0
    values = {
        "filters": filters, "blocks": 3, "dropout": 0.2, "optimizer": "'adamw'",
        "learning_rate": 0.001, "frequency_mask": mask, "time_mask": mask, "time_shift": 2 * mask,
    }  # fmt: skip
    overrides = [f"axes.{axis}=[{value}]" for axis, value in values.items()]
    sweep = load_sweep("cnn", ["epochs=1", "protocol=holdout", *overrides])
    sizes = sizes_of(table, [fold])
    arrays = [arrays_of(table, fold, sizes)]
    trials = trials_of(sweep, 1, range(TRIALS))
    with Engine(sweep, CnnFamily(), sizes, task_size=1) as engine:
        tasks = engine.plan.tasks(trials)
        seconds = least(lambda: list(engine.run(tasks, arrays)), 1 + REPEATS) / TRIALS
    family = CnnFamily()
    flops = family.flops(family.structure(sweep.configs[0]), sizes)
    return Rate(filters, augmented, seconds, flops)


def engine_block(found: list[Rate]) -> str:
    """Returns the table of rates, and the planner's figure for the MLP beside it."""
    rows = [
        [
            str(rate.filters), "yes" if rate.augmented else "no", f"{rate.seconds:.2f}",
            f"{1e3 * rate.seconds * BATCH / TRAIN:.0f}", f"{rate.flops / 1e9:.1f}",
            f"{rate.rate / 1e9:.1f}",
        ]
        for rate in found
    ]  # fmt: skip
    heads = ("filters", "augmented", "s a trial and epoch", "ms a step", "GFLOP", "GFLOP/s")
    table = Table(heads, rows).markdown
    return (
        f"{TRAIN} segments to train on in batches of {BATCH}, {EVALUATED} to evaluate, three "
        f"blocks, AdamW. A step's milliseconds include its share of the evaluation. The planner "
        f"reckons with {COSTS['cpu'].flops / 1e9:.0f} GFLOP/s, which the MLP reaches.\n\n{table}"
    )


# ------------------------------------------------------------------------------------ operations


def hours_block(found: list[Rate]) -> str:
    """Says what sweeps/cnn.toml takes on GTZAN, by operations."""
    sweep = load_sweep("cnn")
    songs = Counter(listed.part for listed in read_list(FAULT_FILTERED).values())
    rows = {part: SEGMENTS * count for part, count in songs.items()}
    evaluated = rows["validation"] + rows["test"]
    sizes = Sizes(rows["train"], evaluated, BANDS, CLASSES, frames=FRAMES)
    epoch = {config.id: epoch_flops(config, sizes) for config in sweep.configs}
    whole, largest = sweep.epochs * sum(epoch.values()), max(epoch.values())
    retrained = 10 * 50 * largest
    rate = next(r.rate for r in found if r.filters == 16 and r.augmented)
    gpu = COSTS["gpu"].flops
    cells = [
        [what, f"{flops / 1e12:,.0f}", f"{flops / rate / 3600:,.1f}", f"{flops / gpu / 60:.1f}"]
        for what, flops in (
            (f"{len(epoch)} networks, {sweep.epochs} epochs", whole),
            ("at most: the best retrained, 10 networks, 50 epochs", retrained),
        )
    ]
    table = Table(
        (
            "what", "TFLOP", f"hours of one CPU core at {rate / 1e9:.0f} GFLOP/s",
            f"minutes of a GPU, were it to reach {gpu / 1e12:.0f} TFLOP/s",
        ),
        cells,
    ).markdown  # fmt: skip
    parts = ", ".join(f"{songs[p]} songs {p}" for p in ("train", "validation", "test"))
    return (
        f"The fault-filtered lists have {parts}; with {SEGMENTS} segments each, {rows['train']:,} "
        f"rows are trained on and {evaluated:,} evaluated an epoch.\n\n{table}"
    )


def epoch_flops(config: Any, sizes: Sizes) -> float:
    """Returns the operations of one epoch of a config, without padding."""
    family = CnnFamily()
    return family.flops(family.structure(config), sizes)


# ----------------------------------------------------------------------------------------- smoke


def smoke_block(folder: str) -> str:
    """Returns what the smoke sweep found, and what it took."""
    run = read_finished(folder)
    axes = [axis for axis in run.sweep.axes if run.results[axis].nunique() > 1]
    figures = ["validation_accuracy", "test_accuracy", "test_segment_accuracy"]
    rows = [
        [
            str(row["rank"]),
            *(f"{row[axis]:g}" for axis in axes),
            *(f"{row[f]:.3f}" for f in figures),
        ]
        for row in run.results.to_dict("records")
    ]
    networks = run.retrained.groupby(["fold", "seed"]).last()["test_accuracy"]
    seconds = run.manifest.timings_s
    parts = ", ".join(f"{k} {v:.1f}" for k, v in seconds.items() if k != "total")
    splits, cores = run.manifest.split.folds[0], len(run.manifest.sessions[-1].devices)
    return (
        f"{run.manifest.data.rows_note}: {splits.train} to train on, {splits.validation} to "
        f"choose by, {splits.test} to test on. After {run.sweep.epochs} epochs, by songs and by "
        f"segments:\n\n{Table(('rank', *axes, *figures), rows).markdown}\n\n"
        f"The best, retrained for {run.retrained['epoch'].max()} epochs with "
        f"{len(networks)} seeds, told {' and '.join(f'{a:.3f}' for a in networks)} of the test "
        f"songs. Chance is 0.1. {seconds['total']:.0f} s on {cores} cores ({parts})."
    )


def baselines_table(folder: str) -> Table:
    """Returns the accuracies of models on the summary of the same spectrograms, best first."""
    scores = pd.read_csv(Path(folder) / "baselines.csv")
    rows = [
        [row.model, f"{row.accuracy:.3f}", f"{row.low:.2f} to {row.high:.2f}"]
        for row in scores.sort_values("accuracy", ascending=False).itertuples()
    ]
    return Table(("model on the bands' means and variances", "accuracy", "95 % interval"), rows)


# ------------------------------------------------------------------------------------------ page


def blocks(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields what stands between the page's markers, by name."""
    if folders:
        run, baselines = folders
        yield "smoke", smoke_block(run)
        yield "baselines", baselines_table(baselines).markdown
        return
    yield "axes", axes_table().markdown
    versions = f"jax {jax.__version__}, {BATCH} spectrograms a step, filters "
    widths = "-".join(map(str, WIDTHS))
    yield "ways", f"{versions}{widths}; the least of {REPEATS} runs.\n\n{ways_table().markdown}"
    found = rates()
    yield "engine", engine_block(found)
    yield "hours", hours_block(found)


def main() -> None:
    """Rewrites the blocks between the markers."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before JAX makes its threads
    jax.config.update("jax_platforms", "cpu")
    for name, text in blocks(sys.argv[1:]):
        print(f"\n## {name}\n\n{text}", flush=True)
        fill(PAGE, name, text)


if __name__ == "__main__":
    main()
