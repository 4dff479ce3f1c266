"""What is known of a model's probabilities: its temperature, and how far they hold."""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Held(NamedTuple):
    """How far probabilities hold on a part; errors are expected calibration errors, 0 to 1."""

    songs: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    accuracy: Share
    error: Share
    calibrated_error: Share | None  # with the temperature; None without


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a model's probabilities hold, and what they are divided by to hold better.

    Attributes:
      temperature: by which log-probabilities of songs are divided, then normalised; None where the
        protocol has no validation part to fit it on.
      bins: equally wide, of the errors.
      validation: on the part that the temperature was fitted on, by which the config was chosen;
        None where there is none.
      test: on the part that neither has seen.
    """

    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None
    bins: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    validation: Held | None
    test: Held


def tempered(log_probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Returns log p / T, normalised, (…, classes): Guo et al. (2017), equation 9.

    It keeps the order of the classes.
    """
    from scipy.special import log_softmax

    return np.asarray(log_softmax(np.asarray(log_probabilities, np.float64) / temperature, axis=-1))
