"""What tags tell of attributions to the units of a pretrained network that its tags are made of."""

import numpy as np
from numpy.typing import NDArray

_RIDGE = 0.1  # of tags whose mean squares are 1; see docs/sound.md


def shares_of_tags(
    slopes: NDArray[np.float64],
    x: NDArray[np.floating],
    rows: NDArray[np.floating],
    kernel: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Returns (windows, tags), the shares of attributions to units that tags tell.

    On the path F changes by g·x, with the mean gradient g, and the logits of the tags, which are
    linear in the units, by K′x. Over training rows r, g·r is regressed on K′r, each tag divided by
    its root mean square: least squares and a ridge, since tags are alike. A tag's coefficient
    times its change is its share; what is left of g·x no tag tells.

    Args:
      slopes: (windows, units) mean gradients.
      x: (windows, units) less the baseline.
      rows: (rows, units) of training, less the baseline.
      kernel: (units, tags).
    """
    told = rows @ kernel
    scale = np.sqrt((told**2).mean(axis=0))
    scale[scale == 0] = 1.0
    told /= scale
    ridge = _RIDGE * len(rows) * np.eye(kernel.shape[1])
    coefficients = np.linalg.solve(told.T @ told + ridge, told.T @ (rows @ slopes.T))
    return np.asarray(x @ kernel / scale * coefficients.T, np.float64)
