"""Comparison of our network with classical models; :mod:`gtzan_jax.baselines` lists the files."""

import dataclasses
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
from gtzan_jax.analysis.classical import Outcome, Tuned
from gtzan_jax.analysis.inference import FEWEST_SPLITS
from gtzan_jax.analysis.selection import others
from gtzan_jax.backends.backend import Backend, open_backend
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_atomically, write_csv
from gtzan_jax.inference.songs import load_features
from gtzan_jax.jobs import nested
from gtzan_jax.jobs.nested import OURS, RETRAINED, TRIED
from gtzan_jax.jobs.options import ALL_PROTOCOLS, BaselinesOptions
from gtzan_jax.rundir import directory
from gtzan_jax.rundir.manifest import as_dict
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.dividing import repeats_of, with_validation
from gtzan_jax.tables.folds import judged_rows, unseen_genres
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS, Splits, make_splits
from gtzan_jax.tables.schema import FeatureTable, Words
from gtzan_jax.text import printable
from gtzan_jax.views import messages
from gtzan_jax.views.progress import PartsProgress, watch_songs

if TYPE_CHECKING:
    import pandas as pd

_IMPORTANCE = "feature importance"
_FOLDS = ("protocol", "fold", "model", "accuracy", "validation_accuracy", "chosen")

SEGMENT_NOTE = (
    "Rows are segments; accuracy is of songs, whose segments vote: by mean log-probability (our "
    "networks), probability or decision value (SVM). segment_accuracy, settings and importances "
    "are of segments."
)

NOTES = {
    "selection": (
        "Each fold selects the settings of every model, and the config and epochs of our network, "
        "on its validation part (if the protocol has none, on a stratified fifth of the train "
        "part), then fits it to both parts. Nothing is selected on a test part; the best other "
        "model has the highest mean validation accuracy. Accuracies of models that draw random "
        "numbers are means over the seeds."
    ),
    "interval": (
        "95 % intervals of accuracies: over the tested {rows}, with each set of {clusters} as one "
        "cluster, for these fitted models, train parts and seeds. They are for {whose}."
    ),
    "difference": (
        f"Differences are paired by {{row}}. From {FEWEST_SPLITS} folds on, their intervals "
        "include refitting (with_refitting): corrected t over the folds, variance "
        "(1/n + test/train) s² (Nadeau and Bengio, 2003; Bouckaert and Frank, 2004). With fewer "
        "they are over {rows}, for these fitted models. None is adjusted for the number of models."
    ),
    "seconds": (
        "fit_seconds: mean time of a fold, selection and all seeds included; our network on all "
        "devices, with compiling and testing, the others on one core. predict_seconds: mean time "
        "of one fitted model for a test part."
    ),
    "importance": (
        "Permutation importance: accuracy lost when one feature of the test part is shuffled (mean "
        f"of {classical.IMPORTANCE_REPEATS} shuffles a fold, then mean and deviation over the "
        "folds; first seed). Features with the same information seem less important than they are."
    ),
}


def notes_for(words: Words, is_of_songs: bool) -> dict[str, str]:
    """Returns the notes on a comparison; ``words`` are the table's."""
    clusters, whose = "exact repeats", f"{others(words)} like these"
    if words.is_grouped:
        clusters, whose = f"{words.rows} of one {words.group}", others(words)
    elif is_of_songs:
        clusters = "songs of one artist, or of exact repeats,"
        whose = (
            f"other artists under protocols that keep artists apart ({', '.join(ARTISTS_APART)}), "
            "for other songs of such artists elsewhere"
        )
    fields = words._asdict() | {"clusters": clusters, "whose": whose}
    return {name: note.format(**fields) for name, note in NOTES.items()}


@dataclass(frozen=True, eq=False)
class Baselines:
    """Results of a comparison, and their folder."""

    scores: "pd.DataFrame" = field(repr=False)  # from classical.scores_table
    folds: "pd.DataFrame" = field(repr=False)  # from classical.outcomes_table
    comparison: "pd.DataFrame" = field(repr=False)  # from classical.comparison_table
    importance: "pd.DataFrame" = field(repr=False)  # from classical.importance_table
    importance_of: str  # the protocol of the importances
    folder: Path


def run_baselines(request: BaselinesOptions) -> Baselines:
    """Evaluates our network and the classical models; writes the results.

    Raises:
      RunError: a network diverged.
    """
    started = time.perf_counter()
    with open_backend(
        request.platform, workers=request.workers, scheduler=request.scheduler
    ) as backend:
        sweep = load_sweep(request.sweep, request.overrides)
        nested.check_sweep(sweep)
        table = load_features(request.data, watch_songs, request.columns)
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
        models = classical.classical_models(request.seed, table.columns.impute)
        names = ", ".join(splits.protocol.name for splits in all_splits)
        print(printable(f"{len(models) + 1} models under {names}, from {table.source}"))
        found = compare_models(backend, models, sweep, all_splits, request, folder)
        description = describe(backend, models, sweep, all_splits, request, found)
    description["seconds"] = round(time.perf_counter() - started, 3)
    save(found, all_splits, description)
    return found


def splits_of(table: FeatureTable, protocol: str, split_seed: int, num_folds: int) -> list[Splits]:
    """Splits a table by a protocol, or by all; each fold has a validation part.

    "all" leaves out protocols whose list of tracks does not fit the table, with a warning; the
    leaky one, unless rows are segments; and protocols by artist for a table without songs.
    """
    fitting = [
        name
        for name, p in PROTOCOLS.items()
        if (table.is_segmented or not p.leak) and (table.is_of_songs or not p.goes_by)
    ]
    all_splits = []
    for name in fitting if protocol == ALL_PROTOCOLS else [protocol]:
        try:
            splits = make_splits(table, name, split_seed, num_folds)
        except InputError as error:
            if protocol != ALL_PROTOCOLS or not PROTOCOLS[name].goes_by:
                raise
            messages.warn(f"{name} is left out: {error}")
            continue
        together = repeats_of(table)
        if splits.protocol.leak:
            together = np.arange(len(table.y), dtype=np.int32)
        folds = tuple(with_validation(table, fold, split_seed, together) for fold in splits.folds)
        all_splits.append(dataclasses.replace(splits, folds=folds))
        all_splits[-1].arrays  # noqa: B018 — refuses features that cannot be standardised
    return all_splits


def compare_models(
    backend: Backend,
    models: Mapping[str, Tuned],
    sweep: Sweep,
    all_splits: Sequence[Splits],
    request: BaselinesOptions,
    folder: Path,
) -> Baselines:
    """Evaluates and compares our network and the classical models, with progress."""
    table, folds = all_splits[0].table, [fold for d in all_splits for fold in d.folds]
    sound = [d for d in all_splits if not d.protocol.leak] or all_splits
    # The first of ARTISTS_APART, which reports prefer, else the last protocol.
    trusted = [d for name in ARTISTS_APART for d in sound if d.protocol.name == name]
    last = (trusted or sound[::-1])[0]
    parts = {TRIED: len(folds) * sweep.num_configs * sweep.num_seeds, RETRAINED: len(folds)}
    parts |= dict.fromkeys(models, len(folds)) | {_IMPORTANCE: 2 * len(last.folds)}
    found: dict[tuple[str, int], Outcome] = {}
    with PartsProgress(parts) as progress:
        ours = nested.evaluate(
            backend, sweep, all_splits, request.seed, request.num_seeds, progress.take
        )
        for number, (outcome, _) in enumerate(ours):
            found[OURS, number] = outcome
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
        networks = [ours[number][1] for number in numbers]
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
    """Returns the best other model by validation accuracy, by protocol; of ties the first."""
    others = folds[folds["model"] != OURS].groupby(["protocol", "model"], sort=False)
    by_protocol = others["validation_accuracy"].mean().groupby("protocol", sort=False)
    return {str(name): str(means.droplevel("protocol").idxmax()) for name, means in by_protocol}


def budget_note(scores: "pd.DataFrame") -> str:
    """Returns a sentence on the number of settings tried."""
    tried = scores.set_index("model")["settings_tried"]
    ours, others = tried[[OURS]].max(), tried.drop(OURS)
    span = " to ".join(dict.fromkeys(f"{count:,}" for count in (others.min(), others.max())))
    unequal = not others.min() <= ours <= others.max()
    favoured = "our network" if ours > others.max() else "the other models"
    return (
        f"Settings tried in each fold: {ours:,} (configs × epochs) for our network, {span} for "
        "each other model." + f" The unequal budgets favour {favoured}." * unequal
    )


def describe(
    backend: Backend,
    models: Mapping[str, Tuned],
    sweep: Sweep,
    all_splits: Sequence[Splits],
    request: BaselinesOptions,
    found: Baselines,
) -> dict[str, Any]:
    """Returns the content of baselines.json."""
    table = all_splits[0].table
    apart = "artist" if table.is_of_songs else "group"
    # The request sets the protocol, not the sweep.
    constants = {k: v for k, v in sweep.to_dict().items() if k not in ("protocol", "num_folds")}
    protocols = [
        {
            "name": splits.protocol.name,
            "summary": splits.note,
            "folds": len(splits.folds),
            "tested": len({row for f in splits.folds for row in judged_rows(table, f.test)}),
            f"{apart}s_apart": splits.protocol.is_apart(table.words),
            "left_out": list(splits.left_out),
            "note": splits.protocol.note_for(table.words),
            "leak": splits.protocol.leak,
        }
        for splits in all_splits
    ]
    segments = {"segments": SEGMENT_NOTE} if table.is_segmented else {}
    notes = notes_for(table.words, table.is_of_songs) | {"budget": budget_note(found.scores)}
    return {
        "command": request.command,
        "data": as_dict(directory.describe_data(table, request.data)),
        "protocols": protocols,
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
            "seeds": list(range(request.seed, request.seed + request.num_seeds)),
        },
        "platform": backend.platform,
        "devices": list(backend.devices),
        "versions": process.versions(),
        "best_classical": best_classical(found.folds),
        "best_chosen_on": "validation",
        "notes": notes | segments,
    }


def save(found: Baselines, all_splits: Sequence[Splits], description: Mapping[str, Any]) -> None:
    """Writes tables, figures and description."""
    import pandas as pd

    from gtzan_jax.views import plots

    table, folder = all_splits[0].table, found.folder
    marks = {d.protocol.name: d.marks for d in all_splits}
    for name in ("scores", "folds", "comparison", "importance"):
        frame = getattr(found, name)
        protocols = frame.get("protocol", [found.importance_of] * len(frame))
        of_rows = pd.DataFrame([marks[protocol] for protocol in protocols], index=frame.index)
        write_csv(folder / f"{name.replace('scores', 'baselines')}.csv", frame.join(of_rows))
    best = best_classical(found.folds)[found.importance_of]
    caption = next(d.caption for d in all_splits if d.protocol.name == found.importance_of)
    leaky = [d.protocol.name for d in all_splits if d.protocol.leak]
    words = table.words
    apart = [d.protocol.name for d in all_splits if d.protocol.is_apart(words)]
    overview = plots.accuracy_by_protocol(found.scores, apart, OURS, table.note(), leaky, words)
    write_atomically(folder / "baselines.png", plots.image_of(overview))
    importance = plots.feature_importance(found.importance, best, OURS, caption)
    write_atomically(folder / "importance.png", plots.image_of(importance))
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "baselines.json", text + "\n")


def summary(found: Baselines) -> str:
    """Returns the accuracies, best mean first, in lines of at most 80 letters."""
    protocols = found.scores["protocol"].unique()
    table = found.scores.pivot(index="model", columns="protocol", values="accuracy")[protocols]
    table = table.loc[table.mean(axis=1).sort_values(ascending=False).index]
    # Headings take two lines: all protocols side by side are too wide otherwise.
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
