"""What the assignment claims of the ranking of its 768 runs, beside a run's own."""

import numpy as np

from gtzan_jax.analysis.effects import paired_differences
from gtzan_jax.analysis.inference import holm
from gtzan_jax.analysis.selection import FEWEST_SEEDS
from gtzan_jax.assignment import published
from gtzan_jax.assignment.rules import (
    FEWEST,
    Claim,
    Found,
    agreement,
    counted,
    plus_minus,
    span,
    together,
    would_be,
)
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE

_SOURCE = "ranking of the 768 runs"
_CONSISTENT = 0.75  # of the pairs
_LEVEL = 0.05
_DRAWS = 200  # bootstrap samples of tracks

_EVERY_ORDER = (
    f"in every order of equally accurate configurations and every seed; it takes {FEWEST} seeds "
    "without it to exclude the claim, since all configurations of a seed share its draws"
)


def ranking_claims(run: FinishedRun) -> list[Claim]:
    """Returns the claims of the ranking, in the order of the assignment."""
    return [_glorot(run), _optimizers(run), _leaky(run), _others(run), _best_config(run)]


def best_accuracy(run: FinishedRun) -> Claim:
    """Returns the claim of the best configuration's figure.

    A maximum of 768 is no mean of 300 tracks: its error is that of the maximum, in resampled
    tracks and over seeds.
    """
    theirs = published.BEST_ACCURACY
    sound = np.isfinite(run.accuracy).all(axis=1)
    found = Found("every configuration diverged")
    if sound.any():
        ours = run.accuracy[sound].max(axis=0)
        reach, compatible = agreement(theirs, ours, error_of_best(run.predictions.correct[sound]))
        ends = max(ours.mean() - reach, 0.0), min(ours.mean() + reach, 1.0)
        shown = plus_minus(ours, "seeds") + _unless(compatible, run)
        found = Found(shown, compatible, would_be(*ends))
    return Claim(
        f"The best configuration reaches a test accuracy of {theirs:.5f}.",
        f"{theirs:.5f}",
        _SOURCE,
        "within the 95 % prediction interval of another seed's best on another split, by the error "
        f"of the best of {run.sweep.num_configs} in resampled test tracks of either split and the "
        f"spread of ≥ {FEWEST} seeds (with fewer that is left out, and a difference beyond is "
        "undecided)",
        *found,
    )


def error_of_best(correct: np.ndarray) -> float:
    """Returns the standard error of the best accuracy of all configs by the choice of test tracks.

    Tracks are resampled, and the best is taken anew in each sample: the deviation of its mean over
    the seeds. Tracks and not artists, since another random split has the same artists.

    Args:
      correct: (configs, seeds, tested) bool.
    """
    tested = correct.shape[2]
    random = np.random.default_rng(0)
    times = random.multinomial(tested, np.full(tested, 1 / tested), _DRAWS).T
    weights = (times / tested).astype(np.float32)
    best = [(each.astype(np.float32) @ weights).max(axis=0) for each in correct.swapaxes(0, 1)]
    return float(np.mean(best, axis=0).std())


def _glorot(run: FinishedRun) -> Claim:
    top = published.TOP - 1
    return Claim(
        f"The {top} best configurations all have glorot_uniform.",
        f"{top} of {top}",
        _SOURCE,
        f"all {top}, {_EVERY_ORDER}",
        *_count(run, "initializer", ("glorot_uniform",), top, top),
    )


def _optimizers(run: FinishedRun) -> Claim:
    top = published.TOP
    return Claim(
        f"The {top} best configurations all have Adam or RMSprop.",
        f"{top} of {top}",
        _SOURCE,
        f"all {top}, {_EVERY_ORDER}",
        *_count(run, "optimizer", ("adam", "rmsprop"), top, top),
    )


def _leaky(run: FinishedRun) -> Claim:
    top = published.TOP
    found = _count(run, "activation", ("leaky_relu",), top, top // 2 + 1)
    return Claim(
        f"LeakyReLU has the larger share of the {top} best configurations.",
        "the larger share",
        _SOURCE,
        f"more than {top // 2} of {top}, {_EVERY_ORDER}",
        *found._replace(measured=f"{found.measured}; slope {run.sweep.leaky_slope:g}"),
    )


def _count(run: FinishedRun, name: str, values: tuple[str, ...], top: int, needed: int) -> Found:
    """Counts the values of a hyperparameter among the best, where the ranking can tell."""
    sound = int(np.isfinite(run.accuracy).all(axis=1).sum())
    if sound < published.TOP:
        return Found(f"needs ≥ {published.TOP} configurations; the run has {sound}")
    if len(run.sweep.axes[name]) < 2:
        return Found(f"the sweep does not vary {name}")
    has = np.array([config[name] in values for config in run.sweep.configs])
    return counted(run.accuracy, has, top, needed)


def _others(run: FinishedRun) -> Claim:
    """Looks whether one width or dropout rate wins again and again."""
    judged = {"activation", "initializer", "optimizer"}
    varying = [name for name in run.sweep.varying if name not in judged]
    if len(varying) < 6:
        found = Found("needs a sweep that varies all widths and dropout rates")
    elif run.results["diverged"].all():
        found = Found("every configuration diverged")
    else:
        found = _consistent_effects(run, varying)
    return Claim(
        "The other hyperparameters (widths, dropout rates) show no consistent effect.",
        "none",
        _SOURCE,
        "no value of any of the six is better than another in at least "
        f"{100 * _CONSISTENT:.0f} % of the otherwise identical pairs of configurations; since the "
        "pairs of a seed share its luck, one that is excludes the claim if its mean difference is "
        "not 0 over the seeds (t test on this split at 5 %, Holm's correction for the six), and "
        f"does not if it can be 0 over ≥ {FEWEST}",
        *found,
    )


def _consistent_effects(run: FinishedRun, names: list[str]) -> Found:
    found = paired_differences(run.accuracy_by_fold, run.sweep.axes)
    found = found[found["hyperparameter"].isin(names)]
    parts: list[str] = []
    verdicts: list[bool | None] = []
    passed: list[float] = []  # the largest sizes of the effects that the rule passes
    for row, p in zip(found.to_dict("records"), holm(found["p_value"].to_list()), strict=True):
        share = max(row["wins"], row["losses"])
        winner = row["value"] if row["wins"] >= row["losses"] else row["baseline"]
        parts.append(
            f"{row['hyperparameter']} {winner}: {100 * share:.0f} %, "
            f"{100 * abs(row['difference']):.1f} points"
        )
        if share >= _CONSISTENT:
            few = run.accuracy.shape[1] < FEWEST
            verdicts.append(False if p < _LEVEL else None if few else True)
        elif row["pairs"]:
            sizes = np.abs([row["difference"], row["low"], row["high"]])
            passed.append(float(sizes[np.isfinite(sizes)].max()))
    compatible = together(*verdicts)
    shown = f"better value, wins, margin: {'; '.join(parts)}{_unless(compatible, run)}"
    also = f"any effect in fewer than {100 * _CONSISTENT:.0f} % of the pairs would be compatible"
    also += f"; those here reach {100 * max(passed):.1f} points" if passed else ""
    return Found(shown, compatible, also)


def _best_config(run: FinishedRun) -> Claim:
    return Claim(
        "The best configuration is 128/0.1, 128/0.2, 64/0.1, LeakyReLU, glorot_uniform, Adam.",
        "rank 1 of 768",
        _SOURCE,
        "rank 1, or in the 95 % set of those that are statistically indistinguishable from the "
        f"best; it takes {FEWEST_SEEDS} seeds to exclude it, since the set of fewer leaves out "
        "what others would change",
        *_rank_of_best(run),
    )


def _rank_of_best(run: FinishedRun) -> Found:
    rows = run.results[run.results["config_id"] == published.published_best().id]
    if not len(rows):
        return Found("the sweep does not have this configuration")
    row = rows.iloc[0]
    if row["diverged"]:
        return Found("diverged", False)
    sound = run.results.loc[~run.results["diverged"], "test_accuracy"]
    first = int((sound > row["test_accuracy"]).sum()) + 1
    last = int((sound >= row["test_accuracy"]).sum())
    shown = f"rank {span(first, last)} of {len(run.results)}, {row['test_accuracy']:.3f}"
    alike, also = bool(row.get(INDISTINGUISHABLE, first == 1)), "only rank 1 would be compatible"
    if INDISTINGUISHABLE in row:
        count = int(run.results[INDISTINGUISHABLE].sum())
        shown += f"; {'one of' if alike else 'not among'} {count} in the set"
        also = f"any of the {count} in the set would be compatible" if count > 1 else also
    tells = INDISTINGUISHABLE in row and run.accuracy.shape[1] >= FEWEST_SEEDS
    return Found(shown, True if alike else False if tells else None, also)


def _unless(compatible: bool | None, run: FinishedRun) -> str:
    """Returns what a verdict would need, where there is none."""
    count = run.accuracy.shape[1]
    return "" if compatible is not None else f" (needs ≥ {FEWEST} seeds; the run has {count})"
