"""Writes the findings on searches in docs/sweeps.md: what they miss, by what they cost.

    python -m gtzan_jax.sweep --sweep=assignment --protocol=kfold --num_folds=3 --num_seeds=4 \
        --retrain_epochs=0 --workdir=runs/search-assignment
    python -m gtzan_jax.sweep --sweep=halving --search=grid --protocol=kfold --num_folds=3 \
        --num_seeds=3 --retrain_epochs=0 --workdir=runs/search-large
    python docs/make_search.py runs/search-assignment runs/search-large
    python docs/make_search.py --seconds data/features_30_sec.csv
    python docs/make_search.py  # only draws the picture again, from search_regret.csv

The two runs train every config of a space, so that a search can be simulated from their histories.
It uses the validation figures of one seed; its choice is judged by the mean test accuracy of the
other seeds on all folds. ``--seconds`` times Optuna's loop with Keras beside the same search here.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pages import fill

from gtzan_jax.jobs.run import read_run
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.config import Config
from gtzan_jax.space.optuna_search import OptunaSearch
from gtzan_jax.space.ranges import draw
from gtzan_jax.space.search import Grid, Halving, Score, Search
from gtzan_jax.space.sweep import SearchSettings, Sweep
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, VALIDATION, new_figure, styled, tidy
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("sweeps.md")
PICTURE, RECORD = PAGE.parent / "images" / "search_regret.png", PAGE.with_name("search_regret.csv")
NOTE = "Data: features_30_sec.csv; 1,000 tracks; 3 stratified folds, split seed 0"
SEEDS = range(20)
QUARTER, TARGET = 0.25, 0.01
SHARES = (1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, QUARTER, 1 / 2, 1.0)
MOST_TPE = 192  # configs: its sampler takes longer, the more it knows
FEWEST_OUTCOMES = 10  # different results of 20 searches from which quartiles are given
NAMES = {"halving": "larger"}  # of spaces, where the sweep's misleads
MARKED = {"grid": 1.0, "random": QUARTER, "tpe": 1.0, "halving": 1.0, "hyperband": 1.0}
_LOOKS = {
    "grid": ("grid, in its order", GREY, "s"),
    "random": ("random", TRAIN, "o"),
    "tpe": ("TPE", "#CC79A7", "D"),
    "halving": ("halving", TEST, "^"),
    "hyperband": ("Hyperband", VALIDATION, "v"),
}
TRIALS, CONFIGS = 6, 192  # timed in Keras; of the search


class Space:
    """A grid with the results of all its configs.

    ``truth`` is (configs, seeds) test accuracy after the last epoch, mean over folds, 0 where a
    trial diverged; ``validation`` (configs, seeds, epochs, 2) accuracy and loss; ``best`` the mean
    over seeds of the accuracy, with a seed, of the config that is best by the other seeds.
    """

    def __init__(self, run: FinishedRun) -> None:
        self.sweep = sweep = run.sweep
        size = f"{sweep.num_configs:,} configs × {sweep.epochs} epochs"
        self.name = f"{NAMES.get(sweep.name, sweep.name)}: {size}"
        columns = ["config_id", "seed", "epoch", "validation_accuracy", "validation_loss"]
        means = run.history[columns].groupby(columns[:3], sort=True).mean()
        by_id = means.to_numpy().reshape(sweep.num_configs, -1, sweep.epochs, 2)
        self.validation = by_id[np.argsort([sweep.places[each] for each in sorted(sweep.places)])]
        self.truth = np.nan_to_num(run.accuracy_by_fold).mean(axis=1)
        chosen = [self._others(seed).argmax() for seed in range(self.truth.shape[1])]
        self.best = float(self.truth[chosen, range(len(chosen))].mean())

    def _others(self, seed: int) -> np.ndarray:
        """Returns (configs,) mean accuracies of the seeds but one."""
        return np.delete(self.truth, seed % self.truth.shape[1], axis=1).mean(axis=1)

    def played(self, search: Search, seed: int) -> Iterator[tuple[float, Config]]:
        """Plays a search; yields its cost, a share of the grid's, and its best finished config."""
        best, cost = ((np.inf, np.inf), self.sweep.configs[0]), 0
        while proposal := search.ask():
            scores = {}
            for config in proposal.configs:
                seen = self.validation[self.sweep.places[config.id]]
                scores[config.id] = Score(*map(float, seen[seed % len(seen), proposal.epochs - 1]))
                cost += proposal.epochs - proposal.first_epoch
                if proposal.epochs == self.sweep.epochs:
                    best = min(best, (scores[config.id].key, config), key=lambda pair: pair[0])
                    yield cost / (self.sweep.num_configs * self.sweep.epochs), best[1]
            search.tell(scores)

    def searches(self, seed: int) -> Iterator[tuple[str, Search]]:
        """Yields all searches by name, halving of 1/32 to all configs."""
        sweep, every = self.sweep, self.sweep.num_configs

        def of(kind: str, count: int, brackets: int = 1) -> Sweep:
            settings = SearchSettings(kind, count, seed, brackets=brackets)
            drawn = () if kind == "tpe" else draw(sweep.axes, count, seed, sweep.name)
            return dataclasses.replace(sweep, search=settings).choosing(drawn)

        yield "grid", Grid(sweep)
        yield "random", Grid(of("random", every))
        yield "tpe", OptunaSearch(of("tpe", min(MOST_TPE, every)))
        for count in (round(every / size) for size in (32, 16, 8, 4, 2, 1)):
            yield "halving", Halving(of("halving", count))
            yield "hyperband", Halving(of("halving", count, brackets=3))

    def curves(self) -> pd.DataFrame:
        """Returns medians and quartiles of the regret over seeds, by search and budget."""
        rows = []
        for seed in SEEDS:
            for name, search in self.searches(seed):
                costs, configs = zip(*self.played(search, seed), strict=True)
                budgets = {costs[-1]}
                if name in ("grid", "random", "tpe"):
                    budgets |= {share for share in SHARES if costs[0] <= share <= costs[-1]}
                for budget in budgets:
                    config = configs[np.searchsorted(costs, budget, "right") - 1]
                    place = self.sweep.places[config.id]
                    regret = self.best - self._others(seed)[place]
                    below = self.truth.mean(axis=1).max() - self.truth[place].mean()
                    rows.append((name, round(budget, 6), regret, below))
            print(f"{self.name}, seed {seed}", file=sys.stderr)
        frame = pd.DataFrame(rows, columns=["search", "budget", "regret", "below_largest"])
        grouped = frame.groupby(["search", "budget"])
        table = grouped["regret"].quantile([0.25, 0.5, 0.75]).unstack()
        table.columns = pd.Index(["low", "median", "high"])
        table["below_largest"] = grouped["below_largest"].median()
        table["outcomes"] = grouped["regret"].nunique()
        return table.reset_index().assign(space=self.name)


def marked(curves: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    """Returns the row of each search in the page's table: that nearest to a budget."""
    distance = (curves["budget"] - curves["search"].map(MARKED)).abs()
    nearest = distance.groupby(curves["search"]).idxmin()
    return {search: curves.loc[nearest[search]] for search in MARKED}


def lines_of(curves: pd.DataFrame) -> list[list[str]]:
    """Returns the rows of the page's table for a space."""
    lines = []
    for search, row in marked(curves).items():
        low, median, high = (f"{100 * row[name]:.1f}" for name in ("low", "median", "high"))
        spread = f"{low} to {high}" if row["outcomes"] >= FEWEST_OUTCOMES else "–"
        cost, below = f"{100 * row['budget']:.1f} %", f"{100 * row['below_largest']:.2f}"
        lines.append([row["space"], search, cost, median, spread, f"{row['outcomes']}", below])
    return lines


def takeaway(curves: pd.DataFrame) -> str:
    """Returns the cost from which on every search is at most a point worse than the whole grid."""
    others = curves[curves["search"] != "grid"].sort_values("budget")
    grid = curves[curves["search"] == "grid"].sort_values("budget")["median"].iloc[-1]
    worse = others[others["median"] > grid + TARGET]["budget"].max()  # NaN: none
    left = others if np.isnan(worse) else others[others["budget"] > worse]
    if left.empty:
        return "No search is reliably within a point of the whole grid."
    return (
        f"From {100 * left['budget'].iloc[0]:.1f} % of the grid's cost on, every search but the "
        "unfinished grid is at most a point worse than the whole grid."
    )


def verdict(curves: pd.DataFrame, best: float) -> str:
    """Returns the findings on a space, and whether halving reached the target."""
    rows = marked(curves)
    half, grid = rows["halving"], rows["grid"]
    points = {search: f"{100 * row['median']:.1f}" for search, row in rows.items()}
    near = half["median"] <= TARGET and half["budget"] <= QUARTER
    sizes = curves[curves["search"] == "halving"].sort_values("budget")
    series = ", ".join(
        f"{100 * row['median']:.1f} for {100 * row['budget']:.1f} %" for _, row in sizes.iterrows()
    )
    apart = grid["median"] - half["median"]
    which = f"Halving is {100 * abs(apart):.1f} points {'better' if apart > 0 else 'worse'}."
    if abs(apart) < TARGET:
        which = (
            f"Halving and the whole grid differ by {100 * abs(apart):.1f} points, too little for "
            "these seeds to tell which is better."
        )
    return (
        f"- **{curves['space'].iloc[0]}.** {takeaway(curves)} Halving of all configurations costs "
        f"{100 * half['budget']:.1f} % of the grid. The target as it was set, within a point of "
        f"the largest of all means, is {'met' if half['below_largest'] <= TARGET else 'missed'}: "
        f"{100 * half['below_largest']:.2f} points; the whole grid, with the same figures, is "
        f"{100 * grid['below_largest']:.2f} below. Against the best by the other seeds, a "
        f"reference chosen after that, it is {'met' if near else 'missed'}: that reaches "
        f"{best:.3f}; halving is {points['halving']} points below in the median, the whole grid "
        f"{points['grid']}, random draws with a quarter of the grid {points['random']}. {which} "
        f"Halving of one configuration in 32, and of more up to all, loses {series}."
    )


@styled()
def draw_regret(curves: pd.DataFrame) -> Figure:
    """Draws the median regret by cost, a panel a space; see ``Space.curves``."""
    spaces = list(dict.fromkeys(curves["space"]))
    figure = new_figure(5.2 * len(spaces), 4.6, note=f"{NOTE}. Medians of {len(SEEDS)} searches.")
    panels = figure.subplots(1, len(spaces), squeeze=False, sharey=True)[0]
    for axes, space in zip(panels, spaces, strict=True):
        own = curves[curves["space"] == space].sort_values("budget")
        for search, (label, colour, marker) in _LOOKS.items():
            rows = own[own["search"] == search]
            axes.plot(
                100 * rows["budget"], 100 * rows["median"], color=colour, marker=marker,
                markersize=5, label=label,
            )  # fmt: skip
        whole = 100 * own[own["search"] == "grid"]["median"].iloc[-1]
        near = f"whole grid ± {100 * TARGET:.0f} point"
        axes.axhspan(whole - 1, whole + 1, color=GREY, alpha=0.12, lw=0, label=near)
        axes.set_xscale("log")
        ticks = [1, 3, 10, 25, 50, 100]
        axes.set_xticks(ticks, [f"{tick} %" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(f"{space}\n{textwrap.fill(takeaway(own), 66)}", fontsize=9, loc="left")
        axes.set_xlabel("cost: trial-epochs, share of the whole grid's", fontsize=9)
        tidy(axes)
    panels[0].set_ylabel("regret: points of test accuracy below the best", fontsize=9)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=6, fontsize=9, frameon=False)
    return figure


def study(spaces: list[Space]) -> None:
    """Fills the page with the results on spaces, and writes the record of the picture."""
    found = [space.curves() for space in spaces]
    columns = ("space", "search", "cost", "regret, points, median", "quartiles", "outcomes")
    columns += ("below the largest mean",)
    rows = [line for curves in found for line in lines_of(curves)]
    fill(PAGE, "table", Table(columns, rows).markdown)
    verdicts = [verdict(c, s.best) for c, s in zip(found, spaces, strict=True)]
    fill(PAGE, "found", "\n".join(verdicts))
    record = pd.concat(found)[["space", "search", "budget", "median"]]
    record.to_csv(RECORD, index=False, float_format="%.6g", lineterminator="\n")


def loop(data: str) -> None:
    """Prints the mean seconds of a trial of Optuna's own loop, with Keras on JAX."""
    import optuna

    from benchmarks.keras_loop import train
    from benchmarks.table import load_arrays
    from gtzan_jax.space.sweep_file import load_sweep

    sweep, arrays = load_sweep("assignment"), load_arrays(data)

    def objective(trial: optuna.Trial) -> float:
        values = {n: trial.suggest_categorical(n, v) for n, v in sweep.axes.items()}
        return train(Config.of(**values), sweep, arrays, sweep.epochs)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=TRIALS + 1)  # the first imports much
    print(sum(trial.duration.total_seconds() for trial in study.trials[1:]) / TRIALS)


def process(*arguments: str, **environment: str) -> str:
    """Runs Python in another process; returns the last line of its output."""
    environment = os.environ | {"PYTHONPATH": str(PAGE.parent.parent)} | environment
    command = [sys.executable, *arguments]
    output = subprocess.check_output(command, env=environment, text=True)  # noqa: S603 — as below
    return output.splitlines()[-1]


def seconds_text(data: str) -> str:
    """Measures a search here and Optuna's loop; returns the page's text."""
    per_trial = float(process(__file__, "--loop", data, KERAS_BACKEND="jax"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process(
            "-m", "gtzan_jax.sweep", "--protocol=holdout", "--search=tpe", "--retrain_epochs=0",
            f"--set=search.num_configs={CONFIGS}", f"--data={data}", f"--workdir={folder}/run",
        )  # fmt: skip
        ours = time.perf_counter() - started
    theirs = CONFIGS * per_trial
    return (
        f"TPE on the assignment's space, {CONFIGS} configurations for ten epochs each: "
        f"{ours:.0f} s here, the whole command, 600 songs to train on, programs compiled before. "
        "Optuna's own loop with Keras on JAX, one network after another on 700 songs, each "
        f"compiled, takes {per_trial:.1f} s a trial, mean of {TRIALS}, which makes "
        f"{theirs:,.0f} s: {theirs / ours:.0f} times as long. Two CPU cores, shared with other "
        f"programs: a load of {os.getloadavg()[1]:.1f}."
    )


def main(*arguments: str) -> None:
    """Fills the blocks between markers of the page, and draws the picture."""
    if arguments[:1] == ("--loop",):
        loop(arguments[1])
    elif arguments[:1] == ("--seconds",):
        fill(PAGE, "seconds", seconds_text(arguments[1]))
    else:
        if arguments:
            study([Space(read_run(path)) for path in arguments])
        draw_regret(pd.read_csv(RECORD, comment="#")).savefig(PICTURE)


if __name__ == "__main__":
    main(*sys.argv[1:])
