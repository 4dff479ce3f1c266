"""The assignment's published claims beside a run's figures, marked where they clearly differ."""

import math
from typing import NamedTuple

import numpy as np

from gtzan_jax.analysis.effects import paired_differences
from gtzan_jax.analysis.exploration import correlations, pca
from gtzan_jax.analysis.inference import holm
from gtzan_jax.analysis.selection import FEWEST_SEEDS
from gtzan_jax.assignment import published
from gtzan_jax.assignment.rules import (
    FEWEST,
    agreement,
    error_of_best,
    softmax_twice_floor,
    top_range,
)
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256

_CONSISTENT = 0.75  # of the pairs
_TAIL = 10  # epochs that an end is judged by
_ABOUT, _ABOUT_EPOCHS = 0.05, 10  # allowance where a loss, an epoch is published with "about"

NOTES = (
    "The published figures are those of one split and one seed, which nobody knows. A claim is "
    "compatible with a run where the two differ by no more than another split and another seed "
    "would change, at 95 %; not compatible where they differ by more, which takes several seeds or "
    "networks; undecided where the run has too few of them, or is not the assignment: another "
    "table, protocol, grid, or constant.",
    "Compatible is not confirmed. Beside each verdict stands what else would have been compatible, "
    "and a wide range is compatible with much. That of a figure is a 95 % prediction interval, by "
    f"the sampling error of the tracks of either split and the spread of ≥ {FEWEST} seeds or "
    "networks. With fewer the spread is left out, and a difference beyond is undecided.",
    "A count among the best is compatible where it is reached in every order of equally accurate "
    f"configurations and every seed, and not where no order of ≥ {FEWEST} seeds reaches it. An "
    f"effect is consistent if one value is better in {100 * _CONSISTENT:.0f} % of the otherwise "
    "identical pairs of configurations and the mean difference is not 0 over the seeds (t test on "
    "this split at 5 %, Holm's correction for the six). The best configuration is compatible in "
    "the 95 % set of those that are statistically indistinguishable from the best, and not outside "
    f"of the set of ≥ {FEWEST_SEEDS} seeds.",
    "A plateau begins where no later epoch lies more than one standard error of "
    f"{published.TEST_TRACKS} tracks below the mean of the last {_TAIL}. A loss is level if that "
    f"mean is within {_ABOUT} of its lowest epoch; at which level is judged where the sampling "
    "error of a loss is bounded, which takes softmax twice. The epoch of the highest accuracy is "
    "not judged.",
    "Trials that share a seed share initial weights, order of rows and dropout noise: the luck of "
    "one draw moves many configurations together, and what the 768 of a seed have in common is one "
    "observation, not 768.",
    'The assignment says "LeakyReLU" and not its slope: Keras\'s string "leaky_relu" means 0.2, '
    "which is assumed here, and its layer's default is 0.3; a run with either is judged.",
)
"""The rules, a paragraph each."""

__all__ = ["NOTES", "Claim", "concern", "departure", "judge", "softmax_twice_floor"]


class Found(NamedTuple):
    """A run's figure beside a claim."""

    measured: str  # the figure, or why there is none
    compatible: bool | None = None  # None where undecided
    also: str = ""  # other figures that would be compatible


class Claim(NamedTuple):
    """A sentence of the assignment with its published figure, beside :class:`Found`."""

    sentence: str
    published: str
    measured: str
    compatible: bool | None = None
    also: str = ""


def concern(sweep: Sweep) -> bool:
    """Returns whether a sweep has the assignment's axes and protocol."""
    theirs = load_sweep("assignment")
    same_axes = set(sweep.axes) == set(theirs.axes)
    return sweep.is_grid and sweep.protocol == theirs.protocol and same_axes


def judge(run: FinishedRun, table: FeatureTable | None) -> list[Claim]:
    """Returns every claim, in the order of the assignment.

    Args:
      run: of a sweep that the claims concern.
      table: the feature table that it was trained on; None where it is not at hand.

    Raises:
      InputError: the run's predictions cannot be used.
    """
    others, reason = "", departure(run)
    if table and table.sha256 != KAGGLE_SHA256:
        others = _other_table(table.is_sample)
    found = [_unless(others, each) for each in features_found(table)]
    found += [_unless(reason, each) for each in (*ranking_found(run), *retraining_found(run))]
    return [
        Claim(*claim, each.measured, each.compatible, each.also)
        for claim, each in zip(published.CLAIMS, found, strict=True)
    ]


def departure(run: FinishedRun) -> str:
    """Returns a difference between a run and the assignment; "" if none. Values in any order."""
    ours, theirs = run.sweep, load_sweep("assignment")
    if run.manifest.data.sha256 != KAGGLE_SHA256:
        return _other_table(run.is_sample)
    grids = [{name: set(of) for name, of in sweep.axes.items()} for sweep in (ours, theirs)]
    if grids[0] != grids[1]:
        return "another grid than the assignment's"
    for name in ("protocol", "epochs", "batch_size", "learning_rates"):
        if getattr(ours, name) != getattr(theirs, name):
            return f"another {name} than the assignment's"
    return (
        "" if ours.leaky_slope in published.LEAKY_SLOPES else "another leaky_slope than Keras has"
    )


def _other_table(is_sample: bool) -> str:
    return "the synthetic sample" if is_sample else "another table than the one on Kaggle"


def _unless(reason: str, found: Found) -> Found:
    if not reason:
        return found
    return Found(found.measured + (f" ({reason})" if found.compatible is not None else ""))


def features_found(table: FeatureTable | None) -> list[Found]:
    """Compares the features' components and correlation."""
    if table is None:
        return [Found("the feature table is not at hand")] * 2
    try:
        found = pca(table, "min-max", len(published.RATIOS)).ratios
    except InputError as error:  # every feature is constant
        return [Found(str(error)), Found("one of the two is constant")]
    shown = ", ".join(f"{ratio:.5f}" for ratio in found)
    equal = bool(np.abs(found - published.RATIOS).max() < 5e-6)
    ratios = Found(shown, equal, "only these would be compatible")
    value = float(correlations(table)["mfcc2_mean"]["spectral_centroid_mean"])
    if math.isnan(value):
        return [ratios, Found("one of the two is constant")]
    shown, only = (f"{value:z.{digits}f}".replace("-", "−") for digits in (4, 2))
    return [ratios, Found(shown, value >= 0.995, f"only {only} would be compatible")]


def ranking_found(run: FinishedRun) -> list[Found]:
    """Compares the ranking of the 768 configs."""
    top, slope = published.TOP, f"; slope {run.sweep.leaky_slope:g}"
    leaky = _count(run, "activation", ("leaky_relu",), top, top // 2 + 1)
    return [
        _count(run, "initializer", ("glorot_uniform",), top - 1, top - 1),
        _count(run, "optimizer", ("adam", "rmsprop"), top, top),
        leaky._replace(measured=leaky.measured + slope),
        consistent_effects(run),
        _rank_of_best(run),
        _best_accuracy(run),
    ]


def _count(run: FinishedRun, name: str, values: tuple[str, ...], top: int, needed: int) -> Found:
    """Counts some values of a hyperparameter among the best of each seed."""
    sound = int(np.isfinite(run.accuracy).all(axis=1).sum())
    if sound < published.TOP:
        return Found(f"needs ≥ {published.TOP} configurations; the run has {sound}")
    if len(run.sweep.axes[name]) < 2:
        return Found(f"the sweep does not vary {name}")
    has = np.array([config[name] in values for config in run.sweep.configs])
    least, most = np.array([top_range(seed, has, top) for seed in run.accuracy.T]).T
    count, having, lacking = len(least), int((least >= needed).sum()), int((most < needed).sum())
    shown = f"{span(least.min(), most.max())} of {top}"
    if count > 1:
        shown += f" over {count} seeds; {having} have as many as claimed and {lacking} do not"
    if lacking == count and count < FEWEST:
        shown += f" (needs ≥ {FEWEST} seeds: another could)"
    verdict = True if having == count else False if lacking == count >= FEWEST else None
    return Found(shown, verdict, f'"at least N" would be compatible for N up to {least.min()}')


def consistent_effects(run: FinishedRun) -> Found:
    """Tests whether one width or dropout rate is consistently better than another."""
    names = [n for n in run.sweep.varying if n not in ("activation", "initializer", "optimizer")]
    if len(names) < 6:
        return Found("needs a sweep that varies all widths and dropout rates")
    if run.results["diverged"].all():
        return Found("every configuration diverged")
    found = paired_differences(run.accuracy_by_fold, run.sweep.axes)
    found = found[found["hyperparameter"].isin(names)]
    parts = [
        f"{row['hyperparameter']} {row['value' if row['wins'] >= row['losses'] else 'baseline']}: "
        f"{100 * max(row['wins'], row['losses']):.0f} %, "
        f"{100 * abs(row['difference']):.1f} points"
        for row in found.to_dict("records")
    ]
    often = (found[["wins", "losses"]].max(axis=1) >= _CONSISTENT).to_numpy()
    real = holm(found["p_value"].to_list())[often] < 0.05
    few = bool(often.any()) and run.accuracy.shape[1] < FEWEST
    compatible = False if real.any() else None if few else True
    shown = f"better value, wins, margin: {'; '.join(parts)}{_needed(compatible, run)}"
    share = f"{100 * _CONSISTENT:.0f} % of the pairs"
    return Found(shown, compatible, f"any effect in fewer than {share} would be compatible")


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
    if INDISTINGUISHABLE not in row:
        return Found(shown, True if first == 1 else None, "only rank 1 would be compatible")
    alike, count = bool(row[INDISTINGUISHABLE]), int(run.results[INDISTINGUISHABLE].sum())
    shown += f"; {'one of' if alike else 'not among'} {count} in the set"
    others = f"any of the {count} in the set" if count > 1 else "only rank 1"
    verdict = True if alike else False if run.accuracy.shape[1] >= FEWEST_SEEDS else None
    return Found(shown, verdict, f"{others} would be compatible")


def _best_accuracy(run: FinishedRun) -> Found:
    sound = np.isfinite(run.accuracy).all(axis=1)
    if not sound.any():
        return Found("every configuration diverged")
    ours = run.accuracy[sound].max(axis=0)  # of each seed
    error = error_of_best(run.predictions.correct[sound])
    reach, compatible = agreement(published.BEST_ACCURACY, ours, error)
    ends = max(ours.mean() - reach, 0.0), min(ours.mean() + reach, 1.0)
    return Found(_mean(ours, "seeds") + _needed(compatible, run), compatible, _would_be(*ends))


def _needed(compatible: bool | None, run: FinishedRun) -> str:
    count = run.accuracy.shape[1]
    return "" if compatible is not None else f" (needs ≥ {FEWEST} seeds; the run has {count})"


def retraining_found(run: FinishedRun) -> list[Found]:
    """Compares the networks of the published best: the reference, or those of most epochs."""
    theirs, epochs = published.published_best().id, published.EPOCHS
    frames = [
        (saved.about.epochs, saved.history)
        for saved in run.retrainings.values()
        if saved.about.config_id == theirs and saved.about.protocol == run.sweep.protocol
    ]
    if run.reference is not None and run.sweep.reference and run.sweep.reference.id == theirs:
        frames = [(0, run.reference)]
    if not frames:
        why = "the published best was not retrained" if run.retrainings else "not retrained"
        return [Found(why)] * 6
    frame = max(frames, key=lambda each: each[0])[1]  # of the most epochs, the first
    frame = frame.pivot(index=["fold", "seed"], columns="epoch").dropna()  # none that diverged
    if frame.empty:
        return [Found("not retrained")] * 6
    train, test, loss = (
        frame[metric].to_numpy()[:, :epochs]
        for metric in ("train_accuracy", "test_accuracy", "test_loss")
    )
    parts = ("train", train, published.TRAIN_TRACKS), ("test", test, published.TEST_TRACKS)
    found = [_highest(published.FIRST_EPOCH[part], of[:, :1], n) for part, of, n in parts]
    if enough := train.shape[1] == epochs:
        found += [_highest(published.HIGHEST[part], of, n) for part, of, n in parts]
        found += [_plateau(test), _loss_level(loss, run.sweep.loss)]
    needed = f" (needs ≥ {FEWEST} networks; the retraining has {len(train)})"
    found = [
        each._replace(measured=each.measured + needed) if each.compatible is None else each
        for each in found
    ]
    lacking = Found(f"needs {epochs} epochs; the retraining has {train.shape[1]}")
    return found if enough else [*found, *[lacking] * 4]


def _highest(theirs: float, curves: np.ndarray, tracks: int) -> Found:
    ours = curves.max(axis=1)

    def compatible(figure: float) -> bool | None:
        share = (figure + float(ours.mean())) / 2
        return agreement(figure, ours, math.sqrt(share * (1 - share) / tracks)).compatible

    others = [figure for figure in np.linspace(0, 1, 1001) if compatible(figure)]
    shown = _mean(ours, "networks")
    if curves.shape[1] > 1:
        shown += f", at epoch {_epochs(curves.argmax(axis=1) + 1)}; "
        shown += f"{curves[:, -1].mean():.3f} in the last"
    return Found(shown, compatible(theirs), _would_be(others[0], others[-1]))


def _plateau(curves: np.ndarray) -> Found:
    levels = curves[:, -_TAIL:].mean(axis=1)
    errors = np.sqrt(levels * (1 - levels) / published.TEST_TRACKS)
    below = curves < (levels - errors)[:, None]
    starts = below.shape[1] + 1 - below[:, ::-1].argmax(axis=1)
    starts[~below.any(axis=1)] = 1
    reach, compatible = agreement(published.PLATEAU_EPOCH, starts, slack=_ABOUT_EPOCHS)
    ends = max(starts.mean() - reach, 1), min(starts.mean() + reach, published.EPOCHS)
    shown = f"from epoch {_epochs(starts)}, at {levels.mean():.3f}"
    return Found(shown, compatible, _would_be(*ends, 0))


def _loss_level(curves: np.ndarray, loss: str) -> Found:
    """Compares the level of the test loss, and tests whether it is level.

    With softmax twice a track's loss lies within 1 above the floor, so that its variance is at most
    (mean - floor) (floor + 1 - mean).
    """
    levels, lowest = curves[:, -_TAIL:].mean(axis=1), curves.min(axis=1)
    rise, distance = levels - lowest, abs(published.LOSS_LEVEL - levels.mean())
    flat = True if rise.mean() <= _ABOUT else agreement(0.0, rise, slack=_ABOUT).compatible
    if loss == "softmax_twice":
        above = np.clip(levels.mean() - softmax_twice_floor(published.GENRES), 0, 1)
        error = math.sqrt(above * (1 - above) / published.TEST_TRACKS)
        reach, near = agreement(published.LOSS_LEVEL, levels, error, _ABOUT)
    else:  # its error is not known
        reach, near = _ABOUT, True if distance <= _ABOUT else None
    both = False if False in (flat, near) else None if None in (flat, near) else True
    also = _would_be(levels.mean() - reach, levels.mean() + reach)
    shown = f"{'level' if flat else 'rising'}: {_mean(levels, 'networks')}, mean of the last "
    shown += f"{_TAIL} epochs; lowest {lowest.mean():.3f} at epoch "
    shown += _epochs(curves.argmin(axis=1) + 1)
    return Found(shown, both, also if flat else "no level would be compatible")


def _would_be(low: float, high: float, digits: int = 3) -> str:
    unit = 10**digits
    # Rounded inwards.
    low, high = math.ceil(unit * low - 1e-6) / unit, math.floor(unit * high + 1e-6) / unit
    return f"anything from {low:.{digits}f} to {high:.{digits}f} would be compatible"


def _epochs(epochs: np.ndarray) -> str:
    return span(epochs.min(), epochs.max())


def span(low: float, high: float) -> str:
    """Returns a range of whole numbers, or the only one."""
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _mean(values: np.ndarray, of: str) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} over {len(values)} {of}"
