"""What the assignment claims, beside what a run says of it.

Every measured figure is computed from the run's files or from the feature table. Whether a claim
holds follows from a rule that is stated with it.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gtzan_jax.analysis.effects import paired_differences
from gtzan_jax.assignment import published
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.schema import FeatureTable

_TAIL = 10  # epochs that an end is judged by
_CONSISTENT = 0.75  # of the pairs

_RANKING, _RETRAINING = "ranking of the 768 runs", "retraining of the best configuration"
_EXPLORATION = "exploration of the features"


@dataclass(frozen=True)
class Claim:
    """A sentence of the assignment, and what a run says of it.

    Attributes:
      sentence: what is claimed.
      published: the figure that was published with it.
      source: the part of the assignment that it is from.
      rule: when it holds.
      measured: the run's figure, or why there is none.
      holds: whether it does; None where the run cannot tell.
    """

    sentence: str
    published: str
    source: str
    rule: str
    measured: str
    holds: bool | None


def concern(sweep: Sweep) -> bool:
    """Whether the claims are about a sweep's axes, divided as the assignment divided."""
    theirs = load_sweep("assignment")
    return sweep.protocol == theirs.protocol and set(sweep.axes) == set(theirs.axes)


def judge(run: FinishedRun, table: FeatureTable | None) -> list[Claim]:
    """Returns every claim, in the order of the assignment, always the same number of them.

    Args:
      run: of a sweep that the claims concern.
      table: the feature table that it was trained on; None where it is not at hand.
    """
    exploration = [_ratios(table), _correlation(table)]
    ranking = [_glorot(run), _optimizers(run), _leaky(run), _others(run), _best_config(run)]
    retraining = [
        _after_first_epoch(run, "train", published.TRAIN_TRACKS),
        _after_first_epoch(run, "test", published.TEST_TRACKS),
        _highest_train(run),
        _highest_test(run),
        _plateau(run),
        _loss_level(run),
    ]
    figures = [_best_accuracy(run), *retraining]
    if not _is_assignment(run):
        figures = [_of_another_sweep(claim) for claim in figures]
    claims = [*exploration, *ranking, *figures]
    if run.is_sample:  # its figures are shown, and prove nothing
        claims = [dataclasses.replace(claim, holds=None) for claim in claims]
    return claims


def softmax_twice_floor(num_genres: int) -> float:
    """Returns what a loss cannot fall below if softmax is applied twice, in nats.

    The inner softmax gives at most 1 to the true genre and 0 to the others, so the outer one
    gives at most e / (e + genres - 1).
    """
    return math.log(1 + (num_genres - 1) / math.e)


def _is_assignment(run: FinishedRun) -> bool:
    """Whether the grid and the epochs are the assignment's; the order of values is free."""
    ours, theirs = run.sweep, load_sweep("assignment")
    same = all(set(values) == set(ours.axes[name]) for name, values in theirs.axes.items())
    return same and ours.epochs == theirs.epochs


def _of_another_sweep(claim: Claim) -> Claim:
    if claim.holds is None:
        return claim
    measured = f"{claim.measured} (another sweep than the assignment's)"
    return dataclasses.replace(claim, measured=measured, holds=None)


def _claim(
    sentence: str, shown: str, source: str, rule: str, found: tuple[str, bool | None]
) -> Claim:
    return Claim(sentence, shown, source, rule, *found)


def _ratios(table: FeatureTable | None) -> Claim:
    def found(table: FeatureTable) -> tuple[str, bool | None]:
        from gtzan_jax.analysis.exploration import pca

        ratios = pca(table, "min-max", len(published.RATIOS)).ratios
        equal = np.abs(ratios - published.RATIOS).max() < 5e-6
        return ", ".join(f"{ratio:.5f}" for ratio in ratios), bool(equal)

    return _claim(
        "Three principal components explain 24.6 %, 22.0 % and 9.8 % of the variance.",
        ", ".join(f"{ratio:.5f}" for ratio in published.RATIOS),
        _EXPLORATION,
        "equal to five decimals; features scaled to [0, 1] over all tracks",
        _of_table(table, found),
    )


def _correlation(table: FeatureTable | None) -> Claim:
    def found(table: FeatureTable) -> tuple[str, bool | None]:
        from gtzan_jax.analysis.exploration import correlations

        value = float(correlations(table)["mfcc2_mean"]["spectral_centroid_mean"])
        if math.isnan(value):
            return "one of the two is constant", None
        return f"{value:.4f}".replace("-", "−"), value >= 0.995

    return _claim(
        "mfcc2_mean and spectral_centroid_mean correlate at close to 1.00.",
        "1.00",
        _EXPLORATION,
        "rounds to 1.00",
        _of_table(table, found),
    )


def _glorot(run: FinishedRun) -> Claim:
    top = published.TOP - 1
    count = int((run.results["initializer"][:top] == "glorot_uniform").sum())
    return _claim(
        f"The {top} best configurations all have glorot_uniform.",
        f"{top} of {top}",
        _RANKING,
        f"all {top}",
        _of_ranking(run, "initializer", (f"{count} of {top}", count == top)),
    )


def _optimizers(run: FinishedRun) -> Claim:
    counts = run.results["optimizer"][: published.TOP].value_counts()
    measured = ", ".join(
        f"{counts.get(name, 0)} {name}" for name in sorted(run.sweep.axes["optimizer"])
    )
    holds = counts.get("adam", 0) + counts.get("rmsprop", 0) == published.TOP
    return _claim(
        f"The {published.TOP} best configurations all have Adam or RMSprop.",
        f"{published.TOP} of {published.TOP}",
        _RANKING,
        f"all {published.TOP}",
        _of_ranking(run, "optimizer", (measured, bool(holds))),
    )


def _leaky(run: FinishedRun) -> Claim:
    count = int((run.results["activation"][: published.TOP] == "leaky_relu").sum())
    return _claim(
        f"LeakyReLU has the larger share of the {published.TOP} best configurations.",
        "the larger share",
        _RANKING,
        f"more than {published.TOP // 2} of {published.TOP}",
        _of_ranking(run, "activation", (f"{count} of {published.TOP}", count > published.TOP // 2)),
    )


def _others(run: FinishedRun) -> Claim:
    """Looks whether one width or dropout rate wins again and again."""
    judged = {"activation", "initializer", "optimizer"}
    axes = run.sweep.axes
    varying = [name for name in axes if name not in judged and len(axes[name]) > 1]
    differences = paired_differences(run.accuracy_by_fold, axes)
    parts: list[str] = []
    verdicts: list[bool | None] = []
    for row in differences[differences["hyperparameter"].isin(varying)].to_dict("records"):
        share = max(row["wins"], row["losses"])
        clear = row["low"] > 0 or row["high"] < 0
        winner = row["value"] if row["wins"] >= row["losses"] else row["baseline"]
        parts.append(
            f"{row['hyperparameter']} {winner}: {100 * share:.0f} %, "
            f"{100 * abs(row['difference']):.1f} points"
        )
        if share >= _CONSISTENT:
            # Without an interval: one seed shifts all pairs alike, as an effect does.
            verdicts.append(not clear if math.isfinite(row["low"]) else None)
    holds = False if False in verdicts else None if None in verdicts else True
    reason = "" if len(varying) == 6 else "needs a sweep that varies all widths and dropout rates"
    if run.results["diverged"].all():
        reason = "every configuration diverged"
    return _claim(
        "The other hyperparameters (widths, dropout rates) show no consistent effect.",
        "none",
        _RANKING,
        "no value of any of the six is better than another in at least "
        f"{100 * _CONSISTENT:.0f} % of the otherwise identical pairs of configurations, with the "
        "95 % interval of the mean difference, over seeds or folds, on one side of 0",
        (reason, None) if reason else (f"better value, wins, margin: {'; '.join(parts)}", holds),
    )


def _best_config(run: FinishedRun) -> Claim:
    rows = run.results[run.results["config_id"] == published.published_best().id]
    found: tuple[str, bool | None] = ("the sweep does not have this configuration", None)
    if len(rows):
        row = rows.iloc[0]
        figure = "diverged" if row["diverged"] else f"{row['test_accuracy']:.4f}"
        measured = f"rank {row['rank']} of {len(run.results)}, {figure}"
        found = (measured, bool(row["rank"] == 1 and not row["diverged"]))
    return _claim(
        "The best configuration is 128/0.1, 128/0.2, 64/0.1, LeakyReLU, glorot_uniform, Adam.",
        "rank 1 of 768",
        _RANKING,
        "rank 1",
        found,
    )


def _best_accuracy(run: FinishedRun) -> Claim:
    best, theirs = run.results.iloc[0], published.BEST_ACCURACY
    accuracy = float(best["test_accuracy"])
    rule, found = _near(theirs, accuracy, published.TEST_TRACKS, f"{accuracy:.5f}")
    return _claim(
        f"The best configuration reaches a test accuracy of {theirs:.5f}.",
        f"{theirs:.5f}",
        _RANKING,
        rule,
        ("every configuration diverged", None) if best["diverged"] else found,
    )


def _after_first_epoch(run: FinishedRun, part: str, tracks: int) -> Claim:
    theirs = published.FIRST_EPOCH[part]
    name = f"After the first epoch of the retraining the {part} accuracy is {theirs:.4f}."
    if run.retrained is None:
        return _not_retrained(name, f"{theirs:.4f}")
    first = float(run.retrained[f"{part}_accuracy"].iloc[0])
    rule, found = _near(theirs, first, tracks, f"{first:.4f}")
    return _claim(name, f"{theirs:.4f}", _RETRAINING, rule, found)


def _highest_train(run: FinishedRun) -> Claim:
    theirs = published.HIGHEST_TRAIN
    name = f"In the retraining the train accuracy reaches {theirs:.4f} at most."
    if run.retrained is None or len(run.retrained) < published.EPOCHS:
        return _not_retrained(name, f"{theirs:.4f}", run)
    curve = run.retrained["train_accuracy"][: published.EPOCHS].to_numpy()
    measured = f"{curve.max():.4f} at epoch {curve.argmax() + 1}"
    rule, found = _near(theirs, float(curve.max()), published.TRAIN_TRACKS, measured)
    return _claim(name, f"{theirs:.4f}", _RETRAINING, rule, found)


def _highest_test(run: FinishedRun) -> Claim:
    theirs = f"{published.HIGHEST_TEST:.4f}"
    shown = f"{theirs} at epoch {published.HIGHEST_TEST_EPOCH}"
    name = (
        f"In the retraining the test accuracy reaches {theirs} at most, at epoch "
        f"{published.HIGHEST_TEST_EPOCH}."
    )
    if run.retrained is None or len(run.retrained) < published.EPOCHS:
        return _not_retrained(name, shown, run)
    curve = run.retrained["test_accuracy"][: published.EPOCHS].to_numpy()
    best = int(curve.argmax())
    measured = f"{curve[best]:.4f} at epoch {best + 1}; {curve[-1]:.4f} after {published.EPOCHS}"
    rule, found = _near(published.HIGHEST_TEST, float(curve[best]), published.TEST_TRACKS, measured)
    rule += "; the epoch is not judged"
    return _claim(name, shown, _RETRAINING, rule, found)


def _plateau(run: FinishedRun) -> Claim:
    theirs = published.PLATEAU_EPOCH
    name = f"From about epoch {theirs} of the retraining the test accuracy is on a plateau."
    shown = f"from about epoch {theirs}"
    if run.retrained is None or len(run.retrained) < published.EPOCHS:
        return _not_retrained(name, shown, run)
    curve = run.retrained["test_accuracy"][: published.EPOCHS].to_numpy()
    level = curve[-_TAIL:].mean()
    error = math.sqrt(level * (1 - level) / published.TEST_TRACKS)
    below = np.flatnonzero(curve < level - error)
    start = int(below[-1]) + 2 if below.size else 1
    return _claim(
        name,
        shown,
        _RETRAINING,
        f"epoch {theirs - 10} to {theirs + 10}; the plateau begins where no later epoch lies "
        f"more than one standard error of {published.TEST_TRACKS} tracks below the mean of the "
        f"last {_TAIL}",
        (f"from epoch {start}, at {level:.3f}", abs(start - theirs) <= 10),
    )


def _loss_level(run: FinishedRun) -> Claim:
    theirs = published.LOSS_LEVEL
    name = f"The test loss of the retraining levels off at about {theirs}."
    shown = f"at about {theirs}"
    if run.retrained is None or len(run.retrained) < published.EPOCHS:
        return _not_retrained(name, shown, run)
    curve = run.retrained["test_loss"][: published.EPOCHS].to_numpy()
    level, lowest = float(curve[-_TAIL:].mean()), float(curve.min())
    flat = level - lowest <= 0.05
    shape = "level" if flat else "rising"
    return _claim(
        name,
        shown,
        _RETRAINING,
        f"the mean of the last {_TAIL} epochs is within 0.05 of {theirs} and of the lowest epoch",
        (
            f"{shape}: {level:.3f} over the last {_TAIL} epochs, lowest {lowest:.3f} at epoch "
            f"{curve.argmin() + 1}",
            flat and abs(level - theirs) <= 0.05,
        ),
    )


def _of_table(
    table: FeatureTable | None, found: Callable[[FeatureTable], tuple[str, bool | None]]
) -> tuple[str, bool | None]:
    if table is None:
        return "the feature table is not at hand", None
    try:
        return found(table)
    except InputError as error:  # a table of constants has no components
        return str(error), None


def _of_ranking(
    run: FinishedRun, hyperparameter: str, found: tuple[str, bool]
) -> tuple[str, bool | None]:
    """Says why a ranking cannot tell, where it cannot."""
    sound = int((~run.results["diverged"]).sum())
    if sound < published.TOP:
        return f"needs ≥ {published.TOP} configurations; the run has {sound}", None
    if len(run.sweep.axes[hyperparameter]) < 2:
        return f"the sweep does not vary {hyperparameter}", None
    return found


def _not_retrained(sentence: str, shown: str, run: FinishedRun | None = None) -> Claim:
    reason = "not retrained"
    if run is not None and run.retrained is not None:
        reason = f"needs {published.EPOCHS} epochs; the retraining has {len(run.retrained)}"
    return _claim(sentence, shown, _RETRAINING, "", (reason, None))


def _near(theirs: float, measured: float, tracks: int, shown: str) -> tuple[str, tuple[str, bool]]:
    """Returns a rule, and whether a figure lies within sampling error of the published one."""
    reach = 1.96 * math.sqrt(theirs * (1 - theirs) / tracks)
    rule = f"within ±{reach:.3f}, the 95 % sampling error of {tracks} tracks"
    return rule, (shown, abs(measured - theirs) <= reach)
