"""The assignment's published claims beside a run's figures, with a verdict on each."""

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
    clearly_different,
    error_of_best,
    softmax_twice_floor,
    top_range,
)
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.sources import KAGGLE_SHA256
from gtzan_jax.text import counted

_CONSISTENT = 0.75  # of the pairs
_TAIL = 10  # last epochs of a curve
_ABOUT, _ABOUT_EPOCHS = 0.05, 10  # allowance for a loss, an epoch published with "about"

NOTE = (
    "The published figures are of one split and one seed, both unknown. The verdict is “clearly "
    "different” if the published figure is outside the 95 % prediction interval for another split "
    "and seed (sampling error of both splits' tracks, spread of the seeds or networks; most "
    f"figures need {FEWEST} of these). Few seeds, or another table, protocol, grid or constant "
    "than the assignment's, leave claims about the networks without a verdict."
)

Found = tuple[str, bool]
"""A run's figure, or the reason for its absence, and whether the published one clearly differs."""


class Claim(NamedTuple):
    """A claim of the assignment, its published figure and a run's figure."""

    claim: str
    published: str
    measured: str  # the figure, then details behind "; "
    different: bool  # clearly; False if unknown


def concern(sweep: Sweep) -> bool:
    """Returns whether a sweep has the assignment's hyperparameters and protocol."""
    theirs = load_sweep("assignment")
    same_axes = set(sweep.axes) == set(theirs.axes)
    return sweep.is_grid and sweep.protocol == theirs.protocol and same_axes


def judge(run: FinishedRun, table: FeatureTable | None) -> list[Claim]:
    """Returns every claim, in the order of the assignment.

    Args:
      run: of a sweep that the claims concern.
      table: its feature table; None if it was not found.
    """
    is_theirs = not departure(run)
    found = [
        (shown, different and is_theirs)
        for shown, different in (*ranking_found(run), *retraining_found(run))
    ]
    pairs = zip(published.CLAIMS, (*features_found(table), *found), strict=True)
    return [Claim(*claim, *each) for claim, each in pairs]


def departure(run: FinishedRun) -> str:
    """Returns a difference between a run and the assignment; "" if none. Values in any order."""
    ours, theirs = run.sweep, load_sweep("assignment")
    if run.manifest.data.sha256 != KAGGLE_SHA256:
        return "the synthetic sample" if run.is_sample else "another table than the one on Kaggle"
    grids = [{name: set(of) for name, of in sweep.axes.items()} for sweep in (ours, theirs)]
    if grids[0] != grids[1]:
        return "another grid than the assignment's"
    for name in ("protocol", "epochs", "batch_size", "learning_rates"):
        if getattr(ours, name) != getattr(theirs, name):
            return f"another {name} than the assignment's"
    known = ours.leaky_slope in published.LEAKY_SLOPES
    return "" if known else "another leaky_slope than Keras has"


def features_found(table: FeatureTable | None) -> list[Found]:
    """Compares the features' components and correlation."""
    if table is None or table.sha256 != KAGGLE_SHA256:
        return [
            ("another feature table" if table else "the feature table was not found", False)
        ] * 2
    found = pca(table, "min-max", len(published.RATIOS)).ratios
    shown = ", ".join(f"{100 * ratio:.3f} %" for ratio in found)
    value = float(correlations(table)["mfcc2_mean"]["spectral_centroid_mean"])
    return [
        (shown, bool(np.abs(found - published.RATIOS).max() >= 5e-6)),
        (f"{value:z.4f}".replace("-", "−"), value < 0.995),
    ]


def ranking_found(run: FinishedRun) -> list[Found]:
    """Compares the ranking of the 768 configs."""
    top = published.TOP
    leaky, different = _count(run, "activation", ("leaky_relu",), top, top // 2 + 1)
    return [
        _count(run, "initializer", ("glorot_uniform",), top - 1, top - 1),
        _count(run, "optimizer", ("adam", "rmsprop"), top, top),
        (f"{leaky}; slope {run.sweep.leaky_slope:g}", different),
        consistent_effects(run),
        _rank_of_best(run),
        _best_accuracy(run),
    ]


def _count(run: FinishedRun, name: str, values: tuple[str, ...], top: int, needed: int) -> Found:
    """Counts some values of a hyperparameter among the best of each seed."""
    finite = int(np.isfinite(run.accuracy).all(axis=1).sum())
    if finite < published.TOP:
        return f"needs ≥ {published.TOP} configurations; the run has {finite}", False
    if len(run.sweep.axes[name]) < 2:
        return f"the sweep does not vary {name}", False
    has = np.array([config[name] in values for config in run.sweep.configs])
    least, most = np.array([top_range(seed, has, top) for seed in run.accuracy.T]).T
    count, shown = len(least), f"{span(least.min(), most.max())} of {top}"
    if count > 1:
        shown += f" over {count} seeds; the claimed count is reached with "
        shown += f"{(least >= needed).sum()} of {count} seeds"
    return shown, count >= FEWEST and bool((most < needed).all())


def consistent_effects(run: FinishedRun) -> Found:
    """Tests whether one width or dropout rate is consistently better than another."""
    names = [n for n in run.sweep.varying if n not in ("activation", "initializer", "optimizer")]
    if len(names) < 6:
        return "needs a sweep that varies all widths and dropout rates", False
    if run.results["diverged"].all():
        return "every configuration diverged", False
    found = paired_differences(run.accuracy_by_fold, run.sweep.axes)
    found = found[found["hyperparameter"].isin(names)]
    often = (found[["wins", "losses"]].max(axis=1) >= _CONSISTENT).to_numpy()
    parts = [
        f"{row['hyperparameter']} {row['value' if row['wins'] >= row['losses'] else 'baseline']}: "
        f"{100 * max(row['wins'], row['losses']):.0f} %, "
        f"{100 * abs(row['difference']):.1f} points"
        for row in found.to_dict("records")
    ]
    real = holm(found["p_value"].to_list())[often] < 0.05
    return (
        f"{often.sum()} of {len(found)} comparisons one-sided in ≥ {100 * _CONSISTENT:.0f} % of "
        f"their pairs; better value, wins, margin: {'; '.join(parts)}"
    ), bool(real.any())


def _rank_of_best(run: FinishedRun) -> Found:
    rows = run.results[run.results["config_id"] == published.published_best().id]
    if not len(rows):
        return "the sweep does not have this configuration", False
    row = rows.iloc[0]
    if row["diverged"]:
        return "diverged", True
    finite = run.results.loc[~run.results["diverged"], "test_accuracy"]
    first = int((finite > row["test_accuracy"]).sum()) + 1
    last = int((finite >= row["test_accuracy"]).sum())
    shown = f"rank {span(first, last)} of {len(run.results)}, {row['test_accuracy']:.3f}"
    alike, count = bool(row[INDISTINGUISHABLE]), int(run.results[INDISTINGUISHABLE].sum())
    of = counted(count, "indistinguishable configuration")
    shown += f"; {'in' if alike else 'not in'} the set of {of}"
    return shown, not alike and run.accuracy.shape[1] >= FEWEST_SEEDS


def _best_accuracy(run: FinishedRun) -> Found:
    finite = np.isfinite(run.accuracy).all(axis=1)
    if not finite.any():
        return "every configuration diverged", False
    ours = run.accuracy[finite].max(axis=0)  # of each seed
    error = error_of_best(run.predictions.correct[finite])
    return _mean(ours, "seeds"), clearly_different(published.BEST_ACCURACY, ours, error)


def retraining_found(run: FinishedRun) -> list[Found]:
    """Compares the networks of the published best: the reference, or those with most epochs."""
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
        return [(why, False)] * 6
    frame = max(frames, key=lambda each: each[0])[1]  # with most epochs, the first
    frame = frame.pivot(index=["fold", "seed"], columns="epoch").dropna()  # none that diverged
    if frame.empty:
        return [("not retrained", False)] * 6
    train, test, loss = (
        frame[metric].to_numpy()[:, :epochs]
        for metric in ("train_accuracy", "test_accuracy", "test_loss")
    )
    parts = ("train", train, published.TRAIN_TRACKS), ("test", test, published.TEST_TRACKS)
    found = [_highest(published.FIRST_EPOCH[part], of[:, :1], n) for part, of, n in parts]
    if train.shape[1] < epochs:
        lacking = f"needs {epochs} epochs; the retraining has {train.shape[1]}"
        return [*found, *[(lacking, False)] * 4]
    found += [_highest(published.HIGHEST[part], of, n) for part, of, n in parts]
    return [*found, _plateau(test), _loss_level(loss, run.sweep.loss)]


def _highest(theirs: float, curves: np.ndarray, tracks: int) -> Found:
    ours = curves.max(axis=1)
    share = (theirs + float(ours.mean())) / 2
    shown = _mean(ours, "networks")
    if curves.shape[1] > 1:
        shown += f"; at epoch {_epochs(curves.argmax(axis=1) + 1)}, "
        shown += f"{curves[:, -1].mean():.3f} in the last"
    return shown, clearly_different(theirs, ours, math.sqrt(share * (1 - share) / tracks))


def _plateau(curves: np.ndarray) -> Found:
    levels = curves[:, -_TAIL:].mean(axis=1)
    errors = np.sqrt(levels * (1 - levels) / published.TEST_TRACKS)
    below = curves < (levels - errors)[:, None]
    starts = below.shape[1] + 1 - below[:, ::-1].argmax(axis=1)
    starts[~below.any(axis=1)] = 1
    shown = f"from epoch {_epochs(starts)}, at {levels.mean():.3f}"
    return shown, clearly_different(published.PLATEAU_EPOCH, starts, slack=_ABOUT_EPOCHS)


def _loss_level(curves: np.ndarray, loss: str) -> Found:
    """Compares the level of the test loss, and tests whether it rises.

    With softmax twice a track's loss is at most 1 above the floor, so its variance is at most
    (mean - floor) (floor + 1 - mean); with cross-entropy the variance is unknown.
    """
    levels, lowest = curves[:, -_TAIL:].mean(axis=1), curves.min(axis=1)
    rise, different = levels - lowest, False
    if loss == "softmax_twice":
        above = np.clip(levels.mean() - softmax_twice_floor(published.GENRES), 0, 1)
        error = math.sqrt(above * (1 - above) / published.TEST_TRACKS)
        different = clearly_different(published.LOSS_LEVEL, levels, error, _ABOUT)
    rises = bool(rise.mean() > _ABOUT)
    shown = f"{'rising' if rises else 'level'}: {_mean(levels, 'networks')}; mean of the last "
    shown += f"{_TAIL} epochs, lowest {lowest.mean():.3f} at epoch "
    shown += _epochs(curves.argmin(axis=1) + 1)
    return shown, different or (rises and clearly_different(0.0, rise, slack=_ABOUT))


def _epochs(epochs: np.ndarray) -> str:
    return span(epochs.min(), epochs.max())


def span(low: float, high: float) -> str:
    """Returns a range of whole numbers as text, or the only one."""
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _mean(values: np.ndarray, of: str) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} over {len(values)} {of}"
