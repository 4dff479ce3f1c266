"""The report's section on selection: the confidence set of the best, and optimism."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gtzan_jax.analysis import selection
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.schema import Words
from gtzan_jax.tables.sources import KAGGLE_SHA256
from gtzan_jax.views.messages import detectable_difference, likeness, num_compared
from gtzan_jax.views.sections.section import Section, code, figure, joined, paragraph, strong
from gtzan_jax.views.text import by_stem, points

if TYPE_CHECKING:
    import pandas as pd

_ON_TEST = ("on the {rows} that chose it", "on {rows} that did not")
_ON_VALIDATION = ("on the validation part, which chose it", "on the test part")
_PREFIXES = {name: one.prefix for name, one in HYPERPARAMETERS.items()}  # of values in a name
_TO_THE_END = "was trained to the end without diverging"
_GIVEN_UP = (
    "Those that the search gave up before the end may be better, and nothing is said of them."
)
SEEN = 0.0005  # optimism below it is shown as none

TOGETHER = joined(
    "Rows that belong together, such as those of one person or one day, may be on both sides of a "
    "split, which makes figures too good;",
    code("--group=COLUMN"),
    "keeps them on one.",
)
"""What is not known of a table without a group column."""


class Winner(NamedTuple):
    """The accuracy of the best config, on the part that chose it and elsewhere."""

    apparent: float  # on the part that chose it
    trusted: float  # on rows that it was not chosen by
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
        if len(curve) > 1:  # figures of rows that it was not chosen by
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
    config = ", ".join(
        f"{stem} {value.removeprefix(_PREFIXES.get(stem, ''))}"
        for stem, value in by_stem(run.config()).items()
    )
    found = [f"It is the only one{f' that {_TO_THE_END}' if len(run.results) > 1 else ''}."]
    if alike := likeness(run):
        found = [strong(alike) + ", at 95 %."]
        if len(run.indistinguishable) > 1:
            found.append("That does not make them equally good.")
        if detectable := detectable_difference(run):
            found.append(f"{detectable[0].upper()}{detectable[1:]}.")
    text = [paragraph(code(config)), paragraph(*found)]
    return Section("The best configuration", text, name="best")


def selection_section(run: FinishedRun, winner: Winner | None) -> Section:
    """Makes the section on selection."""
    from gtzan_jax.views import plots

    title, figures = "How sure the best one is", []
    if winner is None or num_compared(run) < 2:
        only = "Nothing was selected: there is one configuration."
        if len(run.results) > 1:
            only = f"Nothing was compared: only one configuration {_TO_THE_END}."
        if winner is None:
            only = "Nothing was selected: every configuration diverged."
        given_up = _GIVEN_UP if winner and "epochs_given" in run.results else ""
        text = [paragraph(only, given_up)]
        return Section(title, text, name="selection")
    if len(curve := winner.curve) > 1:
        names = _ON_TEST if winner.on_test else _ON_VALIDATION
        chosen, elsewhere = (name.format(rows=run.words.rows) for name in names)
        alt = "Accuracy of the winner against the number of configurations it is chosen from"
        drawn = plots.optimism(curve, chosen, elsewhere, run.note)
        figures = [figure("optimism", drawn, alt, _caption(winner, run.words))]
    text = [paragraph(*_certainty(run)), paragraph(*_correction(run, winner))]
    return Section(title, text, figures, name="selection")


def _certainty(run: FinishedRun) -> list[str]:
    """Describes the set of indistinguishable configs."""
    seeds = run.manifest.seeds
    networks = ", of these networks," if len(seeds) < selection.FEWEST_SEEDS else ""
    found: list[str] = [
        f"With 95 % confidence the truly best configuration{networks} is among the "
        f"{len(run.indistinguishable):,} that the column indistinguishable_from_best of the table "
        f"names, by {selection.METHOD.format(rows=run.words.rows)}; see",
        code("docs/which_number.md") + ".",
        selection.scope(len(run.manifest.split.folds), seeds, run.words),
    ]
    if "epochs_given" in run.results:
        found.append(_GIVEN_UP)
    if run.compared_on == "test" and len(run.indistinguishable) > 1:
        found.append("Choosing one of them by another wish, such as size, goes by the test part.")
    return found


def _correction(run: FinishedRun, winner: Winner) -> list[str]:
    """Describes how the winner's accuracy is corrected."""
    words = run.words
    choosing = (
        f"The winner of many configurations suits the {run.protocol.select_on} {words.rows} by "
        "chance, so that its accuracy there is too good on average."
    )
    if not winner.on_test:
        folds = " Each fold chooses its own winner." * (len(run.manifest.split.folds) > 1)
        return [choosing, f"The test part had no say.{folds}"]
    seeds = "this seed" if len(run.manifest.seeds) == 1 else "these seeds"
    resampled = "artists" if run.manifest.data.is_of_songs else words.rows
    if words.is_grouped:
        resampled = f"groups ({words.rows} of one {words.group} are together)"
    return [
        choosing,
        f"Corrected, it is the mean accuracy of winners that are chosen on resampled {resampled}, "
        "on those left out (bootstrap bias correction), and its 95 % interval holds the middle of "
        f"these: for {whose_songs(run, run.sweep.protocol)}, and the networks of {seeds}.",
    ]


def _caption(winner: Winner, words: Words) -> str:
    first, drawn = winner.curve["optimism"].iloc[0], int(winner.curve["configs"].iloc[-1])
    grows, growth = winner.optimism - first >= SEEN, "the growth is what choosing does"
    better, of_one = (
        f"{points(abs(each), '', 1)} points {'worse' if round(each, 3) < 0 else 'better'}"
        for each in (winner.optimism, first)
    )
    start = "" if winner.on_test else "; the points from one are how the two parts differ"
    return (
        f"Chosen from {drawn:,} configurations, the winner is {better} on the {words.rows} that "
        f"chose it than elsewhere, and {of_one} if from one: "
        f"{growth if grows else 'no effect of choosing is seen'}{start}."
    )


def whose_songs(run: FinishedRun, protocol: str) -> str:
    """Returns the population of songs, or rows, that a protocol's intervals are for."""
    if PROTOCOLS[protocol].leak:
        return "songs that were trained on"
    if run.words.is_grouped:
        return selection.others(run.words)
    if protocol in ARTISTS_APART:
        return "other artists"
    is_gtzan = run.manifest.data.sha256 == KAGGLE_SHA256  # whose artists a list knows
    return "other songs of such artists" if is_gtzan else f"other {run.words.units} like these"


def accuracy_of_best(run: FinishedRun) -> tuple[float, float, float]:
    """Returns the best config's test accuracy and its 95 % interval, which may be NaN."""
    best, predictions = run.results.iloc[0], run.predictions
    hits = predictions.correct[run.sweep.places[best["config_id"]]].mean(axis=0)
    low, high = selection.accuracy_interval(hits, predictions.group)
    return float(best["test_accuracy"]), low, high


def _validation(run: FinishedRun) -> np.ndarray:
    """Reads (configs, folds, seeds) validation accuracy after the best epoch, in grid order."""
    import pandas as pd

    path, columns = run.run.trials_path, ["fold", "seed"]
    try:
        trials = pd.read_csv(path)
        grid = trials.pivot(index="config_id", columns=columns, values="validation_accuracy")
        accuracy = grid.loc[list(run.sweep.places)].to_numpy(np.float64)
        return accuracy.reshape(run.accuracy_by_fold.shape)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: cannot be used ({reason})") from None
