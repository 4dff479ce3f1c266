"""How often the rules of claims exclude what is of the same process: another split, another seed.

Tracks are easy or hard for all networks alike, seeds move all tracks of a network, and the rest is
noise. A split draws its tracks anew.
"""

import math

import numpy as np
from scipy.special import expit
from simulations import Experiment, Once, Random

from gtzan_jax.assignment.rules import clearly_different, error_of_best

TRACKS, CONFIGS = 300, 20


def networks(random: Random, count: int, epochs: int) -> np.ndarray:
    """Draws a split and networks on it; returns (networks, epochs) accuracies."""
    ease = random.normal(0.8, 1.5, TRACKS)
    shift = random.normal(0, 0.15, (count, 1, 1))
    return (random.random((count, epochs, TRACKS)) < expit(ease + shift)).mean(axis=2)


def rankings(random: Random, quality: np.ndarray, count: int) -> np.ndarray:
    """Draws a split and seeds; returns (configs, seeds, tracks) bool, what is right."""
    ease = random.normal(0.8, 1.3, TRACKS)
    own = random.normal(0, 0.7, (len(quality), 1, TRACKS))  # what suits one config, not another
    shift = random.normal(0, 0.15, (1, count, 1)) + random.normal(0, 0.1, (len(quality), count, 1))
    share = expit(ease + own + shift + quality[:, None, None])
    return random.random((len(quality), count, TRACKS)) < share


def binomial_error(*shares: float) -> float:
    """Returns the standard error of an accuracy of so many tracks."""
    share = float(np.mean(shares))
    return math.sqrt(share * (1 - share) / TRACKS)


def highest(epochs: int, with_ours: bool) -> Once:
    """Compares a published maximum over epochs with those of 8 networks, or of the first."""

    def once(random: Random) -> float:
        theirs = float(networks(random, 1, epochs).max())
        ours = networks(random, 8, epochs).max(axis=1)
        if not with_ours:
            return abs(theirs - ours[0]) > 1.96 * binomial_error(theirs)
        return clearly_different(theirs, ours, binomial_error(theirs, ours.mean()))

    return once


def best(with_ours: bool) -> Once:
    """Compares a published best of many configs with those of 7 seeds, or of the first."""

    def once(random: Random) -> float:
        quality = random.normal(0, 0.15, CONFIGS)
        theirs = float(rankings(random, quality, 1).mean(axis=2).max())
        correct = rankings(random, quality, 7)
        ours = correct.mean(axis=2).max(axis=0)
        if not with_ours:
            return abs(theirs - ours[0]) > 1.96 * binomial_error(theirs)
        return clearly_different(theirs, ours, error_of_best(correct))

    return once


_NULL = "another split and seed"

CLAIM_EXPERIMENTS = {
    "figure_plain": Experiment(
        "claim of a figure: binomial of its tracks", _NULL, highest(1, False), 500, None
    ),
    "figure": Experiment("claim of a figure: 8 networks", _NULL, highest(1, True), 500),
    "highest_plain": Experiment(
        "claim of the highest of 20 epochs: binomial", _NULL, highest(20, False), 200, None
    ),
    "highest": Experiment(
        "claim of the highest of 20 epochs: 8 networks", _NULL, highest(20, True), 200
    ),
    "best_plain": Experiment(
        f"claim of the best of {CONFIGS}: binomial", _NULL, best(False), 100, None
    ),
    "best": Experiment(f"claim of the best of {CONFIGS}: 7 seeds", _NULL, best(True), 100),
}
"""By name. Those without a nominal rate are the rules that were in use before."""
