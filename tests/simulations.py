"""How often intervals and tests err where nothing is to be found, on data that depend as ours do.

Tracks are clustered by artists of the sizes that they have in GTZAN, configs share tracks, and what
a seed shifts in them, folds share train tracks. The spreads are those of scikit-learn's networks on
the real table, artist by artist and seed by seed: over three artist folds the standard error of an
accuracy is 3.1 points (1.4 if tracks were independent), that of the difference of two networks 0.75
(0.6), of which seeds make 0.45 as long as there are six.

``docs/make_which_number.py`` runs these with many replications,
``tests/analysis/test_simulations.py`` with few.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from gtzan_jax.analysis.calibration import calibration_error, error_of_chance, fit_temperature
from gtzan_jax.analysis.effects import decompose, paired_differences
from gtzan_jax.analysis.inference import sphericity_free_f_test, t_test
from gtzan_jax.analysis.selection import (
    accuracy_interval,
    compare_with_best,
    difference_interval,
    mean_interval,
    selected_on_test,
)
from gtzan_jax.inference.calibration import tempered

# How many artists have how many of the 948 tracks of the artist folds.
ARTISTS = {
    1: 343, 2: 2, 3: 5, 4: 7, 5: 6, 6: 5, 7: 10, 8: 7, 9: 2, 10: 3, 11: 6, 12: 4, 13: 2, 14: 1,
    15: 2, 17: 1, 18: 3, 19: 1, 21: 1, 29: 1,
}  # fmt: skip
GROUP = np.repeat(np.arange(sum(ARTISTS.values())), np.repeat([*ARTISTS], [*ARTISTS.values()]))

_TRAITS = 6  # what configs have in common, and tracks respond to
_SPREAD = {"artist": 1.4, "track": 0.6, "by_artist": 0.15, "by_track": 0.3, "noise": 0.6}
_VARIANCE = sum(spread**2 for spread in _SPREAD.values())
_LATENT = float(np.sqrt(2 * np.pi * _VARIANCE))  # per unit of accuracy, at one half

Random = np.random.Generator
Once = Callable[[Random], float]


@dataclass(frozen=True)
class Experiment:
    """A claim that can err.

    Attributes:
      what: the interval or test.
      null: what the data are like.
      once: draws data, and returns whether the claim errs or in what share.
      quick: replications in the tests; the documentation has far more.
      nominal: how often it may err at most; None for what was in use before, or is no promise.
    """

    what: str
    null: str
    once: Once
    quick: int = 100
    nominal: float | None = 0.05


def hits_of(
    random: Random,
    accuracy: np.ndarray,
    num_seeds: int = 1,
    shared: float = 0.0,
    own: float = 0.0,
    minority: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws which tracks are classified correctly: artists, tracks and seeds anew each time.

    Args:
      random: is drawn from.
      accuracy: (configs,) about what they are, near one half.
      num_seeds: how many.
      shared: by how much a seed shifts the accuracy of every other config against the rest.
      own: by how much it shifts each config, whatever the others.
      minority: the same, of one config in ten. All three are deviations.

    Returns:
      (configs, seeds, tested) bool, and (configs,) the accuracies to expect of other artists,
      tracks and seeds.
    """
    count, artists = len(accuracy), GROUP[-1] + 1

    def normal(scale: float, *shape: int) -> np.ndarray:
        return scale * random.standard_normal(shape, np.float32)

    traits = normal(1, count, _TRAITS)
    traits /= np.linalg.norm(traits, axis=1, keepdims=True)
    difficulty = normal(_SPREAD["artist"], artists)[GROUP] + normal(_SPREAD["track"], len(GROUP))
    taste = normal(_SPREAD["by_artist"], artists, _TRAITS)[GROUP]
    taste = taste + normal(_SPREAD["by_track"], len(GROUP), _TRAITS)
    half = shared / 2 * np.where(np.arange(count) % 2, 1, -1)
    alone = np.where(np.arange(count) % 10, own, np.hypot(own, minority))
    shift = half[:, None] * normal(1, num_seeds) + alone[:, None] * normal(1, count, num_seeds)
    latent = _LATENT * (accuracy[:, None] - 0.5 + shift)
    tracks = (difficulty + traits @ taste.T)[:, None]
    hits = latent[..., None] + tracks + normal(_SPREAD["noise"], count, num_seeds, len(GROUP)) > 0
    spread = np.sqrt(_VARIANCE + _LATENT**2 * (half**2 + alone**2))
    return hits, stats.norm.cdf(_LATENT * (accuracy - 0.5) / spread)


def _misses(interval: tuple[float, float], truth: float = 0.0) -> float:
    """Returns 1 where an interval does not hold the truth; NaN is no interval, and no error."""
    return float(truth < interval[0] or truth > interval[1])


# Effects: what a seed or fold does to all pairs of an axis alike.


_AXES = {"a": (0, 1), "b": (0, 1), "c": (0, 1, 2), "d": (0, 1)}


def grid_of_seeds(random: Random, num_seeds: int) -> np.ndarray:
    """Returns (configs, 1 fold, seeds) whose first axis does nothing but by seed."""
    grid = random.normal(0.5, 0.004, (2, 12, num_seeds))
    grid[1] += random.normal(0, 0.01, num_seeds)
    return grid.reshape(24, 1, num_seeds)


def effect_over_seeds(num_seeds: int) -> Once:
    """The interval of a difference, over seeds."""

    def once(random: Random) -> float:
        row = paired_differences(grid_of_seeds(random, num_seeds), _AXES).iloc[0]
        return _misses((row["low"], row["high"]))

    return once


def effect_over_pairs(random: Random) -> float:
    """What was in use before: a t interval over the pairs of one seed."""
    pairs = np.diff(grid_of_seeds(random, 1).reshape(2, 12), axis=0)[0]
    return _misses(tuple(stats.ttest_1samp(pairs, 0).confidence_interval(0.95)))


def differences_by_part(
    random: Random, parts: list[tuple[np.ndarray, np.ndarray]], other_artists: bool = False
) -> np.ndarray:
    """Returns (parts,) differences of two equally good models, which agree on most tracks.

    Each part tests on some tracks, and what its other tracks teach tells the two apart, too.

    Args:
      random: is drawn from.
      parts: train and test rows of each.
      other_artists: whether the models are equally good on artists not in the table; else they
        are on other songs of its artists, which is what random folds ask.
    """
    artist = random.normal(0, 0.1, GROUP[-1] + 1)[GROUP]
    artist -= 0 if other_artists else artist.mean()
    of_track = artist + random.choice([-1, 0, 1], len(GROUP), p=[0.07, 0.86, 0.07])
    teaches = random.normal(0, 0.15, len(GROUP))
    seeds = random.normal(0, 0.004, len(parts))
    figures = [of_track[test].mean() + teaches[train].mean() for train, test in parts]
    return np.array(figures) + seeds


def _folds(random: Random, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = np.array_split(random.permutation(len(GROUP)), count)
    return [(np.setdiff1d(np.arange(len(GROUP)), test), test) for test in parts]


def _splits(random: Random, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    orders = [random.permutation(len(GROUP)) for _ in range(count)]
    cut = int(0.7 * len(GROUP))
    return [(order[:cut], order[cut:]) for order in orders]


def effect_over_folds(num_folds: int) -> Once:
    """The interval of a difference, over folds."""

    def once(random: Random) -> float:
        figures = differences_by_part(random, _folds(random, num_folds))
        accuracy = np.stack([np.full(num_folds, 0.5), 0.5 + figures])[..., None]
        row = paired_differences(accuracy, {"a": (0, 1)}).iloc[0]
        return _misses((row["low"], row["high"]))

    return once


def effect_over_divisions(num_divisions: int) -> Once:
    """The interval of a difference, over random divisions into three folds that share no artist."""

    def once(random: Random) -> float:
        parts = []
        for _ in range(num_divisions):
            for artists in np.array_split(random.permutation(GROUP[-1] + 1), 3):
                tested = np.isin(GROUP, artists)
                parts.append((np.flatnonzero(~tested), np.flatnonzero(tested)))
        figures = differences_by_part(random, parts, other_artists=True)
        accuracy = np.stack([np.full(len(parts), 0.5), 0.5 + figures])[..., None]
        row = paired_differences(accuracy, {"a": (0, 1)}, num_divisions).iloc[0]
        return _misses((row["low"], row["high"]))

    return once


def models_over_splits(corrected: bool, other_artists: bool = False) -> Once:
    """The interval of two models' difference over ten random 70:30 splits."""

    def once(random: Random) -> float:
        figures = differences_by_part(random, _splits(random, 10), other_artists)
        if corrected:
            return _misses(t_test(figures, 3 / 7)[1:3])
        return _misses(tuple(stats.ttest_1samp(figures, 0).confidence_interval(0.95)))

    return once


def f_test(num_seeds: int, corrected: bool) -> Once:
    """The test of three optimizers, one of them ten times as noisy as the others."""

    def once(random: Random) -> float:
        values = random.normal(size=(3, num_seeds)) * [[1], [1], [10]]
        effects = values - values.mean(axis=0)
        if corrected:
            return float(sphericity_free_f_test(effects, 2) < 0.05)
        size = np.square(effects.mean(axis=1)).sum() / 2
        noise = effects.var(axis=1, ddof=1).sum() / 2 / num_seeds
        return float(stats.f.sf(size / noise, 2, 2 * (num_seeds - 1)) < 0.05)

    return once


def any_term(column: str) -> Once:
    """Whether any of the ten terms of four axes is found, of which none does anything."""

    def once(random: Random) -> float:
        terms = decompose(random.normal(0.5, 0.01, (24, 1, 5)), _AXES).terms
        return float((terms[column] < 0.05).any())

    return once


# Accuracies, and choosing.


def accuracy_of_one(clustered: bool) -> Once:
    """The interval of an accuracy on artists that were not trained on."""

    def once(random: Random) -> float:
        hits, expected = hits_of(random, np.array([0.5]))
        interval = accuracy_interval(hits[0, 0].astype(float), GROUP)
        if not clustered:
            count = stats.binomtest(int(hits.sum()), len(GROUP))
            interval = tuple(count.proportion_ci(0.95, "wilson"))
        return _misses(interval, expected[0])

    return once


def accuracies_of_two(clustered: bool) -> Once:
    """The interval of the difference of two accuracies on the same tracks, three seeds each."""

    def once(random: Random) -> float:
        hits, (first, second) = hits_of(random, np.array([0.5, 0.47]), 3)
        differences = hits[0].mean(axis=0) - hits[1].mean(axis=0)
        interval = mean_interval(differences, GROUP)
        if not clustered:
            interval = tuple(stats.ttest_1samp(differences, 0).confidence_interval(0.95))
        return _misses(interval, first - second)

    return once


def paired_by_seed(both: bool) -> Once:
    """The interval of the difference of two models, eight seeds that shift one by 2 points.

    Args:
      both: whether it allows for seeds as well as for artists.
    """

    def once(random: Random) -> float:
        hits, (first, second) = hits_of(random, np.array([0.5, 0.47]), 8, shared=0.02)
        differences = hits[0].astype(float) - hits[1]
        if both:
            return _misses(difference_interval(differences, GROUP), first - second)
        return _misses(mean_interval(differences.mean(axis=0), GROUP), first - second)

    return once


def winner_of_60(corrected: bool) -> Once:
    """The interval of the accuracy of a winner on the tracks that it was chosen on."""

    def once(random: Random) -> float:
        hits, expected = hits_of(random, random.normal(0.5, 0.02, 60))
        winner = hits.mean(axis=(1, 2)).argmax()
        interval = np.array(accuracy_interval(hits[winner, 0].astype(float), GROUP))
        if corrected:
            interval -= selected_on_test(hits, GROUP)["optimism"].iloc[-1]
        return _misses(tuple(interval), expected[winner])

    return once


def winner_of_768(interval: str) -> Once:
    """The interval of a winner of the assignment's grid on the 300 songs that it was chosen on.

    Its truth is the accuracy of that very network, trained with this seed, on other songs.

    Args:
      interval: ``as chosen``, ``less the optimism`` or ``out of bag``.
    """

    def once(random: Random) -> float:
        accuracy = random.normal(0.5, 0.04, 768)
        some = random.permutation(len(GROUP))[:300]
        hits, expected = hits_of(random, accuracy)
        hits, group = hits[:, :, some], GROUP[some]
        winner = hits.mean(axis=(1, 2)).argmax()
        ends = np.array(accuracy_interval(hits[winner, 0].astype(float), group))
        if interval != "as chosen":
            curve = selected_on_test(hits, group).iloc[-1]
            ends -= curve["optimism"]
            if interval == "out of bag":
                ends = np.array([curve["low"], curve["high"]])
        return _misses(tuple(ends), expected[winner])

    return once


def best_of(count: int, deviation: float = 0.0, **draws: Any) -> Once:
    """The set of configs that are indistinguishable from the best: whether it lacks the best.

    Args:
      count: of the configs.
      deviation: of their accuracies; without any all of them are best, and the error is the share
        of them that is left out.
      draws: for :func:`hits_of`.
    """

    def once(random: Random) -> float:
        hits, expected = hits_of(random, random.normal(0.5, deviation, count), **draws)
        best = np.arange(count) if deviation == 0 else expected.argmax()
        return float(1 - compare_with_best(hits, GROUP).indistinguishable[best].mean())

    return once


def winner_bias(deviation: float, replications: int) -> tuple[float, float]:
    """Returns by how much figures of a winner of 60 exceed its true accuracy, on average.

    The luck that all 60 have with the tracks is taken off, which would only add noise.

    Args:
      deviation: of the configs' accuracies.
      replications: how many winners.

    Returns:
      of its accuracy on the tracks that it was chosen on, and of the bias-corrected figure.
    """
    random, biases = np.random.default_rng(0), []
    for _ in range(replications):
        hits, expected = hits_of(random, random.normal(0.5, deviation, 60))
        last = selected_on_test(hits, GROUP).iloc[-1]
        truth = expected[hits.mean(axis=(1, 2)).argmax()] + hits.mean() - expected.mean()
        biases.append((last["apparent"] - truth, last["held_out"] - truth))
    apparent, held_out = np.mean(biases, axis=0)
    return float(apparent), float(held_out)


# Calibration.


def beyond_chance(songs: int, by_artist: bool, whole_artists: bool = False) -> Once:
    """The limit of chance of a calibration error: whether exact probabilities exceed it.

    An artist's songs are right or wrong together by a Gaussian copula of correlation 0.6.

    Args:
      songs: of the 948 tracks.
      by_artist: whether the limit allows for artists.
      whole_artists: whether the songs are all of some artists, as in an artist fold, or any.
    """

    def once(random: Random) -> float:
        order = random.permutation(len(GROUP))
        if whole_artists:
            order = random.permutation(GROUP[-1] + 1)[GROUP].argsort(kind="stable")
        group = GROUP[order[:songs]]
        probability = np.exp(tempered(random.normal(0, 1.5, (songs, 10)), 1.0)).max(axis=1)
        artist, track = random.normal(size=GROUP[-1] + 1)[group], random.normal(size=songs)
        right = stats.norm.cdf(np.sqrt(0.6) * artist + np.sqrt(0.4) * track) < probability
        group = group if by_artist else np.arange(songs)
        return float(
            calibration_error(probability, right) > error_of_chance(probability, right, group)[1]
        )

    return once


_SEED = "a seed shifts all pairs of two values alike"
_SONGS = "random splits; other songs of the same artists"
_NOISY = "one value is ten times as noisy as the others"
_NO_TERM = "no axis does anything, 5 seeds"
_ARTISTS = "948 tracks of 412 artists; other artists"
_EQUAL = "60 equally good configs"
_GRID = "300 songs, deviation 4 points"
_SET = "indistinguishable from the best"
_CHANCE = "calibration error: limit of chance"
_FOLD = "exact probabilities; all 315 tracks of some artists"
_ANY = "exact probabilities; {} of 948 tracks"

EXPERIMENTS = {
    "pairs": Experiment("effect: t over the pairs of a seed", _SEED, effect_over_pairs, 50, None),
    "seeds2": Experiment("effect: interval over 2 seeds", _SEED, effect_over_seeds(2), 50),
    "seeds5": Experiment("effect: interval over 5 seeds", _SEED, effect_over_seeds(5), 50),
    "folds5": Experiment("effect: interval over 5 folds", _SONGS, effect_over_folds(5), 50),
    "folds10": Experiment("effect: interval over 10 folds", _SONGS, effect_over_folds(10), 50),
    "divisions3": Experiment(
        "effect: interval over 3 divisions into 3 folds",
        "folds that share no artist; other artists",
        effect_over_divisions(3), 50,
    ),
    "f_plain3": Experiment("three values: F, 3 seeds", _NOISY, f_test(3, False), 500, None),
    "f_plain10": Experiment("three values: F, 10 seeds", _NOISY, f_test(10, False), 500, None),
    "f3": Experiment("three values: Greenhouse–Geisser, 3 seeds", _NOISY, f_test(3, True), 500),
    "f10": Experiment("three values: Greenhouse–Geisser, 10 seeds", _NOISY, f_test(10, True), 500),
    "terms_plain": Experiment("any of 10 terms: p", _NO_TERM, any_term("p_value"), 100, None),
    "terms": Experiment("any of 10 terms: Holm's p", _NO_TERM, any_term("p_holm"), 100),
    "splits_plain": Experiment(
        "two models, 10 splits: t", _SONGS, models_over_splits(False), 100, None
    ),
    "splits": Experiment("two models, 10 splits: corrected t", _SONGS, models_over_splits(True)),
    "splits_artists": Experiment(
        "two models, 10 splits: corrected t", "random splits; other artists",
        models_over_splits(True, True), 100, None,
    ),
    "binomial": Experiment(
        "accuracy: binomial (Wilson)", _ARTISTS, accuracy_of_one(False), 100, None
    ),
    "accuracy": Experiment("accuracy: over artists", _ARTISTS, accuracy_of_one(True)),
    "two_plain": Experiment(
        "two accuracies: t over tracks", _ARTISTS, accuracies_of_two(False), 100, None
    ),
    "two": Experiment("two accuracies: over artists", _ARTISTS, accuracies_of_two(True)),
    "paired_artists": Experiment(
        "two models, 8 seeds: over artists", "seeds shift the difference by 2 points",
        paired_by_seed(False), 600, None,
    ),
    "paired": Experiment(
        "two models, 8 seeds: over artists and seeds", "seeds shift the difference by 2 points",
        paired_by_seed(True), 600,
    ),
    "winner_plain": Experiment(
        "winner of 60: over artists", "deviation 2 points", winner_of_60(False), 50, None
    ),
    "winner": Experiment(
        "winner of 60: over artists, less the optimism", "deviation 2 points",
        winner_of_60(True), 10,
    ),
    "grid_plain": Experiment(
        "winner of 768: over artists", _GRID, winner_of_768("as chosen"), 10, None
    ),
    "grid_shifted": Experiment(
        "winner of 768: over artists, less the optimism", _GRID,
        winner_of_768("less the optimism"), 10, None,
    ),
    "grid": Experiment("winner of 768: out of bag", _GRID, winner_of_768("out of bag"), 10),
    "best1": Experiment(f"{_SET}, 1 seed", _EQUAL, best_of(60), 25),
    "best1_luck1": Experiment(
        f"{_SET}, 1 seed", f"{_EQUAL}; the seed shifts each by 1 point", best_of(60, own=0.01), 25,
        None,
    ),
    "best1_luck2": Experiment(
        f"{_SET}, 1 seed", f"{_EQUAL}; the seed shifts each by 2 points", best_of(60, own=0.02),
        25, None,
    ),
    "best5": Experiment(f"{_SET}, 5 seeds", _EQUAL, best_of(60, num_seeds=5), 25),
    "best_spread": Experiment(
        f"{_SET}, 1 seed", "60 configs, deviation 2 points", best_of(60, 0.02), 25
    ),
    "best_shared": Experiment(
        f"{_SET}, 3 seeds", f"{_EQUAL}; seeds shift one half by 1 point",
        best_of(60, num_seeds=3, shared=0.01), 25,
    ),
    "best_shared_much": Experiment(
        f"{_SET}, 3 seeds", f"{_EQUAL}; seeds shift one half by 4 points",
        best_of(60, num_seeds=3, shared=0.04), 25,
    ),
    "best_two": Experiment(
        f"{_SET}, 3 seeds", "two equally good configs; seeds shift one by 4 points",
        best_of(2, num_seeds=3, shared=0.04), 300,
    ),
    "best_own": Experiment(
        f"{_SET}, 5 seeds", f"{_EQUAL}; seeds shift each by 1 point",
        best_of(60, num_seeds=5, own=0.01), 25,
    ),
    "best_minority": Experiment(
        f"{_SET}, 5 seeds", f"{_EQUAL}; seeds shift six by 4 points",
        best_of(60, num_seeds=5, minority=0.04), 25,
    ),
    "chance_fold_plain": Experiment(
        f"{_CHANCE}, songs independent", _FOLD, beyond_chance(315, False, True), 100, None
    ),
    "chance_fold": Experiment(f"{_CHANCE}, by artist", _FOLD, beyond_chance(315, True, True)),
    "chance300_plain": Experiment(
        f"{_CHANCE}, songs independent", _ANY.format(300), beyond_chance(300, False), 50, None
    ),
    "chance300": Experiment(
        f"{_CHANCE}, by artist", _ANY.format(300), beyond_chance(300, True), 50
    ),
    "chance100_plain": Experiment(
        f"{_CHANCE}, songs independent", _ANY.format(100), beyond_chance(100, False), 50, None
    ),
    "chance100": Experiment(
        f"{_CHANCE}, by artist", _ANY.format(100), beyond_chance(100, True), 50
    ),
}  # fmt: skip
"""By name. Those without a nominal rate are shown to compare."""


def error_rate(experiment: Experiment, replications: int) -> tuple[float, float]:
    """Returns how often a claim errs, and the standard error of that (Monte Carlo)."""
    random = np.random.default_rng(0)
    errs = np.array([experiment.once(random) for _ in range(replications)])
    return float(errs.mean()), float(errs.std(ddof=1) / np.sqrt(replications))


@dataclass(frozen=True)
class Few:
    """What so many songs make of a calibration.

    Attributes:
      low, high: 5th and 95th percentile of the temperature that is fitted, as shares of the true.
      below: how often it is below 0.8 of the true one.
      mean, most: of the calibration error of probabilities that hold exactly; 95th percentile.
    """

    low: float
    high: float
    below: float
    mean: float
    most: float


def calibration_of_few(songs: int, replications: int, seed: int = 0) -> Few:
    """Draws ten genres' probabilities, of which the first is right two times of three, and labels.

    A network that says them to the power of any T asks for T times the temperature.
    """
    random, found, errors = np.random.default_rng(seed), [], []
    for _ in range(replications):
        logs = tempered(random.normal(0, 3.0, (songs, 10)), 1.0)
        draws = random.random((songs, 1))
        y = np.minimum((np.exp(logs).cumsum(axis=1) < draws).sum(axis=1), 9)
        found.append(fit_temperature(logs, y))
        errors.append(calibration_error(np.exp(logs.max(axis=1)), logs.argmax(axis=1) == y))
    low, high = np.percentile(found, [5, 95])
    below, most = np.mean(np.array(found) < 0.8), np.percentile(errors, 95)
    return Few(float(low), float(high), float(below), float(np.mean(errors)), float(most))
