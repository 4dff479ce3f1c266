"""The section with all configurations: a table to sort and filter, and a heatmap."""

import math

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.views.sections.effects import runs_word
from gtzan_jax.views.sections.section import Section, code, figure, paragraph
from gtzan_jax.views.text import counted


def table_section(run: FinishedRun) -> Section:
    """Makes the section with all configs; the page's script shows their rows."""
    from gtzan_jax.views import plots

    frame, axes = run.results.drop(columns=["data", "leak"], errors="ignore"), run.sweep.axes
    frame[INDISTINGUISHABLE] = frame[INDISTINGUISHABLE].map({True: "yes", False: "no"})
    first = [m for m in run.metrics if m.endswith("accuracy") and not m.startswith("train")]
    # Accuracies first, where a narrow screen shows them.
    front = [other for name in first for other in (name, f"{name}_std") if other in frame]
    others = [name for name in run.metrics if name not in first]
    columns = ["rank", *front, INDISTINGUISHABLE, *axes, *others]
    columns += [n for n in ("epochs_given", "best_epoch", "last_epoch") if n in frame]
    columns += [*(["diverged"] if frame["diverged"].any() else []), "config_id"]
    rows = {
        "columns": columns,
        "rows": [
            [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
            for row in frame[columns].itertuples(index=False)
        ],
        "choices": {**run.sweep.varying, INDISTINGUISHABLE: ["yes", "no"]},
        "decimals": [*front, *others],
    }
    # Configs that a search gave up are left out: accuracies after few epochs do not compare.
    given = run.results.get("epochs_given", run.sweep.epochs)
    sound = run.results[~run.results["diverged"] & (given == run.sweep.epochs)]
    listed = {n: v for n, v in run.sweep.varying.items() if n not in run.sweep.ranges}
    parts = []
    if listed and not sound.empty:
        whose = "Those given all epochs" if "epochs_given" in frame else "All of them"
        alt = "Heatmap of mean test accuracy over pairs of values"
        caption = "Each cell is the mean of all configurations that have both values."
        drawn = figure("pairs", plots.pair_heatmap(sound, listed, run.note), alt, caption)
        parts = [Section(f"{whose} by pairs of values", figures=[drawn], folded=True)]
    text = [paragraph(*_ranking(run))]
    return Section("All configurations", text, rows=rows, parts=parts, name="table")


def _ranking(run: FinishedRun) -> list[str]:
    part, num_runs, results = run.protocol.select_on, run.accuracy.shape[1], run.results
    when = f"after {counted(run.sweep.epochs, 'epoch')}"
    if "best_epoch" in results:
        when = "at the epochs kept by early stopping"
    over = f", the mean over {num_runs} {runs_word(run)}" if num_runs > 1 else ""
    words = [f"Ranked by the accuracy on the {part} part {when}{over}, then by the loss there."]
    if "epochs_given" in results:
        gave_up = " epochs rank behind, the earlier the later."
        words.append("Those that the search gave up after " + code("epochs_given") + gave_up)
    if part == "test":
        words.append("It is the part that is reported as well.")
    if diverged := int(results["diverged"].sum()):
        words.append(f"{diverged} of {counted(len(results), 'configuration')} diverged: last.")
    return words
