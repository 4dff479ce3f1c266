"""What the assignment claims of the retraining of its best configuration, beside a run's own.

They are about one configuration, the published best, whatever a run finds best itself: its networks
are the run's reference, or its best where that is the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gtzan_jax.assignment import published
from gtzan_jax.assignment.rules import (
    FEWEST,
    Claim,
    Found,
    agreement,
    plus_minus,
    softmax_twice_floor,
    span,
    together,
    would_be,
)
from gtzan_jax.rundir.finished import FinishedRun

_SOURCE = "retraining of the best configuration"
_TAIL = 10  # epochs that an end is judged by
_ABOUT = 0.05  # what a loss that is "about" may be off
_ABOUT_EPOCHS = 10

_SEEDS = (
    f"the spread of ≥ {FEWEST} networks (with fewer that is left out, and a difference beyond is "
    "undecided)"
)


@dataclass(frozen=True)
class _Question:
    """A claim, but for what a run says of it.

    Attributes:
      metric: the curve that it is about.
      epochs: that it needs; curves are cut there.
      answer: of the curves, (networks, epochs).
    """

    sentence: str
    published: str
    rule: str
    metric: str
    epochs: int
    answer: Callable[[np.ndarray], Found]


def retraining_claims(run: FinishedRun) -> list[Claim]:
    """Returns the claims of the retraining, in the order of the assignment."""
    questions = [
        _after_first_epoch("train", published.TRAIN_TRACKS),
        _after_first_epoch("test", published.TEST_TRACKS),
        _highest_train(),
        _highest_test(),
        _plateau(),
        _loss_level(run.sweep.loss),
    ]
    return [
        Claim(asked.sentence, asked.published, _SOURCE, asked.rule, *_found(run, asked))
        for asked in questions
    ]


def _found(run: FinishedRun, asked: _Question) -> Found:
    curves = _curves(run, asked.metric)
    if curves is None:
        why = "the published best was not retrained" if run.retrainings else "not retrained"
        return Found(why)
    if curves.shape[1] < asked.epochs:
        return Found(f"needs {asked.epochs} epochs; the retraining has {curves.shape[1]}")
    found = asked.answer(curves[:, : asked.epochs])
    if found.compatible is None:
        needed = f" (needs ≥ {FEWEST} networks; the retraining has {len(curves)})"
        found = found._replace(measured=found.measured + needed)
    return found


def _curves(run: FinishedRun, metric: str) -> np.ndarray | None:
    """Returns (networks, epochs) of the published best; None where it was not retrained."""
    theirs, protocol = published.published_best().id, run.sweep.protocol
    frames = [
        (saved.about.epochs, saved.history)
        for saved in run.retrainings.values()
        if saved.about.config_id == theirs and saved.about.protocol == protocol
    ]
    if run.reference is not None and run.sweep.reference and run.sweep.reference.id == theirs:
        frame = run.reference
    elif frames:
        _, frame = max(frames, key=lambda each: each[0])  # of the most epochs, the first
    else:
        return None
    table = frame.pivot_table(index=["fold", "seed"], columns="epoch", values=metric)
    curves: np.ndarray = table.dropna().to_numpy()
    return curves if len(curves) else None


def _after_first_epoch(part: str, tracks: int) -> _Question:
    theirs = published.FIRST_EPOCH[part]
    return _Question(
        f"After the first epoch of the retraining the {part} accuracy is {theirs:.4f}.",
        f"{theirs:.4f}",
        _rule("figure", tracks),
        f"{part}_accuracy",
        1,
        lambda curves: _near(theirs, curves[:, 0], tracks),
    )


def _highest_train() -> _Question:
    theirs, tracks = published.HIGHEST_TRAIN, published.TRAIN_TRACKS
    return _Question(
        f"In the retraining the train accuracy reaches {theirs:.4f} at most.",
        f"{theirs:.4f}",
        _rule("highest of 50 epochs", tracks),
        "train_accuracy",
        published.EPOCHS,
        lambda curves: _near_highest(theirs, curves, tracks),
    )


def _highest_test() -> _Question:
    theirs, tracks = published.HIGHEST_TEST, published.TEST_TRACKS
    at = published.HIGHEST_TEST_EPOCH
    return _Question(
        f"In the retraining the test accuracy reaches {theirs:.4f} at most, at epoch {at}.",
        f"{theirs:.4f} at epoch {at}",
        _rule("highest of 50 epochs", tracks) + "; the epoch is not judged",
        "test_accuracy",
        published.EPOCHS,
        lambda curves: _near_highest(theirs, curves, tracks),
    )


def _near(theirs: float, ours: np.ndarray, tracks: int) -> Found:
    """Compares an accuracy with the same accuracy of our networks."""

    def compatible(figure: float) -> bool | None:
        share = (figure + float(ours.mean())) / 2
        return agreement(figure, ours, math.sqrt(share * (1 - share) / tracks)).compatible

    others = [figure for figure in np.linspace(0, 1, 1001) if compatible(figure)]
    return Found(plus_minus(ours, "networks"), compatible(theirs), would_be(others[0], others[-1]))


def _near_highest(theirs: float, curves: np.ndarray, tracks: int) -> Found:
    """Likewise the highest of all epochs. curves: (networks, epochs)."""
    found = _near(theirs, curves.max(axis=1), tracks)
    epochs = _epochs(curves.argmax(axis=1) + 1)
    last = f", at epoch {epochs}; {curves[:, -1].mean():.3f} in the last"
    return found._replace(measured=found.measured + last)


def _plateau() -> _Question:
    theirs = published.PLATEAU_EPOCH

    def answer(curves: np.ndarray) -> Found:
        levels = curves[:, -_TAIL:].mean(axis=1)
        starts = np.array([_plateau_start(*pair) for pair in zip(curves, levels, strict=True)])
        reach, compatible = agreement(theirs, starts, slack=_ABOUT_EPOCHS)
        ends = max(starts.mean() - reach, 1), min(starts.mean() + reach, published.EPOCHS)
        shown = f"from epoch {_epochs(starts)}, at {levels.mean():.3f}"
        return Found(shown, compatible, would_be(*ends, 0))

    return _Question(
        f"From about epoch {theirs} of the retraining the test accuracy is on a plateau.",
        f"from about epoch {theirs}",
        f"within {_ABOUT_EPOCHS} epochs and a 95 % prediction interval by {_SEEDS}; a network's "
        "plateau begins where no later epoch lies more than one standard error of "
        f"{published.TEST_TRACKS} tracks below the mean of the last {_TAIL}",
        "test_accuracy",
        published.EPOCHS,
        answer,
    )


def _plateau_start(curve: np.ndarray, level: float) -> int:
    error = math.sqrt(level * (1 - level) / published.TEST_TRACKS)
    below = np.flatnonzero(curve < level - error)
    return int(below[-1]) + 2 if below.size else 1


def _loss_level(loss: str) -> _Question:
    theirs = published.LOSS_LEVEL

    def answer(curves: np.ndarray) -> Found:
        levels, lowest = curves[:, -_TAIL:].mean(axis=1), curves.min(axis=1)
        rise = levels - lowest
        flat = True if rise.mean() <= _ABOUT else agreement(0.0, rise, slack=_ABOUT).compatible
        reach, near = agreement(theirs, levels, _error_of_loss(levels), _ABOUT)
        if loss != "softmax_twice":  # its error is not known
            reach, near = _ABOUT, abs(theirs - levels.mean()) <= _ABOUT or None
        also = would_be(levels.mean() - reach, levels.mean() + reach)
        shown = f"{'level' if flat else 'rising'}: {plus_minus(levels, 'networks')}, mean of the "
        shown += f"last {_TAIL} epochs; lowest {lowest.mean():.3f} at epoch "
        shown += _epochs(curves.argmin(axis=1) + 1)
        return Found(shown, together(flat, near), also if flat else "no level would be compatible")

    return _Question(
        f"The test loss of the retraining levels off at about {theirs}.",
        f"at about {theirs}",
        f"the mean of the last {_TAIL} epochs is within {_ABOUT} of the lowest epoch, and of "
        f"{theirs}, both but for a 95 % prediction interval by {_SEEDS}; the level also by the "
        "largest sampling error that softmax twice allows; plain cross-entropy has no such bound, "
        "and another level with it is not judged",
        "test_loss",
        published.EPOCHS,
        answer,
    )


def _rule(figure: str, tracks: int) -> str:
    return (
        f"within the 95 % prediction interval of another network's {figure} on another split, by "
        f"the sampling error of {tracks} tracks of either split and {_SEEDS}"
    )


def _error_of_loss(levels: np.ndarray) -> float:
    """Returns the largest standard error by the choice of tracks of a mean of softmax twice.

    The outer softmax sees numbers in [0, 1], so that a track's loss lies between the floor and 1
    above it, and its variance is at most (mean - floor) (floor + 1 - mean).
    """
    above = min(max(float(levels.mean()) - softmax_twice_floor(published.GENRES), 0.0), 1.0)
    return math.sqrt(above * (1 - above) / published.TEST_TRACKS)


def _epochs(epochs: np.ndarray) -> str:
    return span(epochs.min(), epochs.max())
