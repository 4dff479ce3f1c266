"""Compares our network with classical models; :mod:`gtzan_jax.baselines` lists the files."""

import functools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtzan_jax import process
from gtzan_jax.analysis import classical
from gtzan_jax.analysis.classical import Outcome, Tuned
from gtzan_jax.analysis.inference import FEWEST_SPLITS
from gtzan_jax.backends.workplace import Workplace, workplace
from gtzan_jax.files import write_atomically, write_csv
from gtzan_jax.jobs import nested
from gtzan_jax.jobs.nested import OURS
from gtzan_jax.jobs.options import BaselinesOptions
from gtzan_jax.jobs.splits import splits_of
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.manifest import as_dict
from gtzan_jax.sound.summary import load_features
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import judged_rows, unseen_genres
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS, Splits
from gtzan_jax.text import printable
from gtzan_jax.views import messages
from gtzan_jax.views.progress import PartsProgress, watch_songs

if TYPE_CHECKING:
    import pandas as pd

_TRIED, _RETRAINED = f"{OURS}: configs", f"{OURS}: winners"
_IMPORTANCE = "feature importance"
_FOLDS = ("protocol", "fold", "model", "accuracy", "validation_accuracy", "chosen")

SEGMENT_NOTE = (
    "The rows are segments, and accuracy is of songs: the segments of one vote, our networks' with "
    "the mean of their log-probabilities, the classical models' with that of their probabilities, "
    "the SVM's of its decision values. chunk_accuracy is the share of segments, mean of the folds. "
    "Settings of classical models, and the importance of features, go by segments."
)

NOTES = {
    "selection": (
        "In each fold, the settings of each model are chosen on the fold's validation part, or, "
        "where the protocol has none, on a stratified fifth of its train part; the model is then "
        "fitted to train and validation part together. Nothing is chosen by a test part. Config "
        "and epochs of our network are chosen likewise, among all of the sweep's. The accuracy of "
        "a model that draws random numbers is the mean over the seeds. The best of the other "
        "models is the one with the highest validation accuracy, mean of the folds; whichever has "
        "the highest test accuracy is chosen on the test part, and its accuracy optimistic."
    ),
    "interval": (
        "Intervals are at 95 %. Those of accuracies are over the tested tracks, of which the songs "
        "of one artist and exact repeats are a cluster. Under protocols that keep artists apart "
        f"({', '.join(ARTISTS_APART)}) they are for other artists, elsewhere for other songs of "
        "such artists; clusters allow for likeness; fitted models, train parts and seeds held "
        "fixed. A bias that all tracks share is not in them."
    ),
    "difference": (
        f"Differences are paired by track. With {FEWEST_SPLITS} folds or more their intervals "
        "include refitting (with_refitting): the corrected t over the folds, whose variance is "
        "(1/n + test/train) s² with n folds, those of repeated divisions included (Nadeau and "
        "Bengio, 2003; Bouckaert and Frank, 2004). With fewer they are of these fitted models "
        "only, over tracks as above. None is adjusted for the number of models compared."
    ),
    "seconds": (
        "fit_seconds is the mean time of a fold, choosing and all seeds included. Classical models "
        "are fitted each on one core, as many at once as there are. Our network is trained on all "
        "devices: the wall time of all folds of all protocols, compiling included, divided by "
        "their number. predict_seconds is the mean time of one network or model for a test part, "
        "scaling included; ours after a first prediction, which compiles."
    ),
    "importance": (
        "Permutation importance is the accuracy lost when one feature of the test part is "
        f"shuffled: mean of {classical.IMPORTANCE_REPEATS} shuffles in each fold, then mean and "
        "deviation over the folds; of models that draw random numbers, for the first seed. "
        "Features that carry the same information stand in for each other, so each of them seems "
        "worth less than it is."
    ),
}


@dataclass(frozen=True, eq=False)
class Baselines:
    """Results of a comparison, and their folder."""

    scores: "pd.DataFrame" = field(repr=False)  # from classical.scores_table
    folds: "pd.DataFrame" = field(repr=False)  # from classical.outcomes_table
    comparison: "pd.DataFrame" = field(repr=False)  # from classical.comparison_table
    importance: "pd.DataFrame" = field(repr=False)  # from classical.importance_table
    importance_of: str  # the protocol under which it was measured
    folder: Path


def run_baselines(request: BaselinesOptions) -> Baselines:
    """Evaluates our network and the classical models, and writes everything.

    Raises:
      InputError: the sweep, the table or the folder cannot be used.
      RunError: a network diverged.
    """
    started = time.perf_counter()
    with workplace(request.platform, workers=request.workers, scheduler=request.scheduler) as place:
        sweep = load_sweep(request.sweep, request.overrides)
        nested.check_sweep(sweep)
        table = load_features(request.data, watch_songs)
        num_folds = request.num_folds or sweep.num_folds
        all_splits = splits_of(table, request.protocol, request.split_seed, num_folds)
        folder = Path(request.workdir or directory.default_folder("baselines"))
        directory.create_folder(folder)
        messages.warn_of_table(table)
        for splits in all_splits:
            messages.warn_of_leak(splits.protocol.leak)
        sentences = [s for d in all_splits for s in (*d.left_out, *unseen_genres(table, d.folds))]
        for sentence in dict.fromkeys(sentences):
            messages.warn(sentence)
        models = classical.classical_models(request.seed)
        names = ", ".join(splits.protocol.name for splits in all_splits)
        print(printable(f"{len(models) + 1} models under {names}, from {table.source}"))
        found = compare_models(place, models, sweep, all_splits, request, folder)
        description = describe(place, models, sweep, all_splits, request)
    description["best_classical"] = best_classical(found.folds)
    description["best_chosen_on"] = "validation"
    segments = {"segments": SEGMENT_NOTE} if table.is_segmented else {}
    description["notes"] = NOTES | {"budget": budget_note(found.scores)} | segments
    description["seconds"] = round(time.perf_counter() - started, 3)
    save(found, all_splits, description)
    return found


def compare_models(
    place: Workplace,
    models: Mapping[str, Tuned],
    sweep: Sweep,
    all_splits: Sequence[Splits],
    request: BaselinesOptions,
    folder: Path,
) -> Baselines:
    """Evaluates our network and the classical models, and compares them, with progress."""
    table, folds = all_splits[0].table, [fold for d in all_splits for fold in d.folds]
    sound = [d for d in all_splits if not d.protocol.leak] or all_splits
    # The first of ARTISTS_APART, which reports prefer, else the last protocol.
    trusted = [d for name in ARTISTS_APART for d in sound if d.protocol.name == name]
    last = (trusted or sound[::-1])[0]
    parts = {_TRIED: len(folds) * sweep.num_configs * sweep.num_seeds, _RETRAINED: len(folds)}
    parts |= dict.fromkeys(models, len(folds)) | {_IMPORTANCE: 2 * len(last.folds)}
    found: dict[tuple[str, int], Outcome] = {}
    with PartsProgress(parts) as progress:
        started = time.perf_counter()
        taken = (functools.partial(progress.take, part) for part in (_TRIED, _RETRAINED))
        winners = nested.select(place, sweep, all_splits, request.seed, request.num_seeds, *taken)
        seconds = (time.perf_counter() - started) / len(folds)
        for number, (winner, fold) in enumerate(zip(winners, folds, strict=True)):
            found[OURS, number] = nested.outcome_of(winner, table, fold, seconds)
        outcomes = classical.evaluate(models, table, folds, num_seeds=request.num_seeds)
        for model, number, outcome in outcomes:
            found[model, number] = outcome
            progress.take(model)
        tabulated = classical.outcomes_table(all_splits, found, [OURS, *models])
        name = last.protocol.name
        best = best_classical(tabulated)[name]
        first = sum(len(d.folds) for d in all_splits[: all_splits.index(last)])
        numbers = range(first, first + len(last.folds))
        settings = [found[best, number].settings for number in numbers]
        fitted = classical.refit(models[best], table, last.folds, settings)
        networks = [winners[number].classifier for number in numbers]
        done = functools.partial(progress.take, _IMPORTANCE)
        drops = [
            classical.permutation_drops(estimators, table, last.folds, request.seed, done=done)
            for estimators in (fitted, networks)
        ]
    return Baselines(
        scores=classical.scores_table(tabulated),
        folds=tabulated[list(_FOLDS)].round(7),
        comparison=classical.comparison_table(tabulated, OURS),
        importance=classical.importance_table(table.features, *drops),
        importance_of=name,
        folder=folder,
    )


def best_classical(folds: "pd.DataFrame") -> dict[str, str]:
    """Returns the best model but ours on the validation parts, by protocol; ties to the first."""
    others = folds[folds["model"] != OURS].groupby(["protocol", "model"], sort=False)
    by_protocol = others["validation_accuracy"].mean().groupby("protocol", sort=False)
    return {str(name): str(means.droplevel("protocol").idxmax()) for name, means in by_protocol}


def budget_note(scores: "pd.DataFrame") -> str:
    """Returns sentences on the number of settings tried."""
    tried = scores.set_index("model")["settings_tried"]
    ours, others = tried[[OURS]].max(), tried.drop(OURS)
    span = " to ".join(dict.fromkeys(f"{count:,}" for count in (others.min(), others.max())))
    note = (
        f"Settings tried: in each fold our network is chosen among {ours:,} (configs × epochs), "
        f"each of the other models among {span}."
    )
    if others.min() <= ours <= others.max():
        return note
    luckier = "our network" if ours > others.max() else "the other models"
    return f"{note} The budgets are unequal: this favours {luckier}."


def describe(
    place: Workplace,
    models: Mapping[str, Tuned],
    sweep: Sweep,
    all_splits: Sequence[Splits],
    request: BaselinesOptions,
) -> dict[str, Any]:
    """Returns the part of baselines.json on what is compared."""
    # Not the sweep but the request determines the protocol.
    constants = {k: v for k, v in sweep.to_dict().items() if k not in ("protocol", "num_folds")}
    seeds = range(request.seed, request.seed + request.num_seeds)
    return {
        "command": request.command,
        "data": as_dict(directory.describe_data(all_splits[0].table, request.data)),
        "protocols": [
            {
                "name": splits.protocol.name,
                "summary": splits.note,
                "folds": len(splits.folds),
                "tested": len(
                    {row for f in splits.folds for row in judged_rows(splits.table, f.test)}
                ),
                "artists_apart": splits.protocol.name in ARTISTS_APART,
                "left_out": list(splits.left_out),
                "note": splits.protocol.note,
                "leak": splits.protocol.leak,
            }
            for splits in all_splits
        ],
        "split_seed": request.split_seed,
        "seed": request.seed,
        "models": {
            name: {"estimator": " ".join(str(tuned.estimator.steps[-1][1]).split())}
            | {"grid": {key.rpartition("__")[2]: values for key, values in tuned.grid.items()}}
            for name, tuned in models.items()
        },
        "ours": {
            "name": OURS,
            "sweep": sweep.name,
            "configs": sweep.num_configs,
            "settings": constants,
            "seeds": list(seeds),
        },
        "platform": place.platform,
        "devices": list(place.devices),
        "versions": process.versions(),
    }


def save(found: Baselines, all_splits: Sequence[Splits], description: Mapping[str, Any]) -> None:
    """Writes tables, figures and description."""
    import pandas as pd

    from gtzan_jax.views import plots

    table, folder = all_splits[0].table, found.folder
    frames = {
        "baselines": found.scores,
        "folds": found.folds,
        "comparison": found.comparison,
        "importance": found.importance,
    }
    marks = {d.protocol.name: d.marks for d in all_splits}
    for name, frame in frames.items():
        protocols = frame.get("protocol", [found.importance_of] * len(frame))
        of_rows = pd.DataFrame([marks[protocol] for protocol in protocols], index=frame.index)
        write_csv(folder / f"{name}.csv", frame.join(of_rows))
    best = best_classical(found.folds)[found.importance_of]
    caption = next(d.caption for d in all_splits if d.protocol.name == found.importance_of)
    leaky = [d.protocol.name for d in all_splits if d.protocol.leak]
    figures = {
        "baselines": plots.accuracy_by_protocol(
            found.scores, ARTISTS_APART, OURS, table.note(), leaky
        ),
        "importance": plots.feature_importance(found.importance, best, OURS, caption),
    }
    for name, figure in figures.items():
        write_atomically(folder / f"{name}.png", plots.image_of(figure))
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "baselines.json", text + "\n")


def summary(found: Baselines) -> str:
    """Returns the accuracies, the best model on average first, in lines of at most 80 letters."""
    protocols = found.scores["protocol"].unique()
    table = found.scores.pivot(index="model", columns="protocol", values="accuracy")[protocols]
    table = table.loc[table.mean(axis=1).sort_values(ascending=False).index]
    # Heads stand over two lines, since all protocols side by side are too wide otherwise.
    texts = [
        [*str(name).rpartition("_")[::2], *map("{:.3f}".format, column)]
        for name, column in table.items()
    ]
    left = ["", "model", *table.index]
    columns = [[f"{text:<{max(map(len, left))}} " for text in left]]
    columns += [[f"{text:>{max(map(len, cells))}}" for text in cells] for cells in texts]
    lines = [
        *(" ".join(cells).rstrip() for cells in zip(*columns, strict=True)),
        "(accuracy on the test parts; baselines.csv has the 95 % intervals)",
        *(f"{name}: {PROTOCOLS[name].leak}" for name in protocols if PROTOCOLS[name].leak),
        printable(f"results in {found.folder}"),
    ]
    return "\n".join(lines)
