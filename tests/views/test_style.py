"""Figures are the same whatever a user has set for figures of their own."""

import inspect
import io

import matplotlib
import numpy as np
import pytest
from test_plots import (
    ACCURACIES,
    EFFECTS,
    IMPORTANCE,
    NETWORKS,
    NOTE,
    PCA,
    RANKING,
    RESULTS,
    SCORES,
    SWEEP,
    TABLE,
    WINNERS,
    a_prediction,
    songs_of,
)

from gtzan_jax.analysis import exploration
from gtzan_jax.inference.prediction import Explanation
from gtzan_jax.resources import PACKAGE
from gtzan_jax.views import plots
from gtzan_jax.views.sections.section import figure as in_page

HOSTILE = {
    "text.usetex": True, "font.family": "No Such Font", "font.size": 20, "figure.dpi": 30,
    "figure.facecolor": "black", "axes.facecolor": "red", "savefig.dpi": 30,
    "savefig.bbox": "tight", "savefig.facecolor": "red", "savefig.transparent": True,
    "svg.fonttype": "path", "svg.image_inline": False, "lines.linewidth": 9, "axes.grid": True,
    "axes.unicode_minus": False, "image.cmap": "jet", "image.interpolation": "bicubic",
    "path.sketch": (9, 9, 9), "legend.frameon": False, "text.color": "red",
}  # fmt: skip

SONG = a_prediction([(0, 22_050)], [[0.5, 0.2, 0.1, 0.1, 0.1]])
HEARD = a_prediction([(0, 66_150)], [[0.5, 0.2, 0.1, 0.1, 0.1]])
object.__setattr__(HEARD, "inputs", np.random.default_rng(0).normal(size=(1, 128, 130)))
REASONS = Explanation("rock", (), -0.5, -1.5, 0.0, HEARD.inputs / 1000)
FIGURES = {
    "accuracy_rows": lambda: plots.accuracy_rows(ACCURACIES, note=NOTE),
    "optimism": lambda: plots.optimism(WINNERS, "one", "other", NOTE),
    "reliability": lambda: plots.reliability(songs_of("test", [0.6] * 20, [True] * 20), "", NOTE),
    "accuracy_by_protocol": lambda: plots.accuracy_by_protocol(SCORES, [], "ours", NOTE),
    "feature_importance": lambda: plots.feature_importance(IMPORTANCE, "other", "ours", NOTE),
    "value_distributions": lambda: plots.value_distributions(RESULTS, SWEEP.varying, NOTE),
    "value_effects": lambda: plots.value_effects(EFFECTS, {"optimizer": 0.8, "dropout1": 0.1}),
    "spectrogram_reasons": lambda: plots.spectrogram_reasons(HEARD, REASONS, NOTE),
    "contact_sheet": lambda: plots.contact_sheet(TABLE, RANKING.head(4)),
    "correlation_heatmap": lambda: plots.correlation_heatmap(
        exploration.correlations(TABLE).iloc[:6, :6], NOTE
    ),
    "feature_by_genre": lambda: plots.feature_by_genre(TABLE, "rms_var"),
    "pca_loadings": lambda: plots.pca_loadings(PCA, NOTE),
    "pca_scatter": lambda: plots.pca_scatter(PCA, TABLE, 3),
    "over_time": lambda: plots.over_time([SONG], SONG.genres, NOTE),
    "pair_heatmap": lambda: plots.pair_heatmap(RESULTS, SWEEP.axes, NOTE),
    "confusion_matrix": lambda: plots.confusion_matrix(np.eye(2, dtype=int), ("a", "b"), NOTE),
    "training_curves": lambda: plots.training_curves(NETWORKS, "loss", "Loss", NOTE),
}


def test_every_kind_of_figure_is_here():
    drawing = inspect.getmembers(plots, inspect.isfunction)
    assert {name for name, _ in drawing} - {"image_of"} == set(FIGURES)


def same_under_hostile_settings(write):
    """Returns whether the same is written whatever the user has set, and the settings stay."""
    expected = write()
    with matplotlib.rc_context(HOSTILE):
        before = dict(matplotlib.rcParams)
        found = write()
        assert dict(matplotlib.rcParams) == before
    return found == expected


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_whatever_the_user_has_set(name):
    assert same_under_hostile_settings(lambda: in_page(name, FIGURES[name](), "alt"))


def test_so_are_files_of_pixels():
    small = FIGURES["over_time"]
    assert same_under_hostile_settings(lambda: plots.image_of(small()))
    saved = io.BytesIO()
    with plots.style.styled():
        small().savefig(saved, format="png")
    assert plots.image_of(small()) == saved.getvalue()


def test_figures_are_saved_in_one_place():
    saving = [p.name for p in PACKAGE.rglob("*.py") if ".savefig(" in p.read_text("utf-8")]
    assert saving == ["style.py"]
