"""Figures: data in, matplotlib ``Figure`` out. Nothing else in the project draws."""

from gtzan_jax.plots.training import accuracy_by_value as accuracy_by_value
from gtzan_jax.plots.training import confusion_matrix as confusion_matrix
from gtzan_jax.plots.training import top_curves as top_curves
from gtzan_jax.plots.training import training_curves as training_curves
