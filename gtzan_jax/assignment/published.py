"""The assignment's published claims and figures."""

from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep_file import load_sweep

TRAIN_TRACKS, TEST_TRACKS, GENRES = 700, 300, 10

RATIOS = (0.24644968, 0.22028192, 0.09803759)
"""Shares of the variance that three principal components explain."""

TOP = 100  # of the 768 configs, whose common values are claimed
BEST_ACCURACY = 0.71667

LEAKY_SLOPES = (0.2, 0.3)
"""Slopes of "LeakyReLU": Keras's string "leaky_relu", and its layer's default."""

EPOCHS = 50  # of the retraining
FIRST_EPOCH = {"train": 0.4386, "test": 0.4633}
HIGHEST = {"train": 0.92, "test": 0.7367}
PLATEAU_EPOCH = 30
LOSS_LEVEL = 1.75

CLAIMS = (
    ("Variance explained by three components", "24.645 %, 22.028 %, 9.804 %"),
    ("mfcc2_mean with spectral_centroid_mean", "correlation close to 1.00"),
    ("glorot_uniform among the 99 best", "99 of 99"),
    ("Adam or RMSprop among the 100 best", "100 of 100"),
    ("LeakyReLU among the 100 best", "more than half"),
    ("Consistent effects of widths, dropout", "none"),
    ("Best configuration", "128/0.1, 128/0.2, 64/0.1, LeakyReLU, glorot_uniform, Adam"),
    ("Test accuracy of the best configuration", "0.71667"),
    ("Retraining: train accuracy after epoch 1", "0.4386"),
    ("Retraining: test accuracy after epoch 1", "0.4633"),
    ("Retraining: highest train accuracy", "0.9200"),
    ("Retraining: highest test accuracy", "0.7367, at epoch 38"),
    ("Retraining: plateau of the test accuracy", "from about epoch 30"),
    ("Retraining: level of the test loss", "about 1.75"),
)
"""Claims with their published figures, in the order of the assignment."""


def published_best() -> Config:
    """Returns the assignment's best configuration."""
    return load_sweep("published_best").configs[0]
