import io

import numpy as np
import pytest
from conftest import make_sweep

from gtzan_jax import plots
from gtzan_jax.rundir import results_table

NOTE = "Data: SYNTHETIC sample"
SWEEP = make_sweep()
HISTORY = np.random.default_rng(0).uniform(0.1, 0.9, (12, 1, 2, 4)).astype(np.float32)
CURVE = np.linspace(0.2, 0.8, 7)


@pytest.mark.parametrize(
    ("figure", "labels"),
    [
        (
            plots.training_curves(CURVE, CURVE / 2, "accuracy", "Accuracy", NOTE),
            ["epoch", "accuracy", "test (best 0.400 at epoch 7)"],
        ),
        (
            plots.training_curves(CURVE, CURVE / 2, "loss", "Loss", NOTE),
            ["epoch", "loss (nats)", "test (best 0.100 at epoch 1)"],
        ),
        (
            plots.confusion_matrix(np.diag([3, 41]), ("blues", "rock"), NOTE),
            ["blues", "rock", "predicted genre", "true genre", "41"],
        ),
        (
            plots.accuracy_by_value(results_table(SWEEP, 1, HISTORY), SWEEP.axes, NOTE),
            [*SWEEP.axes, "test accuracy", "rmsprop"],
        ),
        (
            plots.top_curves(np.stack([CURVE, CURVE / 2]), ["first", "second"], NOTE),
            ["epoch", "test accuracy", "first", "second"],
        ),
    ],
    ids=["accuracy", "loss", "confusion", "by_value", "top"],
)
def test_figures_are_labelled_and_name_their_data(figure, labels):
    figure.savefig(io.BytesIO())  # lays the ticks out
    texts = {text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))}
    assert {NOTE, *labels} <= texts
