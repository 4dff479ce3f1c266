"""Names of the figures of training, in the order of a history's last axis."""

METRICS = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "validation_segment_accuracy",
    "test_segment_accuracy",
)
"""Validation and test accuracy are shares of songs, whose segments vote; segment accuracies are
shares of segments. Losses and train figures are by row, since a batch rarely has a whole song."""

SEGMENT_METRICS = METRICS[-2:]  # only of tables of segments

LOSSES = ("cross_entropy", "softmax_twice")
