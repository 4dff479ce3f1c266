"""Prints docs/reproduction.md: the assignment's claims beside the figures of finished runs.

    python docs/make_reproduction.py CROSS_ENTROPY SOFTMAX_TWICE SLOPE > docs/reproduction.md

Run directories of the three commands that the page shows. No seed was chosen for its figures.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gtzan_jax.analysis import effects
from gtzan_jax.analysis.selection import FEWEST_SEEDS, compare_with_best
from gtzan_jax.assignment import claims, published, rules
from gtzan_jax.assignment.claims import Claim, span
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun, read_finished, table_of
from gtzan_jax.views.sections.effects import optimizer_rates
from gtzan_jax.views.text import Table

NAMES = ("cross-entropy", "softmax twice")
TOP = published.TOP


def page(runs: Mapping[str, FinishedRun], slope: FinishedRun) -> str:
    """Returns the page for runs by the name of their loss, and one with another slope."""
    run, fewest = runs[NAMES[0]], rules.FEWEST
    sweep, configs, seeds = run.sweep, run.sweep.num_configs, len(run.manifest.seeds)
    data, split, test = run.manifest.data, run.manifest.split, run.manifest.split.folds[0].test
    judged = {name: claims.judge(each, table_of(each, None)[0]) for name, each in runs.items()}
    retraining = run.manifest.retraining
    epochs, networks = (retraining.epochs, len(retraining.seeds)) if retraining else (0, 0)
    error = (0.7 * 0.3 / test) ** 0.5
    floor = rules.softmax_twice_floor(len(data.genres))
    name = run.note.split(";")[0].removeprefix("Data: ")
    return f"""# Reproduction

<!-- Printed by docs/make_reproduction.py: edit the script, not this page. -->

The assignment's published figures beside those of sweeps of its {configs} configurations, with the
correct loss, cross-entropy, and with softmax applied twice, as the published loss curve suggests.
All: {name}; {data.tracks:,} tracks; random 70:30 split with seed {split.seed}; {seeds} seeds;
{sweep.epochs} epochs, batches of {sweep.batch_size}. The configuration that the assignment found
best is retrained for {epochs} epochs with {networks} seeds.

{command_lines([*runs.values(), slope])}

Another split changes these figures too: an accuracy of 0.7 on {test} tracks has a standard error of
{error:.3f}, the difference of two splits one of {2**0.5 * error:.3f}.

## The claims

{claims_table(judged).markdown}

{summary(judged)}

Softmax applied twice keeps a loss above ln(1 + (genres − 1)/e) = {floor:.3f}, and a confident
mistake cannot make it soar.

## How claims are marked

The published split and seed are unknown. **Clearly different** marks figures outside the 95 %
prediction interval of ours, by the sampling error of the tracks on both splits and the spread of at
least {fewest} seeds or networks. **A figure without a mark is not confirmed.** With another table,
protocol, grid or constant nothing is marked.

- A count among the best is marked if no order of equally accurate configurations, which a range
  spans, reaches the claimed count in any of {fewest} seeds or more.
- An effect is consistent if one value is better in 75 % of the otherwise identical pairs and the
  mean difference over the seeds is not 0 (t test at 5 %, Holm's correction for the six).
- The best configuration is marked if it is not in the 95 % set of those that are statistically
  indistinguishable from the best, from {FEWEST_SEEDS} seeds.
- On a plateau no later epoch is more than a standard error of {published.TEST_TRACKS} tracks below
  the mean of the last 10. The epoch of the highest accuracy is not compared.
- A loss rises if the mean of the last 10 epochs is over 0.05 above the lowest. Its level is
  compared only with softmax twice, where its sampling error is bounded.

## Shares of the variance of test accuracy

Ranges over the seeds; those not shown are below 1 %.
{optimizer_rates(sweep)}

{shares_table(runs).markdown}

## Another seed, another slope

All {configs} trials of a seed share initial weights, order of rows and dropout noise: their common
luck is one observation, and a count like "all of the top 99" comes and goes with it. The slope of
LeakyReLU is not published: Keras's string "leaky_relu" means {sweep.leaky_slope:g}, used above; its
layer's default is {slope.sweep.leaky_slope:g}. Ranges over the seeds, with cross-entropy:

{seeds_table([run, slope]).markdown}"""


def command_lines(runs: Sequence[FinishedRun]) -> str:
    """Returns the commands of the runs, as a block of code."""
    name, slope = runs[0].sweep.name, runs[-1].sweep.leaky_slope
    flags = ["", " --set=loss=softmax_twice", f" --set=leaky_slope={slope:g} --retrain_epochs=0"]
    return "\n".join(
        f"    python -m gtzan_jax.sweep --sweep={name} --num_seeds={len(run.manifest.seeds)}{flag}"
        for run, flag in zip(runs, flags, strict=True)
    )


def claims_table(judged: Mapping[str, list[Claim]]) -> Table:
    """Returns the numbered claims with the figures of each run, marked if clearly different."""
    rows = [
        [f"{number}. {found[0].claim}", found[0].published]
        + [claim.measured + ": **clearly different**" * claim.different for claim in found]
        for number, found in enumerate(zip(*judged.values(), strict=True), 1)
    ]
    return Table(("claim", "published", *judged), rows)


def summary(judged: Mapping[str, list[Claim]]) -> str:
    """Returns how many claims are clearly different, and which only with one of the losses."""
    marks = [np.array([claim.different for claim in judged[name]]) for name in NAMES]
    lines = []
    for name, mine, other in zip(NAMES, marks, marks[::-1], strict=True):
        only = ", ".join(map(str, 1 + np.flatnonzero(mine & ~other))) or "none"
        lines.append(
            f"- {name}: {mine.sum()} of {len(mine)} claims are clearly different; with this loss "
            f"only: {only}."
        )
    return "\n".join(lines)


def shares_table(runs: Mapping[str, FinishedRun]) -> Table:
    """Returns the shares of the variance of accuracy that the hyperparameters explain."""
    columns = []
    for run in runs.values():
        by_seed = np.split(run.accuracy_by_fold, len(run.manifest.seeds), axis=2)
        parts = [effects.decompose(seed, run.sweep.axes).terms for seed in by_seed]
        shares = 100 * pd.concat([part.set_index("term")["share"] for part in parts], axis=1)
        shares = shares[~shares.index.str.contains("×")]
        shares.loc["interactions"] = 100 - shares.sum(skipna=False)
        ranges = zip(shares.min(axis=1).round(), shares.max(axis=1).round(), strict=True)
        texts = [f"{span(*ends)} %" if ends[1] else "< 1 %" for ends in ranges]
        columns.append(pd.Series(texts, index=shares.index))  # each run has an order of its own
    cells = pd.concat(columns, axis=1).itertuples(name=None)
    return Table(("hyperparameter", *runs), [row for row in cells if {*row[1:]} != {"< 1 %"}])


def seeds_table(runs: Sequence[FinishedRun]) -> Table:
    """Returns ranges over the seeds: the counts among the best, and the size of its set."""
    counted = {
        f"glorot_uniform in the top {TOP - 1}": (TOP - 1, "initializer", "glorot_uniform"),
        f"LeakyReLU in the top {TOP}": (TOP, "activation", "leaky_relu"),
    }
    rows = []
    for run in runs:
        cells = [f"{run.sweep.leaky_slope:g}"]
        for top, name, value in counted.values():
            has = np.array([config[name] == value for config in run.sweep.configs])
            ranges = np.array([rules.top_range(seed, has, top) for seed in run.accuracy.T])
            cells.append(span(ranges.min(), ranges.max()))
        correct = run.predictions.correct[np.isfinite(run.accuracy).all(axis=1)]
        seeds = np.split(correct, correct.shape[1], axis=1)
        sets = [compare_with_best(seed, run.predictions.group).indistinguishable for seed in seeds]
        sizes = [of.sum() for of in sets]
        rows.append([*cells, span(min(sizes), max(sizes))])
    return Table(("slope", *counted, "indistinguishable from the best"), rows)


def main() -> None:
    """Prints the page for the runs that the arguments name."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        runs = [read_finished(path) for path in sys.argv[1:]]
        for run in runs:
            if not claims.concern(run.sweep) or run.sweep.num_configs < TOP:
                sys.exit(f"error: {run.run.path} is not a sweep of the assignment's configurations")
            if claims.departure(run):
                print(f"{run.name}: no claim is marked: {claims.departure(run)}", file=sys.stderr)
        print(page(dict(zip(NAMES, runs, strict=False)), runs[2]))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
