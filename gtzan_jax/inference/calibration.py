"""Calibration of a model's probabilities: temperature and errors."""

from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

FEWEST = 100
"""Songs that a temperature or an error needs; see docs/which_number.md."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Held(NamedTuple):
    """Expected calibration errors on a part, 0 to 1."""

    songs: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    accuracy: Share
    error: Share
    calibrated_error: Share | None  # with the temperature; None without
    # Of calibrated_error, or of error where that is None, by chance alone.
    chance_error: Share | None = None  # on average
    chance_limit: Share | None = None  # 95th percentile


class Calibration(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The temperature of a model, and the errors of its probabilities.

    Log-probabilities of songs are divided by the temperature. It is None without a validation part,
    and at least 1 if fitted on fewer than ``FEWEST`` songs, where less is mostly chance.
    """

    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None
    bins: Annotated[int, msgspec.Meta(ge=1, le=1000)]  # equally wide
    validation: Held | None  # on which the temperature was fitted, and the config chosen
    test: Held
    unit: Literal["song", "row"] = "song"  # that a probability belongs to

    @property
    def stays_at_one(self) -> bool:
        """True if a temperature below 1 was fitted on too few songs, or rows."""
        return self.temperature == 1

    @property
    def doubt(self) -> str:
        """A warning of figures from too few songs, or rows; "" if there are enough."""
        few = []
        if self.temperature and self.validation and self.validation.songs < FEWEST:
            stays = " (below 1, so left at 1)" if self.stays_at_one else ""
            few.append(f"temperature fitted on {self.validation.songs}{stays}")
        if self.test.songs < FEWEST:
            few.append(f"accuracy and error measured on {self.test.songs}")
        doubt = f"too few {self.unit}s to rely on (fewer than {FEWEST}): {', '.join(few)}"
        return doubt if few else ""


def against_chance(error: float, mean: float, limit: float) -> str:
    """Compares an error with the mean and 95th percentile by chance alone; all are shares of 1."""
    error, mean, limit = (round(100 * share, 1) for share in (error, mean, limit))
    verdict = "is compatible with exact probabilities" if error <= limit else "is more than chance"
    return (
        f"by chance alone {mean} on average, and more than {limit} in 5 % of cases: "
        f"{error} {verdict}"
    )


def tempered(log_probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Returns log p / T, normalised, (…, classes): Guo et al. (2017), equation 9."""
    from scipy.special import log_softmax

    return np.asarray(log_softmax(np.asarray(log_probabilities, np.float64) / temperature, axis=-1))
