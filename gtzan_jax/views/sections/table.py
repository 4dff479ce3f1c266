"""The report's section on all configurations: a table to sort and filter, and a heatmap."""

import math

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.views.sections.effects import runs_word
from gtzan_jax.views.sections.section import Section, code, figure, paragraph
from gtzan_jax.views.text import counted


def table_section(run: FinishedRun) -> Section:
    """Makes the section on all configs; the page's script shows the rows."""
    from gtzan_jax.views import plots

    frame = run.results.drop(columns=["data", "leak"], errors="ignore")
    frame[INDISTINGUISHABLE] = frame[INDISTINGUISHABLE].map({True: "yes", False: "no"})
    accuracies = [m for m in run.metrics if m.endswith("accuracy") and not m.startswith("train")]
    front = [name for one in accuracies for name in (one, f"{one}_std") if name in frame]
    first = ["rank", *front, INDISTINGUISHABLE, *run.sweep.varying]
    first += ["epochs_given"] if "epochs_given" in frame else []
    first += ["diverged"] if frame["diverged"].any() else []
    others = [name for name in run.metrics if name not in accuracies]
    rest = [name for name in run.sweep.axes if name not in run.sweep.varying] + others
    rest += [name for name in ("best_epoch", "last_epoch") if name in frame] + ["config_id"]
    rows = {
        "columns": first + rest,
        "shown": len(first),  # the rest on demand
        "rows": [
            [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
            for row in frame[first + rest].itertuples(index=False)
        ],
        "choices": {**run.sweep.varying, INDISTINGUISHABLE: ["yes", "no"]},
        "decimals": [*front, *others],
    }
    # Accuracies after fewer epochs, of configs that a search gave up, do not compare.
    given = run.results.get("epochs_given", run.sweep.epochs)
    sound = run.results[~run.results["diverged"] & (given == run.sweep.epochs)]
    listed = {n: v for n, v in run.sweep.varying.items() if n not in run.sweep.ranges}
    parts = []
    if listed and not sound.empty:
        whose = ", of those given all epochs" if "epochs_given" in frame else ""
        alt = "Heatmap of mean test accuracy over pairs of values"
        drawn = figure("pairs", plots.pair_heatmap(sound, listed, run.note), alt)
        parts = [Section(f"Mean accuracy by pairs of values{whose}", figures=[drawn], folded=True)]
    text = [paragraph(*_ranking(run))]
    return Section("All configurations", text, rows=rows, parts=parts, name="configurations")


def _ranking(run: FinishedRun) -> list[str]:
    part, num_runs, results = run.protocol.select_on, run.accuracy.shape[1], run.results
    when = f"after {counted(run.sweep.epochs, 'epoch')}"
    if "best_epoch" in results:
        when = "at the epochs kept by early stopping"
    over = f", the mean over {num_runs} {runs_word(run)}" if num_runs > 1 else ""
    words = [f"Ranked by accuracy on the {part} part {when}{over}, then by loss."]
    if part == "test":
        words.append("The test part is also the reported one.")
    if "epochs_given" in results:
        behind = " epochs rank behind, the fewest epochs last."
        words.append("Those that the search gave up after " + code("epochs_given") + behind)
    if diverged := int(results["diverged"].sum()):
        words.append(f"{diverged} of {counted(len(results), 'configuration')} diverged: last.")
    return words
