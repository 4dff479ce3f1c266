"""Prints docs/reproduction.md: the assignment's claims beside what our runs say of them.

    python docs/make_reproduction.py CROSS_ENTROPY SOFTMAX_TWICE SEEDS > docs/reproduction.md

These are run directories; the third is one with cross-entropy and several seeds. Nothing is
rounded in anyone's favour, and no seed was chosen for its figures.
"""

import sys

import numpy as np
import pandas as pd

from gtzan_jax.analysis import effects
from gtzan_jax.assignment import claims
from gtzan_jax.assignment.claims import Claim
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun, read_finished, table_of

HEAD = """# Reproduction

<!-- Printed by docs/make_reproduction.py; change that, not this. -->

What the assignment published, and what two sweeps of its {configs} configurations measure: one
with plain cross-entropy, which is right, and one that applies softmax twice, which the published
curves bear the mark of. Both: {data}; {tracks:,} tracks; random 70:30 split and training with
seed {seed}; {epochs} epochs, batches of {batch}; retraining of each sweep's own best configuration
for {retrained} epochs.

    python -m gtzan_jax.sweep --sweep=assignment
    python -m gtzan_jax.sweep --sweep=assignment --set=loss=softmax_twice
    python -m gtzan_jax.sweep --sweep=assignment --num_seeds={seeds} --retrain_epochs=0

Another split or seed changes these figures: the standard error of an accuracy of 0.7 on
{test} tracks is {error:.3f}.
"""


DRAWS = 200

SEEDS = """

The same split and loss, cross-entropy, with {count} training seeds. In each row all 768 networks
share the seed's initial draws, data order and dropout noise, so the luck of one draw moves many
of them together, and a count like "all of the top 99" can come and go with it. Were each
network given one of these seeds at random, as in a loop that draws on, {middle:.0f} of the top 99
would have glorot_uniform (median of {draws} drawings;
nine in ten between {low:.0f} and {high:.0f})."""


def verdict(claim: Claim) -> str:
    """Returns the measured figure and whether the claim holds."""
    words = {True: "holds", False: "**does not hold**", None: "not judged"}
    return f"{claim.measured}: {words[claim.holds]}"


def head(run: FinishedRun, seeds: int) -> str:
    """Returns the title and what was run."""
    data, sweep = run.manifest.data, run.sweep
    test = run.manifest.split.folds[0].test
    return HEAD.format(
        configs=sweep.num_configs,
        seeds=seeds,
        data=run.note.split(";")[0].removeprefix("Data: "),
        tracks=data.tracks,
        seed=run.manifest.split.seed,
        epochs=sweep.epochs,
        batch=sweep.batch_size,
        retrained=0 if run.retrained is None else len(run.retrained),
        test=test,
        error=(0.7 * 0.3 / test) ** 0.5,
    )


def claim_rows(runs: list[FinishedRun]) -> str:
    """Returns the table of claims, and their rules."""
    judged = [claims.judge(run, table_of(run, None)[0]) for run in runs]
    lines = ["| claim | published | cross-entropy | softmax twice |", "| --- " * 4 + "|"]
    rules = []
    for found in zip(*judged, strict=True):
        cells = [found[0].sentence, found[0].published, *map(verdict, found)]
        lines.append(f"| {' | '.join(cells)} |")
        rules.append(f"- {found[0].sentence} Holds if: {found[0].rule}.")
    return "\n".join([*lines, "", summary(judged), "", "The rules:", "", *rules])


def summary(judged: list[list[Claim]]) -> str:
    """Returns how many claims hold, and which only one of the runs bears out."""
    counts = [sum(claim.holds is True for claim in found) for found in judged]
    lines = [
        f"Of {len(judged[0])} claims, {counts[0]} hold with cross-entropy and {counts[1]} with "
        "softmax twice."
    ]
    for name, one, other in (("cross-entropy", *judged), ("softmax twice", *judged[::-1])):
        only = [a.sentence for a, b in zip(one, other, strict=True) if a.holds and not b.holds]
        if only:
            lines += ["", f"Only with {name}:", "", *[f"- {sentence}" for sentence in only]]
    return "\n".join(lines)


def share_rows(runs: list[FinishedRun]) -> str:
    """Returns the shares of the variance of accuracy that the hyperparameters explain."""
    parts = [effects.decompose(run.accuracy_by_fold, run.sweep.axes) for run in runs]
    shares = [part.terms.set_index("term")["share"] for part in parts]
    rows = [(name, [float(s[name]) for s in shares]) for name in shares[0].index if "×" not in name]
    rows.append(("all pairs", [s[s.index.str.contains("×")].sum() for s in shares]))
    rows.append(("three and more", [part.higher for part in parts]))
    lines = ["| hyperparameter | cross-entropy | softmax twice |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {100 * a:.2f} % | {100 * b:.2f} % |" for name, (a, b) in rows]
    return "\n".join(lines)


def seed_rows(run: FinishedRun) -> str:
    """Returns what the ranking's claims say of each seed alone, and of a seed a config."""
    history = pd.read_csv(run.run.history_path).query(f"epoch == {run.sweep.epochs}")
    lines = ["| seed | best accuracy | glorot_uniform in the top 99 | LeakyReLU in the top 100 |"]
    lines.append("| --- " * 4 + "|")
    for seed, members in history.groupby("seed"):
        best, glorot, leaky = top_counts(members, run)
        lines.append(f"| {seed} | {best:.4f} | {glorot} | {leaky} |")
    draws = [
        top_counts(history.groupby("config_id").sample(1, random_state=draw), run)[1]
        for draw in range(DRAWS)
    ]
    low, middle, high = np.percentile(draws, [5, 50, 95])
    return "\n".join(lines) + SEEDS.format(
        count=len(run.manifest.seeds), draws=DRAWS, low=low, middle=middle, high=high
    )


def top_counts(members: pd.DataFrame, run: FinishedRun) -> tuple[float, int, int]:
    """Ranks one member of each config; returns the best accuracy and two counts of the top."""
    placed = members.assign(place=members["config_id"].map(run.sweep.places))
    by = ["test_accuracy", "test_loss", "place"]
    ranked = placed.sort_values(by, ascending=[False, True, True])
    top = [run.sweep.configs[place] for place in ranked["place"][:100]]
    glorot = sum(config["initializer"] == "glorot_uniform" for config in top[:99])
    leaky = sum(config["activation"] == "leaky_relu" for config in top)
    return float(ranked["test_accuracy"].iloc[0]), glorot, leaky


def main() -> None:
    """Prints the document for the runs that the arguments name."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        runs = [read_finished(path) for path in sys.argv[1:]]
    except InputError as error:
        sys.exit(f"error: {error}")
    floor = claims.softmax_twice_floor(len(runs[0].manifest.data.genres))
    print(head(runs[0], len(runs[2].manifest.seeds)))
    print(f"## The claims\n\n{claim_rows(runs[:2])}\n")
    print(
        "A test loss that levels off well above zero is what softmax applied twice gives: that "
        "loss cannot\nfall below ln(1 + (genres − 1)/e) = "
        f"{floor:.3f}, and a confident mistake cannot make it soar.\n"
    )
    print("## Shares of the variance of test accuracy\n")
    print(share_rows(runs[:2]))
    print("\n## One seed or another\n")
    print(seed_rows(runs[2]))


if __name__ == "__main__":
    main()
