"""The report's section on reliability: the set of the best configurations, and optimism."""

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

_ON_TEST = ("on the {rows} that selected it", "on other {rows}")
_ON_VALIDATION = ("on the validation part, which selected it", "on the test part")
_PREFIXES = {name: one.prefix for name, one in HYPERPARAMETERS.items()}  # of values in a name
_GIVEN_UP = "Configurations that the search gave up early are not judged; they may be better."
SEEN = 0.0005  # optimism below it is shown as none

TOGETHER = joined(
    "Rows of one person or day, if any, may be on both sides of a split, which makes accuracies "
    "too high;",
    code("--group=COLUMN"),
    "keeps them on one side.",
)
"""The caveat of a table without a group column."""


class Winner(NamedTuple):
    """The accuracy of the best config, on the part that chose it and elsewhere."""

    apparent: float  # on the part that selected it
    trusted: float  # on rows that did not select it
    low: float  # of the 95 % interval of that; NaN where there is none
    high: float
    curve: "pd.DataFrame"  # of analysis.selection, by the number of configs to choose from
    on_test: bool  # True if the test part selected it

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
        if len(curve) > 1:  # figures of rows that did not select it
            accuracy, low, high = (float(curve[c].iloc[-1]) for c in ("held_out", "low", "high"))
    else:
        validation, test = _validation(run)[sound], run.accuracy_by_fold[sound]
        curve = selection.selected_on_validation(validation, test)
    apparent = float(run.results[f"{run.protocol.select_on}_accuracy"].iloc[0])
    return Winner(apparent, accuracy, low, high, curve, on_test)


def best_part(run: FinishedRun, winner: Winner | None) -> Section:
    """Makes the summary's part on the best config."""
    title, name = "Best configuration", "best"
    if winner is None:
        return Section(title, [paragraph("None: every configuration diverged.")], name=name)
    config = ", ".join(
        f"{stem} {value.removeprefix(_PREFIXES.get(stem, ''))}"
        for stem, value in by_stem(run.config()).items()
    )
    to_the_end = " trained to the end without diverging" * (len(run.results) > 1)
    found = [f"The only configuration{to_the_end}."]
    if alike := likeness(run):
        found = [strong(alike) + ", at 95 %."]
        if len(run.indistinguishable) > 1:
            found.append("They need not be equally good.")
        if detectable := detectable_difference(run):
            found.append(f"{detectable[0].upper()}{detectable[1:]}.")
    return Section(title, [paragraph(code(config)), paragraph(*found)], name=name)


def selection_section(run: FinishedRun, winner: Winner | None, caveats: Section) -> Section:
    """Makes the section on reliability."""
    from gtzan_jax.views import plots

    title, name, figures = "Reliability of the result", "reliability", []
    if winner is None or num_compared(run) < 2:
        only = "Nothing was selected: there is one configuration."
        if len(run.results) > 1:
            only = (
                "Nothing was compared: one configuration was trained to the end without diverging."
            )
        if winner is None:
            only = "Nothing was selected: every configuration diverged."
        given_up = _GIVEN_UP if winner and "epochs_given" in run.results else ""
        return Section(title, [paragraph(only, given_up)], parts=[caveats], name=name)
    if len(curve := winner.curve) > 1:
        names = _ON_TEST if winner.on_test else _ON_VALIDATION
        chosen, elsewhere = (name.format(rows=run.words.rows) for name in names)
        alt = "Accuracy of the winner against the number of configurations it is selected from"
        drawn = plots.optimism(curve, chosen, elsewhere, run.note)
        figures = [figure("optimism", drawn, alt, _caption(winner, run.words))]
    text = [paragraph(*_certainty(run)), paragraph(*_correction(run, winner))]
    return Section(title, text, figures, parts=[caveats], name=name)


def _certainty(run: FinishedRun) -> list[str]:
    """Describes the set of indistinguishable configs."""
    seeds = run.manifest.seeds
    networks = ", of these networks," if len(seeds) < selection.FEWEST_SEEDS else ""
    found: list[str] = [
        f"With 95 % confidence the truly best configuration{networks} is one of the "
        f"{len(run.indistinguishable):,} marked indistinguishable_from_best in the table (multiple "
        "comparisons with the best, see",
        code("docs/which_number.md") + ").",
        selection.scope(len(run.manifest.split.folds), seeds, run.words),
    ]
    if "epochs_given" in run.results:
        found.append(_GIVEN_UP)
    if run.compared_on == "test" and len(run.indistinguishable) > 1:
        found.append(
            "Choosing one of the indistinguishable configurations, say the smallest, still uses "
            "the test part."
        )
    return found


def _correction(run: FinishedRun, winner: Winner) -> list[str]:
    """Describes how the winner's accuracy is corrected."""
    words = run.words
    choosing = (
        f"The winner fits the {run.protocol.select_on} {words.rows} partly by chance, so its "
        "accuracy there is too high on average."
    )
    if not winner.on_test:
        folds = " Each fold selects its own winner." * (len(run.manifest.split.folds) > 1)
        return [choosing, f"The test part selected nothing.{folds}"]
    resampled = "artists" if run.manifest.data.is_of_songs else words.rows
    if words.is_grouped:
        resampled = f"groups ({words.rows} of one {words.group} are together)"
    return [
        choosing,
        f"Corrected: the mean of winners selected on resampled {resampled} and tested on those "
        "left out (bootstrap bias correction); interval: their middle 95 %.",
    ]


def _caption(winner: Winner, words: Words) -> str:
    first, drawn = winner.curve["optimism"].iloc[0], int(winner.curve["configs"].iloc[-1])
    grows, growth = winner.optimism - first >= SEEN, "the growth is the effect of selection"
    better, of_one = (
        f"{points(abs(each), '', 1)} points {'worse' if round(each, 3) < 0 else 'better'}"
        for each in (winner.optimism, first)
    )
    start = "" if winner.on_test else "; the points from one are the difference of the parts"
    return (
        f"Selected from {drawn:,} configurations, the winner is {better} on the {words.rows} that "
        f"selected it than on others; from one, {of_one}: "
        f"{growth if grows else 'no effect of selection is seen'}{start}."
    )


def whose_songs(run: FinishedRun, protocol: str) -> str:
    """Returns the population that a protocol's intervals are for."""
    if PROTOCOLS[protocol].leak:
        return "songs in the training set"
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
