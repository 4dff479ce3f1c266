"""Figures: data in, matplotlib ``Figure`` out. Nothing else in the project draws."""

from gtzan_jax.views.plots.accuracy import accuracy_by_protocol as accuracy_by_protocol
from gtzan_jax.views.plots.accuracy import accuracy_rows as accuracy_rows
from gtzan_jax.views.plots.accuracy import feature_importance as feature_importance
from gtzan_jax.views.plots.accuracy import optimism as optimism
from gtzan_jax.views.plots.calibration import reliability as reliability
from gtzan_jax.views.plots.effects import pair_heatmap as pair_heatmap
from gtzan_jax.views.plots.effects import value_distributions as value_distributions
from gtzan_jax.views.plots.effects import value_effects as value_effects
from gtzan_jax.views.plots.exploration import contact_sheet as contact_sheet
from gtzan_jax.views.plots.exploration import correlation_heatmap as correlation_heatmap
from gtzan_jax.views.plots.exploration import feature_by_genre as feature_by_genre
from gtzan_jax.views.plots.exploration import pca_loadings as pca_loadings
from gtzan_jax.views.plots.exploration import pca_scatter as pca_scatter
from gtzan_jax.views.plots.prediction import over_time as over_time
from gtzan_jax.views.plots.prediction import spectrogram_reasons as spectrogram_reasons
from gtzan_jax.views.plots.style import image_of as image_of
from gtzan_jax.views.plots.training import confusion_matrix as confusion_matrix
from gtzan_jax.views.plots.training import training_curves as training_curves
