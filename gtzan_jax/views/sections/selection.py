"""The report's section on selection: the confidence set of the best, and optimism."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.analysis import selection
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.sources import KAGGLE_SHA256
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.text import Table, by_stem, counted, points

if TYPE_CHECKING:
    import pandas as pd

_ON_TEST = ("on the tracks that chose it", "on tracks that did not")
_ON_VALIDATION = ("on the validation part, which chose it", "on the test part")
SEEN = 0.0005  # optimism below it is shown as none


class Winner(NamedTuple):
    """The accuracy of the best config, on the part that chose it and elsewhere."""

    apparent: float  # on the part that chose it
    trusted: float  # on tracks that it was not chosen by
    low: float  # of the 95 % interval of that; NaN where there is none
    high: float
    curve: "pd.DataFrame"  # of analysis.selection, by the number of configs to choose from
    on_test: bool  # whether the test part chose it

    @property
    def optimism(self) -> float:
        """Apparent less true accuracy."""
        return float(self.curve["optimism"].iloc[-1])


def winner_of(run: FinishedRun) -> Winner | None:
    """Returns the accuracy of a run's best config; None if every config diverged."""
    sound = np.isfinite(run.accuracy).all(axis=1)
    if not sound.any():
        return None
    accuracy, low, high = accuracy_of_best(run)
    on_test = run.protocol.select_on == "test"
    if on_test:
        predictions = run.predictions
        curve = selection.selected_on_test(predictions.correct[sound], predictions.group)
        if len(curve) > 1:  # figures of tracks that it was not chosen by
            accuracy, low, high = (float(curve[c].iloc[-1]) for c in ("held_out", "low", "high"))
    else:
        validation, test = _validation(run)[sound], run.accuracy_by_fold[sound]
        curve = selection.selected_on_validation(validation, test)
    apparent = float(run.results[f"{run.protocol.select_on}_accuracy"].iloc[0])
    return Winner(apparent, accuracy, low, high, curve, on_test)


def best_part(run: FinishedRun, winner: Winner | None) -> Section:
    """Makes the first screen's part on the best config."""
    if winner is None:
        text = [paragraph("There is none: every configuration diverged.")]
        return Section("The best configuration", text, name="best")
    count, considered, part = len(run.indistinguishable), _considered(run), run.compared_on
    is_first = bool(run.results[INDISTINGUISHABLE].iloc[0])
    seeds, detectable = run.manifest.seeds, run.manifest.detectable
    seed = f" and seed {seeds[0]}" if len(seeds) == 1 else ""
    tracks = f"{run.num_compared_on:,} {part} tracks{seed}"
    if count > 1:
        seen = detectable is not None and (
            f"; those under about {counted(round(100 * detectable), 'point')} cannot be seen"
        )
        ranges = ", and ".join(
            f"{of} accuracies from {values.min():.2f} to {values.max():.2f}"
            for of in dict.fromkeys((run.protocol.select_on, "test"))
            if len(values := run.indistinguishable[f"{of}_accuracy"])
        )
        alike = f"{count:,} of {considered:,} configurations are statistically indistinguishable"
        found = [
            strong(f"{alike} from the best")
            + f": {tracks} do not show their differences at 95 %{seen or ''}.",
            f"That does not make them equally good: they have {ranges}.",
            "" if is_first else "The first is not among them.",
        ]
    elif considered > 1:
        others = "all others" if is_first else f"the best on the {part} part"
        found = [strong(f"It is distinguishable from {others}") + f", at 95 % on {tracks}."]
    else:
        found = ["It is the only one."]
    prefixes = {name: one.prefix for name, one in HYPERPARAMETERS.items()}  # tell values in a name
    config = ", ".join(
        f"{stem} {value.removeprefix(prefixes.get(stem, ''))}"
        for stem, value in by_stem(run.config()).items()
    )
    text = [paragraph(code(config)), paragraph(*found)]
    return Section("The best configuration", text, name="best")


def selection_section(run: FinishedRun, winner: Winner | None) -> Section:
    """Makes the section on selection."""
    from gtzan_jax.views import plots

    title = "How sure the best one is"
    if winner is None:
        text = [paragraph("Nothing was selected: every configuration diverged.")]
        return Section(title, text, name="selection")
    considered, text = _considered(run), [paragraph(*_certainty(run))]
    if considered > 1:
        text.append(paragraph(*_method(run, winner)))
    figures, parts, curve = [], [], winner.curve
    if len(curve) > 1:
        names = _ON_TEST if winner.on_test else _ON_VALIDATION
        accuracies = zip(names, (curve["apparent"], curve["held_out"]), strict=True)
        table = Table.by_column(
            {"chosen from": [f"{count:,.0f}" for count in curve["configs"]]}
            | {name: [f"{each:.4f}" for each in column] for name, column in accuracies}
            | {"difference, points": curve["optimism"].map(points)}
        )
        parts = [Section("The curve in figures", tables=[table], folded=True)]
        alt = "Accuracy of the winner against the number of configurations it is chosen from"
        drawn = plots.optimism(curve, *names, run.note)
        figures = [figure("optimism", drawn, alt, _caption(winner))]
    return Section(title, text, figures, parts=parts, name="selection")


def _certainty(run: FinishedRun) -> list[str]:
    """Describes the set of indistinguishable configs."""
    seeds, considered, part = run.manifest.seeds, _considered(run), run.compared_on
    given_up = "" if _to_the_end(run).all() else (
        "These are the configurations that were trained to the end: those that the search gave up "
        "before may be better, and nothing is said of them."
    )  # fmt: skip
    if considered < 2:
        return ["With one configuration nothing is selected.", given_up]
    networks = "for these networks, " if len(seeds) < selection.FEWEST_SEEDS else ""
    found = [
        f"The best is one of {considered:,} configurations: {networks}with 95 % confidence, by "
        f"{selection.METHOD}.",
        selection.scope(len(run.manifest.split.folds), seeds),
        given_up,
    ]
    if (count := len(run.indistinguishable)) > 1:
        found[0] = (
            f"{count:,} of {considered:,} configurations are statistically indistinguishable from "
            f"the best on the {part} part: {networks}with 95 % confidence the truly best one is "
            f"among them, by {selection.METHOD}."
        )
        found.append(
            "The column indistinguishable_from_best of the table of all configurations names them. "
            f"More {part} tracks and more seeds would make them fewer."
        )
        if part == "test":
            found.append("Choosing one by another wish, such as size, goes by the test part.")
    return found


def _method(run: FinishedRun, winner: Winner) -> list[str]:
    """Explains the correction of the winner's accuracy."""
    choosing = (
        f"Choosing among many configurations favours those that suit the {run.protocol.select_on} "
        "tracks by chance, so that the winner's accuracy there is too good on average."
    )
    if not winner.on_test:
        folds = "; in the curve each fold chooses its own winner"
        return [
            choosing,
            "The test part had no say: validation less test shows it, besides how the two parts "
            f"differ{folds if len(run.manifest.split.folds) > 1 else ''}.",
        ]
    interval = ", and its 95 % interval holds the middle of these"
    seeds = "this seed" if len(run.manifest.seeds) == 1 else "these seeds"
    return [
        choosing,
        "By how much: the winner is chosen on resampled artists and scored on those left out "
        "(bootstrap bias correction, Tsamardinos et al., 2018).",
        "The corrected number is the mean on those left out"
        f"{interval if np.isfinite(winner.low) else ''}: for "
        f"{whose_songs(run, run.sweep.protocol)}, and the networks of {seeds}.",
    ]


def _caption(winner: Winner) -> str:
    drawn, first = int(winner.curve["configs"].iloc[-1]), float(winner.curve["optimism"].iloc[0])
    optimism, chosen = winner.optimism, f"Chosen from {drawn:,} configurations, the winner's "
    if not winner.on_test:
        grows, growth = optimism - first >= SEEN, "the growth is what choosing does"
        none = "it does not grow, so that no effect of choosing is seen"
        return (
            f"From 1 configuration to {drawn:,}, validation less test goes from "
            f"{points(first, '+', 1)} to {points(optimism, '+', 1)} points: "
            f"{growth if grows else none}; the start is how the two parts differ."
        )
    if optimism >= SEEN:
        return f"{chosen}{winner.apparent:.3f} is too good by {points(optimism, '', 1)} points."
    return (
        f"{chosen}{winner.apparent:.3f} is not seen to be too good: on tracks that had no say "
        f"winners are {points(-optimism, '', 1)} points better."
    )


def whose_songs(run: FinishedRun, protocol: str) -> str:
    """Returns the population of songs that a protocol's intervals are for."""
    if PROTOCOLS[protocol].leak:
        return "songs that were trained on"
    if protocol in ARTISTS_APART:
        return "other artists"
    is_gtzan = run.manifest.data.sha256 == KAGGLE_SHA256  # whose artists a list knows
    return "other songs of such artists" if is_gtzan else "other songs like these"


def accuracy_of_best(run: FinishedRun) -> tuple[float, float, float]:
    """Returns the best config's test accuracy and its 95 % interval, which may be NaN."""
    best, predictions = run.results.iloc[0], run.predictions
    hits = predictions.correct[run.sweep.places[best["config_id"]]].mean(axis=0)
    low, high = selection.accuracy_interval(hits, predictions.group)
    return float(best["test_accuracy"]), low, high


def _to_the_end(run: FinishedRun) -> np.ndarray:
    """Returns whether each config, by rank, was trained for all epochs."""
    given = run.results.get("epochs_given", run.sweep.epochs)
    return np.asarray(np.broadcast_to(given, len(run.results)) == run.sweep.epochs)


def _considered(run: FinishedRun) -> int:
    return int(np.sum(_to_the_end(run) & ~run.results["diverged"]))


def _validation(run: FinishedRun) -> np.ndarray:
    """Reads (configs, folds, seeds) validation accuracy after the best epoch, in grid order."""
    import pandas as pd

    path = run.run.trials_path
    try:
        trials = pd.read_csv(path)
        grid = trials.pivot(
            index="config_id", columns=["fold", "seed"], values="validation_accuracy"
        )
        accuracy = grid.loc[list(run.sweep.places)].to_numpy(np.float64)
        return accuracy.reshape(run.accuracy_by_fold.shape)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: cannot be used ({reason})") from None
