"""Names of the figures that training records, in the order of a history's last axis."""

METRICS = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
)

LOSSES = ("cross_entropy", "softmax_twice")
