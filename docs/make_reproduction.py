"""Prints docs/reproduction.md: the assignment's claims beside what our runs say of them.

    python docs/make_reproduction.py CROSS_ENTROPY SOFTMAX_TWICE SEEDS [SLOPE]

These are run directories; the third is one with cross-entropy and several seeds, the fourth one
with --set=leaky_slope=0.3. Nothing is rounded in anyone's favour, and no seed was chosen for its
figures.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from gtzan_jax.analysis import effects
from gtzan_jax.analysis.selection import FEWEST_SEEDS, compare_with_best
from gtzan_jax.assignment import claims, published, rules
from gtzan_jax.assignment.claims import Claim, span
from gtzan_jax.assignment.rules import top_range
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun, read_finished, table_of
from gtzan_jax.views.sections.effects import optimizer_rates
from gtzan_jax.views.text import signed

HEAD = """# Reproduction

<!-- Printed by docs/make_reproduction.py; change that, not this. -->

What the assignment published, and what sweeps of its {configs} configurations measure: with plain
cross-entropy, which is right, and with softmax applied twice, which the published curves bear the
mark of. All: {data}; {tracks:,} tracks; random 70:30 split with
seed {seed}; {epochs} epochs, batches of {batch}. Retrained for {retrained} epochs
with {networks} seeds: the configuration that the assignment found best, which its curves are of.

{commands}

Another split changes these figures, too: an accuracy of 0.7 on {test} tracks has a standard error
of {error:.3f}, and the difference of two splits one of {apart:.3f}.
"""

SEEDS = """
The same split and loss, cross-entropy, with {count} seeds, as they are. In each row all {configs}
networks share the seed's initial draws, order of rows and dropout noise, so the luck of one draw
moves many of them together, and a count like "all of the top 99" comes and goes with it. A range
is of the orders in which equally accurate networks at the cut can stand."""

SLOPE = """
The assignment says "LeakyReLU" and not its slope. Keras's string "leaky_relu" means 0.2, which is
assumed everywhere else here; its layer's default is 0.3. Each row is of one seed."""


RULES = (
    claims.NOTE,
    "A count among the best is marked where no order of equally accurate configurations reaches it "
    f"in any of {rules.FEWEST} seeds or more. An effect is consistent if one value is better in "
    f"75 % of the otherwise identical pairs of configurations and the mean "
    "difference is not 0 over the seeds (t test at 5 %, Holm's correction for the six). The best "
    "configuration is marked out of the 95 % set of those that are statistically "
    f"indistinguishable from the best, of {FEWEST_SEEDS} seeds or more. Trials that share a seed "
    "share initial weights, order of rows and dropout noise: what the 768 of a seed have in common "
    "is one observation, not 768.",
    "A plateau begins where no later epoch lies more than one standard error of "
    f"{published.TEST_TRACKS} tracks below the mean of the last 10. A loss rises if that mean "
    f"is more than 0.05 above its lowest epoch; its level is compared where the sampling error "
    "of a loss is bounded, which takes softmax twice. The epoch of the highest accuracy is not "
    'compared. The slope of "LeakyReLU" is not published: 0.2, Keras\'s of the string '
    '"leaky_relu", is assumed; its layer\'s default is 0.3.',
)
"""A paragraph each."""


def figure(claim: Claim) -> str:
    """Returns the measured figure, and a mark where the published one is clearly different."""
    return claim.measured + ": **clearly different**" * claim.different


def head(runs: Mapping[str, FinishedRun], commands: str) -> str:
    """Returns the title and what was run."""
    run = next(iter(runs.values()))
    data, sweep, retraining = run.manifest.data, run.sweep, run.manifest.retraining
    test = run.manifest.split.folds[0].test
    error = (0.7 * 0.3 / test) ** 0.5
    return HEAD.format(
        configs=sweep.num_configs,
        data=run.note.split(";")[0].removeprefix("Data: "),
        tracks=data.tracks,
        seed=run.manifest.split.seed,
        epochs=sweep.epochs,
        batch=sweep.batch_size,
        retrained=retraining.epochs if retraining else 0,
        networks=len(retraining.seeds) if retraining else 0,
        commands=commands,
        test=test,
        error=error,
        apart=2**0.5 * error,
    )


def command_lines(runs: Sequence[FinishedRun]) -> str:
    """Returns the commands that make the runs."""
    cross_entropy, _, seeds, *slope = runs
    flags = ["", " --set=loss=softmax_twice"]
    flags += [f" --num_seeds={len(seeds.manifest.seeds)} --retrain_epochs=0"]
    flags += [f" --set=leaky_slope={run.sweep.leaky_slope:g}" for run in slope]
    name = cross_entropy.sweep.name
    return "\n".join(f"    python -m gtzan_jax.sweep --sweep={name}{flag}" for flag in flags)


def claim_rows(judged: Mapping[str, list[Claim]]) -> str:
    """Returns the table of claims, and their rules."""
    lines = [row("claim", "published", *judged), row(*["---"] * (len(judged) + 2))]
    for found in zip(*judged.values(), strict=True):
        lines.append(row(found[0].claim, found[0].published, *map(figure, found)))
    notes = "\n\n".join(RULES)
    return "\n".join([*lines, "", summary(judged), "", "The rules:", "", notes])


def row(*cells: str) -> str:
    """Returns a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def summary(judged: Mapping[str, list[Claim]]) -> str:
    """Returns how many claims are clearly different, and which only with one of the two losses."""
    lines = [
        f"- {name}: of {len(found)} claims {sum(c.different for c in found)} are clearly different."
        for name, found in judged.items()
    ]
    one, other, *_ = judged
    for with_, without in ((one, other), (other, one)):
        pairs = zip(judged[with_], judged[without], strict=True)
        only = [f"{a.claim} ({a.published})" for a, b in pairs if a.different and not b.different]
        if only:
            lines += ["", f"Clearly different with {with_} and not with {without}:", ""]
            lines += [f"- {claim}" for claim in only]
    return "\n".join(lines)


def share_rows(runs: Mapping[str, FinishedRun], near: bool = False) -> str:
    """Returns the shares of the variance of accuracy that the hyperparameters explain.

    Of each seed alone: what seeds give beyond that is the range.
    """
    columns = [shares_by_seed(run, near) for run in runs.values()]
    lines = [row("hyperparameter", *runs), row("---", *["---:"] * len(runs))]
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = (percents(column.get(name)) for column in columns)
        lines.append(row(name, *cells))
    return "\n".join(lines)


def left_out(run: FinishedRun) -> str:
    """Returns the values that no config near the best has, with in how many seeds."""
    counts: dict[str, int] = {}
    for seed in range(len(run.manifest.seeds)):
        _, kept = effects.near_best(run.accuracy_by_fold[:, :, [seed]], run.sweep.axes)
        for name, values in run.sweep.axes.items():
            for value in (value for value in values if value not in kept[name]):
                counts[f"{name} {value}"] = counts.get(f"{name} {value}", 0) + 1
    of = len(run.manifest.seeds)
    words = (f"{name} ({n} of {of} seeds)" if of > 1 else name for name, n in counts.items())
    return ", ".join(words) or "nothing"


def shares_by_seed(run: FinishedRun, near: bool) -> dict[str, list[float]]:
    """Returns the shares in each seed, by hyperparameter; the largest first."""
    shares: dict[str, list[float]] = {}
    for seed in range(len(run.manifest.seeds)):
        accuracy, axes = run.accuracy_by_fold[:, :, [seed]], run.sweep.axes
        part = effects.decompose(*(effects.near_best(accuracy, axes) if near else (accuracy, axes)))
        of = part.terms.set_index("term")["share"]
        pairs = of.index.str.contains("×")
        rows = {str(name): float(share) for name, share in of[~pairs].items()}
        rows |= {"all pairs": float(of[pairs].sum()), "three and more": part.higher}
        for name, share in rows.items():
            shares.setdefault(name, []).extend([share] if np.isfinite(share) else [])
    return shares


def percents(shares: Sequence[float] | None) -> str:
    """Returns the range of shares in whole percents: a seed moves the first digit."""
    if not shares:
        return "–"
    low, high = (round(100 * share) for share in (min(shares), max(shares)))
    return f"{span(low, high)} %" if high else "< 1 %"


def seed_rows(run: FinishedRun) -> str:
    """Returns what the ranking's claims say of each seed alone, and their spread."""
    heads = [f"{what} in the top {n}" for what, n, _ in counted()]
    heads += ["num_units3: 128 less 64, points", "in the set of the best"]
    lines = [row("seed", "best accuracy", *heads), row(*["---"] * (len(heads) + 2))]
    wide = has(run, ("num_units3", 128))
    gains = 100 * (np.nanmean(run.accuracy[wide], axis=0) - np.nanmean(run.accuracy[~wide], axis=0))
    best = np.nanmax(run.accuracy, axis=0)
    ranges = [[top_range(seed, has(run, value), n) for seed in run.accuracy.T]
              for _, n, value in counted()]  # fmt: skip
    sets = [set_size(run, [place]) for place in range(len(best))]
    for place, seed in enumerate(run.manifest.seeds):
        counts = [span(*column[place]) for column in ranges]
        counts += [signed(gains[place], digits=1), str(sets[place])]
        lines.append(row(str(seed), f"{best[place]:.3f}", *counts))
    spread = [f"{best.mean():.3f} ± {best.std(ddof=1):.3f}"] if len(best) > 1 else [""]
    spread += [f"{span(*np.median(column, axis=0))} ({span(np.min(column), np.max(column))})"
               for column in ranges]  # fmt: skip
    spread += [f"{signed(np.median(gains), digits=1)} ({signed(gains.min(), digits=1)} to "
               f"{signed(gains.max(), digits=1)})"]  # fmt: skip
    spread += [f"{np.median(sets):.0f} ({span(min(sets), max(sets))}); all seeds together "
               f"{set_size(run, range(len(best)))}"]  # fmt: skip
    lines.append(row("mean ± deviation; median (range)", *spread))
    count = len(run.manifest.seeds)
    return "\n".join(lines) + "\n" + SEEDS.format(count=count, configs=run.sweep.num_configs)


def set_size(run: FinishedRun, seeds: Sequence[int]) -> int:
    """Returns how many configs are indistinguishable from the best, by the places of seeds."""
    sound = np.isfinite(run.accuracy).all(axis=1)
    correct = run.predictions.correct[sound][:, list(seeds)]
    return int(compare_with_best(correct, run.predictions.group).indistinguishable.sum())


def counted() -> list[tuple[str, int, tuple[str, str]]]:
    """Returns what is counted among the best: its name, how many are the best, and the value."""
    top = published.TOP
    return [
        ("glorot_uniform", top - 1, ("initializer", "glorot_uniform")),
        ("LeakyReLU", top, ("activation", "leaky_relu")),
    ]


def has(run: FinishedRun, value: tuple[str, str]) -> np.ndarray:
    """Returns (configs,) bool, which configs have a value of a hyperparameter."""
    return np.array([config[value[0]] == value[1] for config in run.sweep.configs])


def slope_rows(runs: Mapping[str, FinishedRun]) -> str:
    """Returns what the ranking's counts are at another slope of LeakyReLU."""
    lines = [row("slope", "best accuracy", *(f"{what} in the top {n}" for what, n, _ in counted()))]
    lines.append(row(*["---"] * 4))
    for run in runs.values():
        first = run.accuracy[:, 0]
        counts = (span(*top_range(first, has(run, value), n)) for _, n, value in counted())
        lines.append(row(f"{run.sweep.leaky_slope:g}", f"{np.nanmax(first):.3f}", *counts))
    return "\n".join(lines) + "\n" + SLOPE


def read_runs(paths: Sequence[str]) -> dict[str, FinishedRun]:
    """Reads the runs, by the names that their columns have."""
    runs = [read_finished(path) for path in paths]
    names = [
        "cross-entropy",
        "softmax twice",
        f"cross-entropy, {len(runs[2].manifest.seeds)} seeds",
    ]
    names += [f"cross-entropy, slope {run.sweep.leaky_slope:g}" for run in runs[3:]]
    for name, run in zip(names, runs, strict=True):
        if not claims.concern(run.sweep) or run.sweep.num_configs < published.TOP:
            sys.exit(f"error: {run.run.path} is not a sweep of the assignment's configurations")
        if claims.departure(run):
            print(f"{name}: no claim is marked: {claims.departure(run)}", file=sys.stderr)
    return dict(zip(names, runs, strict=True))


def main() -> None:
    """Prints the document for the runs that the arguments name."""
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    try:
        runs = read_runs(sys.argv[1:])
        judged = {name: claims.judge(run, table_of(run, None)[0]) for name, run in runs.items()}
    except InputError as error:
        sys.exit(f"error: {error}")
    first, _, seeds, *slope = runs
    floor = rules.softmax_twice_floor(len(runs[first].manifest.data.genres))
    print(head(runs, command_lines(list(runs.values()))))
    print(f"## The claims\n\n{claim_rows(judged)}\n")
    print(
        "A test loss that levels off well above zero is what softmax applied twice gives: that "
        "loss cannot\nfall below ln(1 + (genres − 1)/e) = "
        f"{floor:.3f}, and a confident mistake cannot make it soar.\n"
    )
    rates = optimizer_rates(runs[first].sweep)
    print("## Shares of the variance of test accuracy\n")
    print(f"Of each seed alone. {rates}\n\n{share_rows(runs)}\n")
    print("The same near the best: in the grid of the values that the best tenth of a seed's")
    print("configurations have. Left out are\n")
    print(*(f"- {name}: {left_out(run)}." for name, run in runs.items()), sep="\n")
    print(f"\n{share_rows(runs, near=True)}")
    print(f"\n## One seed or another\n\n{seed_rows(runs[seeds])}")
    if slope:
        chosen = {name: runs[name] for name in (first, *slope)}
        print(f"\n## The slope of LeakyReLU\n\n{slope_rows(chosen)}")


if __name__ == "__main__":
    main()
