"""Names of the figures that training records, in the order of a history's last axis."""

METRICS = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "validation_chunk_accuracy",
    "test_chunk_accuracy",
)
"""Accuracy on the validation and test part is the share of songs that are recognised. A song of
several chunks is by its chunks together, and then there is the share of chunks as well. Losses are
means over rows, and train figures are by row: no epoch has a song's chunks in one batch."""

CHUNK_METRICS = METRICS[-2:]
"""Those that only tables of chunks have."""

LOSSES = ("cross_entropy", "softmax_twice")
