"""What the assignment claims, beside what a run says of it.

Every measured figure is computed from the run's files or from the feature table. Whether a claim
is compatible follows from a rule that is stated with it, see :mod:`gtzan_jax.assignment.rules`.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from gtzan_jax.assignment import published
from gtzan_jax.assignment.ranking_claims import best_accuracy, ranking_claims
from gtzan_jax.assignment.retraining_claims import retraining_claims
from gtzan_jax.assignment.rules import Claim, Found, softmax_twice_floor
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256

__all__ = ["NOTES", "Claim", "concern", "departure", "judge", "softmax_twice_floor"]

_EXPLORATION = "exploration of the features"

NOTES = (
    "The published figures are those of one split and one seed, which nobody knows. A claim is "
    "compatible with a run where the two differ by no more than another split and another seed "
    "would change, at 95 %; not compatible where they differ by more, which takes several seeds or "
    "networks; undecided where the run has too few of them, or is not the assignment: another "
    "table, protocol, grid, or constant.",
    "Compatible is not confirmed. Beside each verdict stands what else would have been compatible, "
    "and a wide range is compatible with much. That of a figure is a 95 % prediction interval: "
    "what the choice of the test tracks changes, of their split and of ours, and what a seed "
    "changes; beyond it a figure is not compatible, or, with too few seeds, undecided.",
    "Members that share a seed share initial weights, order of rows and dropout noise: the luck of "
    "one draw moves many configurations together, and what the 768 of a seed have in common is one "
    "observation, not 768.",
    'The assignment says "LeakyReLU" and not its slope: Keras\'s string "leaky_relu" means 0.2, '
    "which is assumed here, and its layer's default is 0.3; a run with either is judged.",
)
"""What is true of every claim, a paragraph each."""


def concern(sweep: Sweep) -> bool:
    """Whether the claims are about a sweep's axes, divided as the assignment divided."""
    theirs = load_sweep("assignment")
    same_axes = set(sweep.axes) == set(theirs.axes)
    return sweep.is_grid and sweep.protocol == theirs.protocol and same_axes


def judge(run: FinishedRun, table: FeatureTable | None) -> list[Claim]:
    """Returns every claim, in the order of the assignment, always the same number of them.

    Args:
      run: of a sweep that the claims concern.
      table: the feature table that it was trained on; None where it is not at hand.

    Raises:
      InputError: the run's predictions cannot be used.
    """
    exploration = [_ratios(table), _correlation(table)]
    figures = [*ranking_claims(run), best_accuracy(run), *retraining_claims(run)]
    if table and table.sha256 != KAGGLE_SHA256:
        exploration = [_not_judged(claim, _other_table(table.is_sample)) for claim in exploration]
    reason = departure(run)
    if reason:
        figures = [_not_judged(claim, reason) for claim in figures]
    return [*exploration, *figures]


def departure(run: FinishedRun) -> str:
    """Returns in what a run is not the assignment; "" where it is. The order of values is free."""
    ours, theirs = run.sweep, load_sweep("assignment")
    if run.manifest.data.sha256 != KAGGLE_SHA256:
        return _other_table(run.is_sample)
    if {name: set(values) for name, values in ours.axes.items()} != {
        name: set(values) for name, values in theirs.axes.items()
    }:
        return "another grid than the assignment's"
    for name in ("protocol", "epochs", "batch_size", "learning_rates"):
        if getattr(ours, name) != getattr(theirs, name):
            return f"another {name} than the assignment's"
    if ours.leaky_slope not in published.LEAKY_SLOPES:
        return "another leaky_slope than Keras has"
    return ""


def _other_table(is_sample: bool) -> str:
    return "the synthetic sample" if is_sample else "another table than the one on Kaggle"


def _not_judged(claim: Claim, reason: str) -> Claim:
    measured = claim.measured if claim.compatible is None else f"{claim.measured} ({reason})"
    return dataclasses.replace(claim, measured=measured, compatible=None, also="")


def _ratios(table: FeatureTable | None) -> Claim:
    def found(table: FeatureTable) -> Found:
        from gtzan_jax.analysis.exploration import pca

        ratios = pca(table, "min-max", len(published.RATIOS)).ratios
        equal = np.abs(ratios - published.RATIOS).max() < 5e-6
        shown = ", ".join(f"{ratio:.5f}" for ratio in ratios)
        return Found(shown, bool(equal), "only these would be compatible")

    return Claim(
        "Three principal components explain 24.6 %, 22.0 % and 9.8 % of the variance.",
        ", ".join(f"{ratio:.5f}" for ratio in published.RATIOS),
        _EXPLORATION,
        "equal to five decimals; features scaled to [0, 1] over all tracks",
        *_of_table(table, found),
    )


def _correlation(table: FeatureTable | None) -> Claim:
    def found(table: FeatureTable) -> Found:
        from gtzan_jax.analysis.exploration import correlations

        value = float(correlations(table)["mfcc2_mean"]["spectral_centroid_mean"])
        if math.isnan(value):
            return Found("one of the two is constant")
        shown, only = (f"{value:z.{digits}f}".replace("-", "−") for digits in (4, 2))
        return Found(shown, value >= 0.995, f"only {only} would be compatible")

    return Claim(
        "mfcc2_mean and spectral_centroid_mean correlate at close to 1.00.",
        "1.00",
        _EXPLORATION,
        "rounds to 1.00",
        *_of_table(table, found),
    )


def _of_table(table: FeatureTable | None, found: Callable[[FeatureTable], Found]) -> Found:
    if table is None:
        return Found("the feature table is not at hand")
    try:
        return found(table)
    except InputError as error:  # a table of constants has no components
        return Found(str(error))
