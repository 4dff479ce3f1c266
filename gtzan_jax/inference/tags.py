"""Attributions to the units of a pretrained network, as shares of its tags."""

import numpy as np
from numpy.typing import NDArray

# Of tags whose mean squares are 1; the documents of 0.13.0 have the table that chose it.
_RIDGE = 0.1


def shares_of_tags(
    slopes: NDArray[np.float64],
    x: NDArray[np.floating],
    rows: NDArray[np.floating],
    kernel: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Returns (windows, tags), the shares of the units' attributions that tags explain.

    On the path F changes by g·x, with the mean gradient g, and the logits of the tags, which are
    linear in the units, by K′x. Over training rows r, g·r is regressed on K′r, each tag divided by
    its root mean square, by least squares with a ridge, since tags are alike. A tag's share is its
    coefficient times its change; no tag explains the rest of g·x.

    Args:
      slopes: (windows, units) mean gradients.
      x: (windows, units) minus the baseline.
      rows: (rows, units) of training, minus the baseline.
      kernel: (units, tags).
    """
    changes = rows @ kernel
    scale = np.sqrt((changes**2).mean(axis=0))
    scale[scale == 0] = 1.0
    changes /= scale
    ridge = _RIDGE * len(rows) * np.eye(kernel.shape[1])
    coefficients = np.linalg.solve(changes.T @ changes + ridge, changes.T @ (rows @ slopes.T))
    return np.asarray(x @ kernel / scale * coefficients.T, np.float64)
