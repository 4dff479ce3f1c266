"""A picture of what a network saw of a song, and of what in it spoke for and against a genre."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gtzan_jax.models.prediction import Explanation, Prediction
from gtzan_jax.sound.mel import band_frequencies
from gtzan_jax.views.plots.style import literal, new_figure, short_name, styled

_WIDTH, _HEIGHT = 9.0, 6.0  # inches
_TICKS_HZ = (100, 500, 1_000, 2_000, 5_000, 10_000)
_BRIGHTEST = 99.5  # percentile of attributions that has the full colour: single points are larger


@styled()
def spectrogram_reasons(prediction: Prediction, explanation: Explanation, note: str = "") -> Figure:
    """Draws the spectrogram of a song's windows, side by side, and below it the attributions.

    Args:
      prediction: of a model of spectrograms.
      explanation: of it.
      note: what is said of the model.
    """
    title = f"What speaks for and against {short_name(explanation.genre)}"
    figure = new_figure(_WIDTH, _HEIGHT, title, note)
    seen, reasons = figure.subplots(2, 1, sharex=True, sharey=True)
    sides = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    picture = seen.imshow(_in_a_row(prediction.inputs), cmap="magma", **sides)
    figure.colorbar(picture, ax=seen, label="deviations from the training mean")
    values = _in_a_row(explanation.values)
    limit = float(np.percentile(np.abs(values), _BRIGHTEST)) or 1.0
    picture = reasons.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, **sides)
    figure.colorbar(picture, ax=reasons, label="attribution (nats)", extend="both")
    name = literal(short_name(Path(prediction.path).name))
    seen.set_title(f"{name}: its windows, one after another", fontsize=9, loc="left")
    total = explanation.output - explanation.baseline
    reasons.set_title(
        f"red for it, blue against it; all of it adds up to {total:+z.2f}", fontsize=9, loc="left"
    )
    for axes in (seen, reasons):
        _label(axes, prediction)
    reasons.set_xlabel("time (minutes:seconds)")
    return figure


def _in_a_row(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns (bands, windows × frames) of (windows, bands, frames)."""
    return np.concatenate(list(values), axis=1)


def _label(axes: Axes, prediction: Prediction) -> None:
    """Names bands by their frequency, and windows by the time at which they begin."""
    frequencies, frames = band_frequencies(), prediction.inputs.shape[2]
    bands = [int(np.abs(frequencies - tick).argmin()) for tick in _TICKS_HZ]
    axes.set_yticks(bands, [f"{tick:,}" for tick in _TICKS_HZ], fontsize=8)
    axes.set_ylabel("frequency (Hz)")
    starts = prediction.times[:, 0]
    shown = range(0, len(starts), -(-len(starts) // 12))
    axes.set_xticks(
        [place * frames - 0.5 for place in shown],
        [f"{int(starts[p]) // 60}:{int(starts[p]) % 60:02d}" for p in shown],
        fontsize=8,
    )
    for place in range(1, len(starts)):
        axes.axvline(place * frames - 0.5, color="white", linewidth=0.5)
