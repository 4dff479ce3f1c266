"""Compares our network with classical models under the protocols, each tuned within each fold.

Writes into its folder:

baselines.csv    one row a protocol and model: accuracy with its interval, seconds
folds.csv        one row a fold and model: accuracies, what was chosen
comparison.csv   our network against each other model, paired by track, with intervals
importance.csv   what the features are worth to the best of the other models and to our network
baselines.json   what was run, on what, with what, and how to read it
baselines.png, importance.png
"""

import functools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax import process
from gtzan_jax.analysis import classical
from gtzan_jax.analysis.classical import Judged, Outcome, Tuned
from gtzan_jax.analysis.inference import FEWEST_SPLITS
from gtzan_jax.backends.workplace import Workplace, workplace
from gtzan_jax.files import write_atomically, write_csv
from gtzan_jax.jobs.contender import OURS, Contender, Winner, check_sweep, outcome_of
from gtzan_jax.jobs.divisions import divisions_of
from gtzan_jax.jobs.options import BaselinesOptions
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.manifest import as_dict
from gtzan_jax.sound.summary import load_features
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.folds import judged_rows, unseen_genres
from gtzan_jax.tables.protocols import (
    ARTISTS_APART,
    PROTOCOLS,
    Division,
    groups_of,
)
from gtzan_jax.text import printable
from gtzan_jax.views import messages
from gtzan_jax.views.progress import PartsProgress, watch_songs

if TYPE_CHECKING:
    import pandas as pd

_TRIED, _RETRAINED = f"{OURS}: configs", f"{OURS}: winners"
CHUNK_NOTE = (
    "The rows are chunks, and accuracy is of songs: the chunks of one vote, our networks' with the "
    "mean of their log-probabilities, the classical models' with that of their probabilities, the "
    "SVM's of its decision values. chunk_accuracy is the share of chunks, mean of the folds. "
    "Settings of classical models, and the importance of features, go by chunks."
)

_IMPORTANCE = "feature importance"

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
    """What was found, and where it was written."""

    scores: "pd.DataFrame" = field(repr=False)  # from classical.scores_table
    folds: "pd.DataFrame" = field(repr=False)  # from classical.folds_table
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
        return _run_at(place, request, started)


def _run_at(place: Workplace, request: BaselinesOptions, started: float) -> Baselines:
    sweep = load_sweep(request.sweep, request.overrides)
    check_sweep(sweep)
    table = load_features(request.data, watch_songs)
    num_folds = request.num_folds or sweep.num_folds
    divisions = divisions_of(table, request.protocol, request.split_seed, num_folds)
    folder = Path(request.workdir or directory.default_folder("baselines"))
    directory.create_folder(folder)
    messages.warn_of_table(table)
    for division in divisions:
        messages.warn_of_leak(division.protocol.leak)
    sentences = [s for d in divisions for s in (*d.left_out, *unseen_genres(table, d.folds))]
    for sentence in dict.fromkeys(sentences):
        messages.warn(sentence)
    models = classical.classical_models(request.seed)
    names = ", ".join(division.protocol.name for division in divisions)
    print(printable(f"{len(models) + 1} models under {names}, from {table.source}"))
    found = compare_models(place, models, sweep, divisions, request, folder)
    notes = NOTES | {"budget": budget_note(found.scores)}
    description = describe(place, models, sweep, divisions, request) | {
        "best_classical": best_classical(found.folds),
        "best_chosen_on": "validation",
        "notes": notes | ({"chunks": CHUNK_NOTE} if table.is_chunked else {}),
        "seconds": round(time.perf_counter() - started, 3),
    }
    save(found, divisions, description)
    return found


def compare_models(
    place: Workplace,
    models: Mapping[str, Tuned],
    sweep: Sweep,
    divisions: Sequence[Division],
    request: BaselinesOptions,
    folder: Path,
) -> Baselines:
    """Evaluates our network and the classical models, showing progress, and compares them."""
    count = sum(len(division.folds) for division in divisions)
    sound = [d for d in divisions if not d.protocol.leak] or divisions
    # The one that reports trust; of protocols that keep no artists apart the last.
    trusted = [d for name in ARTISTS_APART for d in sound if d.protocol.name == name]
    last = (trusted or sound[::-1])[0]
    parts = {_TRIED: count * sweep.num_configs * sweep.num_seeds, _RETRAINED: count}
    parts |= dict.fromkeys(models, count) | {_IMPORTANCE: 2 * len(last.folds)}
    with PartsProgress(parts) as progress:
        ours, winners = evaluate_ours(place, sweep, divisions, request, progress)
        others = evaluate_others(models, divisions, request.num_seeds, progress)
        judged = judge(divisions, ours, others)
        scores = classical.scores_table(judged)
        name, table, folds = last.protocol.name, last.table, last.folds
        of_folds = classical.folds_table(judged)
        best = best_classical(of_folds)[name]
        fitted = classical.refit(models[best], table, folds, judged[name].outcomes[best])
        networks = [winner.classifier for winner in winners[divisions.index(last)]]
        done = functools.partial(progress.take, _IMPORTANCE)
        drops = [
            classical.permutation_drops(estimators, table, folds, request.seed, done=done)
            for estimators in (fitted, networks)
        ]
    importance = classical.importance_table(table.features, *drops)
    comparison = classical.comparison_table(judged, OURS)
    return Baselines(scores, of_folds, comparison, importance, name, folder)


def evaluate_ours(
    place: Workplace,
    sweep: Sweep,
    divisions: Sequence[Division],
    request: BaselinesOptions,
    progress: PartsProgress,
) -> tuple[list[list[Outcome]], list[list[Winner]]]:
    """Returns, for each division and fold, how our network did, and the network itself."""
    started = time.perf_counter()
    winners = []
    with Contender(place, sweep, divisions, request.seed, request.num_seeds) as contender:
        for division in divisions:
            choices = contender.choose(division, functools.partial(progress.take, _TRIED))
            retrained = functools.partial(progress.take, _RETRAINED)
            winners.append(contender.retrain(division, choices, retrained))
    seconds = (time.perf_counter() - started) / sum(map(len, winners))
    outcomes = [
        [
            outcome_of(winner, division.table, fold, seconds)
            for winner, fold in zip(of_folds, division.folds, strict=True)
        ]
        for division, of_folds in zip(divisions, winners, strict=True)
    ]
    return outcomes, winners


def evaluate_others(
    models: Mapping[str, Tuned],
    divisions: Sequence[Division],
    num_seeds: int,
    progress: PartsProgress,
) -> list[dict[str, list[Outcome]]]:
    """Returns, for each division, how every classical model did on each fold."""
    folds = [fold for division in divisions for fold in division.folds]
    found: dict[tuple[str, int], Outcome] = {}
    outcomes = classical.evaluate(models, divisions[0].table, folds, num_seeds=num_seeds)
    for model, place, outcome in outcomes:
        found[model, place] = outcome
        progress.take(model)
    ends = np.cumsum([len(division.folds) for division in divisions])
    places = np.split(np.arange(len(folds)), ends[:-1])
    return [{name: [found[name, i] for i in mine] for name in models} for mine in places]


def judge(
    divisions: Sequence[Division],
    ours: Sequence[list[Outcome]],
    others: Sequence[dict[str, list[Outcome]]],
) -> dict[str, Judged]:
    """Puts the outcomes of every protocol together, with the groups of its test rows."""
    table, group = divisions[0].table, groups_of(divisions[0].table)
    return {
        d.protocol.name: Judged(
            {OURS: mine} | theirs,
            group[np.concatenate([judged_rows(table, fold.test) for fold in d.folds])],
            float(np.mean([f.test.size / (f.train.size + f.validation.size) for f in d.folds])),
        )
        for d, mine, theirs in zip(divisions, ours, others, strict=True)
    }


def best_classical(folds: "pd.DataFrame") -> dict[str, str]:
    """Returns the model beside ours that is best on the validation parts, by protocol.

    Args:
      folds: as in :class:`Baselines`; of equally good models the first counts.
    """
    others = folds[folds["model"] != OURS].groupby(["protocol", "model"], sort=False)
    by_protocol = others["validation_accuracy"].mean().groupby("protocol", sort=False)
    return {str(name): str(means.droplevel("protocol").idxmax()) for name, means in by_protocol}


def budget_note(scores: "pd.DataFrame") -> str:
    """Returns sentences on the settings tried. scores: as in :class:`Baselines`."""
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
    divisions: Sequence[Division],
    request: BaselinesOptions,
) -> dict[str, Any]:
    """Returns what baselines.json says before the results."""
    # The sweep has no say here in how the songs are divided.
    constants = {k: v for k, v in sweep.to_dict().items() if k not in ("protocol", "num_folds")}
    seeds = range(request.seed, request.seed + request.num_seeds)
    return {
        "command": request.command,
        "data": as_dict(directory.describe_data(divisions[0].table, request.data)),
        "protocols": [
            {
                "name": division.protocol.name,
                "summary": division.note,
                "folds": len(division.folds),
                "tested": len(
                    {row for f in division.folds for row in judged_rows(division.table, f.test)}
                ),
                "artists_apart": division.protocol.name in ARTISTS_APART,
                "left_out": list(division.left_out),
                "note": division.protocol.note,
                "leak": division.protocol.leak,
            }
            for division in divisions
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


def save(found: Baselines, divisions: Sequence[Division], description: Mapping[str, Any]) -> None:
    """Writes the tables, the figures and the description."""
    import pandas as pd

    from gtzan_jax.views import plots

    table, folder = divisions[0].table, found.folder
    frames = {
        "baselines": found.scores,
        "folds": found.folds,
        "comparison": found.comparison,
        "importance": found.importance,
    }
    marks = {d.protocol.name: d.marks for d in divisions}
    for name, frame in frames.items():
        protocols = frame.get("protocol", [found.importance_of] * len(frame))
        of_rows = pd.DataFrame([marks[protocol] for protocol in protocols], index=frame.index)
        write_csv(folder / f"{name}.csv", frame.join(of_rows))
    best = best_classical(found.folds)[found.importance_of]
    caption = next(d.caption for d in divisions if d.protocol.name == found.importance_of)
    leaky = [d.protocol.name for d in divisions if d.protocol.leak]
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
    """Returns the accuracy of every model under every protocol, and where everything is."""
    protocols = found.scores["protocol"].unique()
    lines = [
        *_table_of_accuracies(found.scores),
        "(accuracy on the test parts; baselines.csv has the 95 % intervals)",
        *(f"{name}: {PROTOCOLS[name].leak}" for name in protocols if PROTOCOLS[name].leak),
        printable(f"results in {found.folder}"),
    ]
    return "\n".join(lines)


def _table_of_accuracies(scores: "pd.DataFrame") -> list[str]:
    """Returns lines of at most 80 letters, the best model on average first."""
    table = scores.pivot(index="model", columns="protocol", values="accuracy")
    table = table[scores["protocol"].unique()]
    table = table.loc[table.mean(axis=1).sort_values(ascending=False).index]
    # Heads stand over two lines, since all protocols side by side are too wide otherwise.
    texts = [
        [*str(name).rpartition("_")[::2], *map("{:.3f}".format, column)]
        for name, column in table.items()
    ]
    left = ["", "model", *table.index]
    columns = [[f"{text:<{max(map(len, left))}} " for text in left]]
    columns += [[f"{text:>{max(map(len, cells))}}" for text in cells] for cells in texts]
    return [" ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
