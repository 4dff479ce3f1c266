"""The section with all configurations: a table to sort and filter, and two pictures."""

import math
from typing import Any

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.ranking import INDISTINGUISHABLE
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.text import Table

_TOP = 20
_EPOCHS = ("epochs_given", "best_epoch", "last_epoch")


def table_section(run: FinishedRun, pictures: Pictures) -> dict[str, Any]:
    """Returns the best configs for the twin, and all of them for the page."""
    frame = run.results.drop(columns=["data", "leak"], errors="ignore")
    frame[INDISTINGUISHABLE] = frame[INDISTINGUISHABLE].map({True: "yes", False: "no"})
    metrics = run.metrics
    first = [m for m in metrics if m.endswith("accuracy") and not m.startswith("train")]
    # The accuracies stand in front, where a narrow screen shows them.
    front = [other for name in first for other in (name, f"{name}_std") if other in frame]
    others = [name for name in metrics if name not in first]
    epochs = [name for name in _EPOCHS if name in frame]
    shown = ["rank", *front, INDISTINGUISHABLE, *run.sweep.axes, *others, *epochs]
    columns = [*shown, "diverged", "config_id"]
    if not frame["diverged"].any():
        columns.remove("diverged")
    rows = [
        [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
        for row in frame[columns].itertuples(index=False)
    ]
    _draw(run, pictures)
    return {
        "top": Table.of(frame[shown].head(_TOP).astype(dict.fromkeys(epochs, str))),
        "all_rows": {
            "columns": columns,
            "rows": rows,
            "choices": {**run.sweep.varying, INDISTINGUISHABLE: ["yes", "no"]},
            "decimals": [*front, *others],
        },
    }


def _draw(run: FinishedRun, pictures: Pictures) -> None:
    from gtzan_jax.views import plots

    # Figures of few epochs say nothing beside those of all: what a search gave up is left out.
    given = run.results.get("epochs_given", run.sweep.epochs)
    sound = run.results[~run.results["diverged"] & (given == run.sweep.epochs)]
    if sound.empty or not run.sweep.varying:
        return
    draw(pictures, "parallel", plots.parallel_coordinates(sound, run.sweep.axes, run.note))
    if listed := {n: v for n, v in run.sweep.varying.items() if n not in run.sweep.ranges}:
        draw(pictures, "pairs", plots.pair_heatmap(sound, listed, run.note))
