"""Figures: data in, matplotlib ``Figure`` out. Nothing else in the project draws."""

from gtzan_jax.views.plots.classical import accuracy_by_protocol as accuracy_by_protocol
from gtzan_jax.views.plots.classical import feature_importance as feature_importance
from gtzan_jax.views.plots.exploration import contact_sheet as contact_sheet
from gtzan_jax.views.plots.exploration import correlation_heatmap as correlation_heatmap
from gtzan_jax.views.plots.exploration import feature_by_genre as feature_by_genre
from gtzan_jax.views.plots.exploration import pca_loadings as pca_loadings
from gtzan_jax.views.plots.exploration import pca_scatter as pca_scatter
from gtzan_jax.views.plots.report import mean_differences as mean_differences
from gtzan_jax.views.plots.report import pair_heatmap as pair_heatmap
from gtzan_jax.views.plots.report import parallel_coordinates as parallel_coordinates
from gtzan_jax.views.plots.report import variance_shares as variance_shares
from gtzan_jax.views.plots.training import accuracy_by_value as accuracy_by_value
from gtzan_jax.views.plots.training import confusion_matrix as confusion_matrix
from gtzan_jax.views.plots.training import top_curves as top_curves
from gtzan_jax.views.plots.training import training_curves as training_curves
