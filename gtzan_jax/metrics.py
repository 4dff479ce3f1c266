"""Names of the metrics of training, in the order of a history's last axis."""

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
"""Validation and test accuracy are shares of songs, by the vote of their segments; segment
accuracies are shares of segments. Losses and train metrics are by row, since a batch rarely has all
rows of a song."""

SEGMENT_METRICS = METRICS[-2:]  # for tables of segments only

LOSSES = ("cross_entropy", "softmax_twice")
