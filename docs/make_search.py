"""Writes docs/search.md and its picture: what searches miss, by what they cost. Takes minutes.

    python -m gtzan_jax.sweep --sweep=assignment --protocol=kfold --num_folds=3 --num_seeds=4 \
        --retrain_epochs=0 --workdir=runs/search-assignment
    python -m gtzan_jax.sweep --sweep=halving --search=grid --protocol=kfold --num_folds=3 \
        --num_seeds=3 --retrain_epochs=0 --workdir=runs/search-large
    python docs/make_search.py runs/search-assignment runs/search-large

The two runs have trained every config of a space, so that searches are simulated by looking
histories up: the searches are the package's own. Each sees the validation figures of one seed;
what it chooses is judged by the test accuracy with the other seeds, mean over them and all folds.
"""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
from gtzan_jax.space.search import Halving, Score, Search
from gtzan_jax.space.sweep import SearchSettings, Sweep
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, VALIDATION, new_figure, styled, tidy

PAGE = Path(__file__).with_name("search.md")
PICTURE = PAGE.parent / "images" / "search_regret.png"
SEEDS = range(20)
QUARTER, TARGET = 0.25, 0.01
SHARES = (1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, QUARTER, 1 / 2, 1.0)
MOST_TPE = 192  # configs: a sampler of trees takes longer, the more it knows
FEWEST_OUTCOMES = 10  # of 20 searches, for quartiles to say something
NAMES = {"halving": "larger"}  # of spaces, where the sweep's misleads
MARKED = (
    ("grid", 1.0),
    ("random", QUARTER),
    ("tpe", None),
    ("halving", None),
    ("hyperband", None),
)
_LOOKS = {
    "grid": (GREY, "s"),
    "random": (TRAIN, "o"),
    "tpe": ("#CC79A7", "D"),
    "halving": (TEST, "^"),
    "hyperband": (VALIDATION, "v"),
}


@dataclass(frozen=True)
class Space:
    """A space of which everything is known.

    Attributes:
      sweep: a grid.
      name: for people.
      truth: (configs, seeds) test accuracy after the last epoch, mean over folds; 0 where a trial
        diverged.
      validation: (configs, seeds, epochs, 2) accuracy and loss, means over folds.
    """

    sweep: Sweep
    name: str
    truth: np.ndarray
    validation: np.ndarray

    @classmethod
    def of(cls, run: FinishedRun) -> "Space":
        """Looks up what there is to know in a finished run of a grid."""
        columns = ["config_id", "seed", "epoch", "validation_accuracy", "validation_loss"]
        means = run.history[columns].groupby(columns[:3], sort=True).mean()
        shape = (len(run.manifest.seeds), run.sweep.epochs, 2)
        ids = sorted(run.sweep.places)
        by_id = means.to_numpy().reshape(len(ids), *shape)
        order = np.argsort([run.sweep.places[config_id] for config_id in ids])
        sweep = run.sweep
        return cls(
            sweep,
            f"{NAMES.get(sweep.name, sweep.name)}: {sweep.num_configs:,} configs × {sweep.epochs} "
            "epochs",
            np.nan_to_num(run.accuracy_by_fold).mean(axis=1),
            by_id[order],
        )

    @property
    def whole(self) -> int:
        """Epochs of all configs."""
        return self.sweep.num_configs * self.sweep.epochs

    def score(self, config: Config, seed: int, epochs: int) -> Score:
        """Returns what a search is told of a config after some epochs, with one seed."""
        place = self.sweep.places[config.id]
        accuracy, loss = self.validation[place, seed % self.validation.shape[1], epochs - 1]
        return Score(float(accuracy), float(loss))

    @functools.cached_property
    def best(self) -> float:
        """The accuracy, with a seed, of the config that is best by the others; mean over seeds.

        The largest mean of all would have the luck of the config that has it.
        """
        seeds = range(self.truth.shape[1])
        chosen = [np.delete(self.truth, seed, axis=1).mean(axis=1).argmax() for seed in seeds]
        return float(self.truth[chosen, list(seeds)].mean())

    def regrets(self, config: Config, seed: int) -> dict[str, float]:
        """Returns by how much a config that was chosen with a seed is below the best."""
        by_seed = self.truth[self.sweep.places[config.id]]
        others = np.delete(by_seed, seed % len(by_seed)).mean()
        largest = self.truth.mean(axis=1).max()
        return {"regret": self.best - others, "below_largest": largest - by_seed.mean()}


def played(space: Space, search: Search, seed: int) -> Iterator[tuple[int, Config]]:
    """Plays a search; yields what it has cost and the best config that was trained to the end."""
    best: tuple[tuple[float, float], Config] | None = None
    cost, epochs = 0, space.sweep.epochs
    while proposal := search.ask():
        scores = {c.id: space.score(c, seed, proposal.epochs) for c in proposal.configs}
        search.tell(scores)
        if proposal.epochs < epochs:
            cost += proposal.config_epochs
            continue
        for config in proposal.configs:
            cost += epochs - proposal.first_epoch
            if best is None or scores[config.id].key < best[0]:
                best = scores[config.id].key, config
            yield cost, best[1]


def ordered(space: Space, configs: tuple[Config, ...], seed: int) -> Iterator[tuple[int, Config]]:
    """Trains configs to the end in an order; yields as :func:`played`."""
    best = configs[0]
    for count, config in enumerate(configs, start=1):
        key = space.score(config, seed, space.sweep.epochs).key
        if key < space.score(best, seed, space.sweep.epochs).key:
            best = config
        yield count * space.sweep.epochs, best


def with_search(space: Space, **settings: int | str) -> Sweep:
    """Returns a space's sweep with another search."""
    return dataclasses.replace(space.sweep, search=SearchSettings(**settings))  # type: ignore[arg-type]


def halved(space: Space, seed: int, count: int, brackets: int) -> tuple[int, Config]:
    """Returns what halving of so many drawn configs costs and chooses."""
    configs = draw(space.sweep.axes, count, seed, space.sweep.name)
    sweep = with_search(space, kind="halving", seed=seed, num_configs=count, brackets=brackets)
    return list(played(space, Halving(sweep.choosing(configs)), seed))[-1]


def regrets(space: Space) -> pd.DataFrame:
    """Returns search, seed, budget (share of the grid's) and regret, of all searches."""
    rows = []

    def note(search: str, seed: int, cost: int, config: Config) -> None:
        row = {"search": search, "seed": seed, "budget": cost / space.whole}
        rows.append(row | space.regrets(config, seed))

    every = space.sweep.num_configs
    for seed in SEEDS:
        paths = {
            "grid": ordered(space, space.sweep.configs, seed),
            "random": ordered(space, draw(space.sweep.axes, every, seed, ""), seed),
        }
        tpe = with_search(space, kind="tpe", seed=seed, num_configs=MOST_TPE).choosing(())
        tpe = dataclasses.replace(tpe, axes=space.sweep.axes)
        paths["tpe"] = played(space, OptunaSearch(tpe), seed)
        for search, path in paths.items():
            steps = list(path)
            costs = np.array([cost for cost, _ in steps])
            for share in (*SHARES, costs[-1] / space.whole):
                place = np.searchsorted(costs, share * space.whole, side="right") - 1
                if place >= 0 and (share <= costs[-1] / space.whole):
                    note(search, seed, round(share * space.whole), steps[place][1])
        for share in (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1):  # of the configs
            for search, brackets in (("halving", 1), ("hyperband", 3)):
                note(search, seed, *halved(space, seed, round(share * every), brackets))
        print(f"{space.name}, seed {seed}", file=sys.stderr)
    return pd.DataFrame(rows)


def curves_of(found: pd.DataFrame, space: Space) -> pd.DataFrame:
    """Returns the quartiles of the regret of each search by budget."""
    grouped = found.groupby(["search", found["budget"].round(6)], sort=False)
    table = grouped["regret"].quantile([0.25, 0.5, 0.75]).unstack()
    table.columns = pd.Index(["low", "median", "high"])
    table["below_largest"] = grouped["below_largest"].median()
    table["outcomes"] = grouped["regret"].nunique()
    few = table["outcomes"] < FEWEST_OUTCOMES
    table.loc[few, ["low", "high"]] = np.nan
    return table.reset_index().assign(space=space.name).sort_values(["search", "budget"])


def marked(curves: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    """Returns the row of each search that the page shows: that nearest to a budget, or the last."""
    rows = {}
    for search, budget in MARKED:
        own = curves[curves["search"] == search]
        distance = (own["budget"] - (budget or own["budget"].max())).abs()
        rows[search] = own.iloc[distance.argmin()]
    return rows


def lines_of(curves: pd.DataFrame, space: Space) -> list[str]:
    """Returns the rows of the page's table for a space."""
    lines = []
    for search, row in marked(curves).items():
        spread = "–"
        if np.isfinite(row["low"]):
            spread = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        lines.append(
            f"| {space.name} | {search} | {100 * row['budget']:.1f} % | "
            f"{100 * row['median']:.1f} | {spread} | {row['outcomes']} | "
            f"{100 * row['below_largest']:.2f} |"
        )
    return lines


def verdict(curves: pd.DataFrame, space: Space) -> str:
    """Says whether halving reached the target."""
    rows = marked(curves)
    half, grid = rows["halving"], rows["grid"]
    points = {search: f"{100 * row['median']:.1f}" for search, row in rows.items()}
    near = half["median"] <= TARGET and half["budget"] <= QUARTER
    sizes = curves[curves["search"] == "halving"]
    series = ", ".join(
        f"{100 * row['median']:.1f} for {100 * row['budget']:.1f} %" for _, row in sizes.iterrows()
    )
    worst = half["below_largest"] <= TARGET
    apart = grid["median"] - half["median"]
    which = f"Halving is {100 * abs(apart):.1f} points {'nearer' if apart > 0 else 'farther'}."
    if abs(apart) < TARGET:
        which = (
            f"Halving and the whole grid differ by {100 * abs(apart):.1f} points, too little for "
            "these seeds to tell which is better."
        )
    return (
        f"- **{space.name}.** Halving of all configs costs {100 * half['budget']:.1f} % of the "
        f"grid. The target as it was set, within a point of the largest of all means, is "
        f"{'met' if worst else 'missed'}: {100 * half['below_largest']:.2f} points, where the "
        f"whole grid, seeing the same figures, is {100 * grid['below_largest']:.2f} below. By a "
        f"yardstick without the luck of the largest mean, which was chosen after that, it is "
        f"{'met' if near else 'missed'}: the best config reaches {space.best:.3f}, halving chooses "
        f"one {points['halving']} points below in the median, the whole grid one {points['grid']}, "
        f"random draws with a quarter of the grid one {points['random']}. {which} Halving draws "
        f"of the configs, from one in 32 to all, misses {series}."
    )


@styled()
def draw_regret(curves: pd.DataFrame, target: float, note: str) -> Figure:
    """Draws median and quartiles of the regret by budget, a panel a space.

    Args:
      curves: space, search, budget (share of the grid's trial-epochs), and the quartiles of the
        regret: low, median, high; low and high NaN where too few searches differ.
      target: a regret to mark.
      note: the source of the data.
    """
    spaces = list(dict.fromkeys(curves["space"]))
    figure = new_figure(5.2 * len(spaces), 4.0, note=note)
    for axes, space in zip(figure.subplots(1, len(spaces), squeeze=False)[0], spaces, strict=True):
        for search, rows in curves[curves["space"] == space].groupby("search", sort=False):
            colour, marker = _LOOKS[str(search)]
            budget, points = 100 * rows["budget"], 100 * rows[["low", "median", "high"]]
            look = {"color": colour, "marker": marker, "markersize": 4}
            axes.plot(budget, points["median"], label=str(search), **look)
            axes.fill_between(budget, points["low"], points["high"], color=colour, alpha=0.08)
        axes.axhline(100 * target, color=GREY, linewidth=0.8, linestyle="--")
        axes.axvline(25, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        ticks = [1, 3, 10, 25, 50, 100]
        axes.set_xticks(ticks, [f"{tick} %" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(space, fontsize=10)
        axes.set_xlabel("trial-epochs, of the whole grid's", fontsize=9)
        axes.set_ylabel("points below the best config", fontsize=9)
        axes.legend(fontsize=8, frameon=False)
        tidy(axes)
    return figure


def main() -> None:
    """Replaces what stands between the markers of the page, and draws the picture."""
    if len(sys.argv) != 3:
        sys.exit("give the two runs of whole grids; the head of this file has their commands")
    runs = [read_run(path) for path in sys.argv[1:]]
    spaces = [Space.of(run) for run in runs]
    curves = [curves_of(regrets(space), space) for space in spaces]
    table = [
        "| space | search | cost | regret, points, median | quartiles | outcomes | "
        "below the largest mean |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        *(line for c, s in zip(curves, spaces, strict=True) for line in lines_of(c, s)),
    ]
    found = [verdict(c, s) for c, s in zip(curves, spaces, strict=True)]
    figure = draw_regret(pd.concat(curves), TARGET, runs[0].note)
    figure.savefig(PICTURE)
    fill(PAGE, "table", "\n".join(table))
    fill(PAGE, "found", "\n".join(found))


if __name__ == "__main__":
    main()
