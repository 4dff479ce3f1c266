"""What the assignment claims, beside what a run says of it.

The published figures stand here; every measured one is computed from the run's files or from
the feature table. Whether a claim holds follows from a rule that is stated with it.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gtzan_jax.comparison import PUBLISHED_BEST
from gtzan_jax.effects import paired_differences
from gtzan_jax.errors import InputError
from gtzan_jax.features import FeatureTable
from gtzan_jax.finished import FinishedRun
from gtzan_jax.space import HYPERPARAMETERS, load_sweep

PUBLISHED_RATIOS = (0.24644968, 0.22028192, 0.09803759)

_TOP = 100
_TRAIN_TRACKS, _TEST_TRACKS = 700, 300  # of the assignment
_EPOCHS = 50
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


def judge(run: FinishedRun, table: FeatureTable | None) -> list[Claim]:
    """Returns every claim, in the order of the assignment, always the same number of them.

    Args:
      run: the run.
      table: the feature table that it was trained on; None where it is not at hand.
    """
    exploration = [_ratios(table), _correlation(table)]
    ranking = [_glorot(run), _optimizers(run), _leaky(run), _others(run), _best_config(run)]
    retraining = [
        _after_first_epoch(run, "train", 0.4386, _TRAIN_TRACKS),
        _after_first_epoch(run, "test", 0.4633, _TEST_TRACKS),
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
    same = all(set(ours.axes[name]) == set(theirs.axes[name]) for name in HYPERPARAMETERS)
    return same and ours.epochs == theirs.epochs


def _of_another_sweep(claim: Claim) -> Claim:
    if claim.holds is None:
        return claim
    measured = f"{claim.measured} (another sweep than the assignment's)"
    return dataclasses.replace(claim, measured=measured, holds=None)


def _claim(
    sentence: str, published: str, source: str, rule: str, found: tuple[str, bool | None]
) -> Claim:
    return Claim(sentence, published, source, rule, *found)


def _ratios(table: FeatureTable | None) -> Claim:
    def found(table: FeatureTable) -> tuple[str, bool | None]:
        from gtzan_jax.exploration import pca

        ratios = np.asarray(pca(table, "min-max").ratios)[: len(PUBLISHED_RATIOS)]
        equal = np.abs(ratios - PUBLISHED_RATIOS).max() < 5e-6
        return ", ".join(f"{ratio:.5f}" for ratio in ratios), bool(equal)

    return _claim(
        "Three principal components explain 24.6 %, 22.0 % and 9.8 % of the variance.",
        ", ".join(f"{ratio:.5f}" for ratio in PUBLISHED_RATIOS),
        _EXPLORATION,
        "equal to five decimals; features scaled to [0, 1] over all tracks",
        _of_table(table, found),
    )


def _correlation(table: FeatureTable | None) -> Claim:
    def found(table: FeatureTable) -> tuple[str, bool | None]:
        from gtzan_jax.exploration import correlations

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
    top = _TOP - 1
    count = int((run.results["initializer"][:top] == "glorot_uniform").sum())
    return _claim(
        f"The {top} best configurations all have glorot_uniform.",
        f"{top} of {top}",
        _RANKING,
        f"all {top}",
        _of_ranking(run, "initializer", (f"{count} of {top}", count == top)),
    )


def _optimizers(run: FinishedRun) -> Claim:
    counts = run.results["optimizer"][:_TOP].value_counts()
    measured = ", ".join(
        f"{counts.get(name, 0)} {name}" for name in sorted(run.sweep.axes["optimizer"])
    )
    holds = counts.get("adam", 0) + counts.get("rmsprop", 0) == _TOP
    return _claim(
        f"The {_TOP} best configurations all have Adam or RMSprop.",
        f"{_TOP} of {_TOP}",
        _RANKING,
        f"all {_TOP}",
        _of_ranking(run, "optimizer", (measured, bool(holds))),
    )


def _leaky(run: FinishedRun) -> Claim:
    count = int((run.results["activation"][:_TOP] == "leaky_relu").sum())
    return _claim(
        f"LeakyReLU has the larger share of the {_TOP} best configurations.",
        "the larger share",
        _RANKING,
        f"more than {_TOP // 2} of {_TOP}",
        _of_ranking(run, "activation", (f"{count} of {_TOP}", count > _TOP // 2)),
    )


def _others(run: FinishedRun) -> Claim:
    """Looks whether one width or dropout rate wins again and again."""
    judged = {"activation", "initializer", "optimizer"}
    axes = run.sweep.axes
    varying = [name for name in axes if name not in judged and len(axes[name]) > 1]
    differences = paired_differences(run.accuracy, axes)
    parts, holds = [], True
    for row in differences[differences["hyperparameter"].isin(varying)].to_dict("records"):
        share = max(row["wins"], row["losses"])
        clear = row["low"] > 0 or row["high"] < 0
        winner = row["value"] if row["wins"] >= row["losses"] else row["baseline"]
        parts.append(
            f"{row['hyperparameter']} {winner}: {100 * share:.0f} %, "
            f"{100 * abs(row['difference']):.1f} points"
        )
        holds = holds and not (clear and share >= _CONSISTENT)
    reason = "" if len(varying) == 6 else "needs a sweep that varies all widths and dropout rates"
    if run.results["diverged"].all():
        reason = "every configuration diverged"
    return _claim(
        "The other hyperparameters (widths, dropout rates) show no consistent effect.",
        "none",
        _RANKING,
        "no value of any of the six is better than another in at least "
        f"{100 * _CONSISTENT:.0f} % of the otherwise identical pairs of configurations, with the "
        "95 % interval of the mean difference on one side of 0",
        (reason, None) if reason else (f"better value, wins, margin: {'; '.join(parts)}", holds),
    )


def _best_config(run: FinishedRun) -> Claim:
    rows = run.results
    for name in HYPERPARAMETERS:
        rows = rows[rows[name] == getattr(PUBLISHED_BEST, name)]
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
    best = run.results.iloc[0]
    accuracy = float(best["test_accuracy"])
    rule, found = _near(0.71667, accuracy, _TEST_TRACKS, f"{accuracy:.5f}")
    return _claim(
        "The best configuration reaches a test accuracy of 0.71667.",
        "0.71667",
        _RANKING,
        rule,
        ("every configuration diverged", None) if best["diverged"] else found,
    )


def _after_first_epoch(run: FinishedRun, part: str, published: float, tracks: int) -> Claim:
    name = f"After the first epoch of the retraining the {part} accuracy is {published:.4f}."
    if run.retrained is None:
        return _not_retrained(name, f"{published:.4f}")
    first = float(run.retrained[f"{part}_accuracy"].iloc[0])
    rule, found = _near(published, first, tracks, f"{first:.4f}")
    return _claim(name, f"{published:.4f}", _RETRAINING, rule, found)


def _highest_train(run: FinishedRun) -> Claim:
    name, published = "In the retraining the train accuracy reaches 0.9200 at most.", 0.92
    if run.retrained is None or len(run.retrained) < _EPOCHS:
        return _not_retrained(name, f"{published:.4f}", run)
    curve = run.retrained["train_accuracy"][:_EPOCHS].to_numpy()
    measured = f"{curve.max():.4f} at epoch {curve.argmax() + 1}"
    rule, found = _near(published, float(curve.max()), _TRAIN_TRACKS, measured)
    return _claim(name, f"{published:.4f}", _RETRAINING, rule, found)


def _highest_test(run: FinishedRun) -> Claim:
    name, published = (
        "In the retraining the test accuracy reaches 0.7367 at most, at epoch 38.",
        "0.7367 at epoch 38",
    )
    if run.retrained is None or len(run.retrained) < _EPOCHS:
        return _not_retrained(name, published, run)
    curve = run.retrained["test_accuracy"][:_EPOCHS].to_numpy()
    best = int(curve.argmax())
    measured = f"{curve[best]:.4f} at epoch {best + 1}; {curve[-1]:.4f} after {_EPOCHS}"
    rule, found = _near(0.7367, float(curve[best]), _TEST_TRACKS, measured)
    rule += "; the epoch is not judged"
    return _claim(name, published, _RETRAINING, rule, found)


def _plateau(run: FinishedRun) -> Claim:
    name, published = (
        "From about epoch 30 of the retraining the test accuracy is on a plateau.",
        "from about epoch 30",
    )
    if run.retrained is None or len(run.retrained) < _EPOCHS:
        return _not_retrained(name, published, run)
    curve = run.retrained["test_accuracy"][:_EPOCHS].to_numpy()
    level = curve[-_TAIL:].mean()
    error = math.sqrt(level * (1 - level) / _TEST_TRACKS)
    below = np.flatnonzero(curve < level - error)
    start = int(below[-1]) + 2 if below.size else 1
    return _claim(
        name,
        published,
        _RETRAINING,
        "epoch 20 to 40; the plateau begins where no later epoch lies more than one standard "
        f"error of {_TEST_TRACKS} tracks below the mean of the last {_TAIL}",
        (f"from epoch {start}, at {level:.3f}", 20 <= start <= 40),
    )


def _loss_level(run: FinishedRun) -> Claim:
    name, published = "The test loss of the retraining levels off at about 1.75.", "at about 1.75"
    if run.retrained is None or len(run.retrained) < _EPOCHS:
        return _not_retrained(name, published, run)
    curve = run.retrained["test_loss"][:_EPOCHS].to_numpy()
    level, lowest = float(curve[-_TAIL:].mean()), float(curve.min())
    flat = level - lowest <= 0.05
    shape = "level" if flat else "rising"
    return _claim(
        name,
        published,
        _RETRAINING,
        f"the mean of the last {_TAIL} epochs is within 0.05 of 1.75 and of the lowest epoch",
        (
            f"{shape}: {level:.3f} over the last {_TAIL} epochs, lowest {lowest:.3f} at epoch "
            f"{curve.argmin() + 1}",
            flat and abs(level - 1.75) <= 0.05,
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
    if sound < _TOP:
        return f"needs ≥ {_TOP} configurations; the run has {sound}", None
    if len(run.sweep.axes[hyperparameter]) < 2:
        return f"the sweep does not vary {hyperparameter}", None
    return found


def _not_retrained(sentence: str, published: str, run: FinishedRun | None = None) -> Claim:
    epochs = 0 if run is None or run.retrained is None else len(run.retrained)
    reason = f"needs {_EPOCHS} epochs; the retraining has {epochs}" if epochs else "not retrained"
    return _claim(sentence, published, _RETRAINING, "", (reason, None))


def _near(
    published: float, measured: float, tracks: int, shown: str
) -> tuple[str, tuple[str, bool]]:
    """Returns a rule, and whether a figure lies within sampling error of the published one."""
    reach = 1.96 * math.sqrt(published * (1 - published) / tracks)
    rule = f"within ±{reach:.3f}, the 95 % sampling error of {tracks} tracks"
    return rule, (shown, abs(measured - published) <= reach)
