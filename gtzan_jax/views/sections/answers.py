"""The first screen: what was swept, and the number to trust with how sure one can be of it."""

import math
from typing import TYPE_CHECKING, Any

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import split_note
from gtzan_jax.views.sections.pictures import Pictures, draw
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    import pandas as pd

Section = dict[str, Any] | None


def answers_section(
    run: FinishedRun, selected: Section, retrained: Section, classical: Section, pictures: Pictures
) -> dict[str, Any]:
    """Draws accuracy by protocol where baselines of its kind have several, else what the run has.

    Args:
      run: the run.
      selected: from ``selection_section``.
      retrained: from ``retrained_section``.
      classical: from ``classical_section``.
      pictures: gets the picture.
    """
    from gtzan_jax.views import plots

    # The network of baselines is one for tables: its figures are none of a network on spectrograms.
    is_ours = run.sweep.family == "mlp"
    several = classical is not None and len(classical["protocols"]) > 1 and is_ours
    if classical and several:
        draw(pictures, "accuracy_by_protocol", plots.accuracy_rows(classical["by_protocol"]))
    elif selected:
        rows = _rows(len(run.results), selected, retrained)
        draw(pictures, "accuracies", plots.accuracy_rows(rows))
    split = run.manifest.split
    return {
        "swept": _swept(run),
        "how": split_note(run.sweep.protocol, split.seed, len(split.folds)),
        "by_protocol": several,
    }


def _swept(run: FinishedRun) -> str:
    """Returns what was swept, in a sentence."""
    sweep, data, split = run.sweep, run.manifest.data, run.manifest.split
    drawn = "every combination of" if sweep.is_grid else f"by {sweep.search.kind} search over"
    grid = f" ({drawn} {counted(len(sweep.varying), 'hyperparameter')})"
    runs = [(len(split.folds), "fold"), (len(run.manifest.seeds), "seed")]
    times = "".join(f" × {counted(count, noun)}" for count, noun in runs if count > 1)
    most = "up to " if "epochs_given" in run.results else ""
    source = "the SYNTHETIC sample" if run.is_sample else data.name
    return (
        f"{counted(sweep.num_configs, 'network')}{grid if sweep.varying else ''}{times}, trained "
        f"for {most}{counted(sweep.epochs, 'epoch')} each on {source}: {run.rows_note} of "
        f"{len(data.genres)} genres, {split_note(sweep.protocol, split.seed, len(split.folds))}."
    )


def _rows(num_configs: int, selected: dict[str, Any], retrained: Section) -> "pd.DataFrame":
    """Returns the run's accuracies, as ``plots.accuracy_rows`` takes them."""
    import pandas as pd

    ends = {"low": selected["low"], "high": selected["high"]}
    none = {"low": math.nan, "high": math.nan}
    names = (
        ("as chosen", "corrected for the choice")
        if selected["on_test"]
        else ("on the validation part", "on the test part")
    )
    rows = [
        {"label": f"best of {num_configs:,}, {names[0]}", "accuracy": selected["apparent"]} | none,
        {"label": names[1], "accuracy": selected["trusted"]} | ends,
    ]
    if retrained and retrained["is_best"] and retrained["same_protocol"]:
        most = "at most " if retrained["stopped_early"] else ""
        times = f"retrained for {most}{counted(retrained['num_epochs'], 'epoch')}"
        endings = {times: retrained["last"], "retrained, epoch by validation": retrained["chosen"]}
        for label, ending in endings.items():
            if ending:
                low, high = ending.mean - ending.deviation, ending.mean + ending.deviation
                rows.append({"label": label, "accuracy": ending.mean, "low": low, "high": high})
    return pd.DataFrame(rows).assign(series="ours", apart=False)
