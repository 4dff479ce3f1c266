"""The section on selection: how sure one can be of the best, and how much too good it looks."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.analysis import selection
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.space.axes import AXES
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.sources import KAGGLE_SHA256
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.text import Table, by_stem, counted, points

if TYPE_CHECKING:
    import pandas as pd

_ON_TEST = ("on the tracks that chose it", "on tracks that did not")
_ON_VALIDATION = ("on the validation part, which chose it", "on the test part")

_GIVEN_UP = (
    "These are the configurations that were trained to the end: those that the search gave up "
    "before may be better, and nothing is said of them. "
)


def selection_section(run: FinishedRun, pictures: Pictures) -> dict[str, Any] | None:
    """Makes the section on selection, and its picture; None if every config diverged."""
    best = run.results.iloc[0]
    if not np.isfinite(run.accuracy).all(axis=1).any():
        return None
    from gtzan_jax.views import plots

    on_test = run.protocol.select_on == "test"
    accuracy, low, high = accuracy_of_best(run)
    given = run.results.get("epochs_given", run.sweep.epochs)
    to_the_end = np.broadcast_to(given, len(run.results)) == run.sweep.epochs
    considered = int(np.sum(to_the_end & ~run.results["diverged"]))
    curve = _curve(run)
    optimism = float(curve["optimism"].iloc[-1])
    names = _ON_TEST if on_test else _ON_VALIDATION
    if len(curve) > 1:
        draw(pictures, "optimism", plots.optimism(curve, *names, run.note))
    if on_test and len(curve) > 1:  # the winner's figure and interval are those of other tracks
        accuracy, low, high = (float(curve[name].iloc[-1]) for name in ("held_out", "low", "high"))
    return {
        "config": ", ".join(f"{s} {_plain(s, v)}" for s, v in by_stem(run.config()).items()),
        "alike": _alike(run),
        "considered": considered,
        "given_up": "" if to_the_end.all() else _GIVEN_UP,
        "method": selection.METHOD,
        "scope": selection.scope(len(run.manifest.split.folds), run.manifest.seeds),
        "on_test": on_test,
        "over": whose_songs(run, run.sweep.protocol),
        "apparent": float(best[f"{run.protocol.select_on}_accuracy"]),
        "trusted": accuracy,
        "low": low,
        "high": high,
        "optimism": optimism,
        "gap_of_one": float(curve["optimism"].iloc[0]),
        "growth": optimism - float(curve["optimism"].iloc[0]),
        "curve": _table(curve, names),
        "drawn": int(curve["configs"].iloc[-1]) if len(curve) > 1 else 0,
        "folds": len(run.manifest.split.folds),
        "tested": len(np.unique(run.predictions.row)),
    }


def _alike(run: FinishedRun) -> dict[str, Any]:
    """Returns how many configs are indistinguishable from the best, and how far they reach."""
    frame = run.results[run.results[INDISTINGUISHABLE]]
    parts = dict.fromkeys((run.protocol.select_on, "test"))
    return {
        "count": len(frame),
        "has_first": bool(run.results[INDISTINGUISHABLE].iloc[0]),
        "part": run.compared_on,
        "tracks": run.num_compared_on,
        "detectable": _points(run.manifest.detectable),
        "ranges": [
            f"{part} accuracies from {values.min():.2f} to {values.max():.2f}"
            for part in parts
            if len(values := frame[f"{part}_accuracy"])
        ],
    }


def detectable_difference(run: FinishedRun) -> str:
    """Returns which differences the songs and seeds of a run cannot show; "" if it is not known."""
    seeds, detectable = run.manifest.seeds, run.manifest.detectable
    if detectable is None:
        return ""
    count = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return (
        f"differences under about {_points(detectable)} cannot be seen with these "
        f"{run.num_compared_on:,} {run.compared_on} songs and {count}"
    )


def whose_songs(run: FinishedRun, protocol: str) -> str:
    """Returns which songs an interval over the songs that a protocol tests is for."""
    if PROTOCOLS[protocol].leak:
        return "songs that were trained on"
    if protocol in ARTISTS_APART:
        return "other artists"
    is_gtzan = run.manifest.data.sha256 == KAGGLE_SHA256  # whose artists a list knows
    return "other songs of such artists" if is_gtzan else "other songs like these"


def _points(accuracy: float | None) -> str:
    """Returns a difference in whole points; "" where there is none."""
    return "" if accuracy is None else counted(round(100 * accuracy), "point")


def accuracy_of_best(run: FinishedRun) -> tuple[float, float, float]:
    """Returns the best config's test accuracy and its 95 % interval, which may be NaN."""
    best, predictions = run.results.iloc[0], run.predictions
    hits = predictions.correct[run.sweep.places[best["config_id"]]].mean(axis=0)
    low, high = selection.accuracy_interval(hits, predictions.group)
    return float(best["test_accuracy"]), low, high


def _plain(stem: str, value: str) -> str:
    """Returns a value without the prefix that tells it in a config's name."""
    return value.removeprefix(AXES[stem].prefix) if stem in AXES else value


def _curve(run: FinishedRun) -> "pd.DataFrame":
    """Returns what the winner of so many configs reads, and what it reads elsewhere."""
    sound = np.isfinite(run.accuracy).all(axis=1)
    if run.protocol.select_on == "test":
        return selection.selected_on_test(run.predictions.correct[sound], run.predictions.group)
    return selection.selected_on_validation(_validation(run)[sound], run.accuracy_by_fold[sound])


def _validation(run: FinishedRun) -> np.ndarray:
    """Returns (configs, folds, seeds) validation accuracy after the best epoch, in grid order.

    Raises:
      InputError: members.csv is not what a sweep writes.
    """
    import pandas as pd

    path = run.run.members_path
    try:
        members = pd.read_csv(path)
        grid = members.pivot(
            index="config_id", columns=["fold", "seed"], values="validation_accuracy"
        )
        accuracy = grid.loc[list(run.sweep.places)].to_numpy(np.float64)
        return accuracy.reshape(run.accuracy_by_fold.shape)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: cannot be used ({reason})") from None


def _table(curve: "pd.DataFrame", names: tuple[str, str]) -> Table:
    columns = curve[["configs", "apparent", "held_out", "optimism"]]
    rows = [
        [f"{int(count):,}", f"{apparent:.4f}", f"{held_out:.4f}", points(optimism)]
        for count, apparent, held_out, optimism in columns.itertuples(index=False)
    ]
    return Table(("chosen from", *names, "difference, points"), rows)
