"""A trained model: scaler, network and genres."""

import functools
import os
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gtzan_jax import checks
from gtzan_jax.checks import Problems
from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.inference.calibration import Calibration, tempered
from gtzan_jax.inference.distribution import OUT_OF_DISTRIBUTION, Distribution, Neighbours
from gtzan_jax.inference.front_end import SPECTROGRAMS, FrontEnd, Span
from gtzan_jax.inference.prediction import Explanation, Part, Prediction, Unlike
from gtzan_jax.inference.rows import labels_of, matrix_of
from gtzan_jax.inference.tags import shares_of_tags
from gtzan_jax.sound import musicnn_weights
from gtzan_jax.sound.files import SAMPLE_RATE, read
from gtzan_jax.sound.summary import summarised
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.folds import Scaler, Sizes, scaler_of, standardised
from gtzan_jax.tables.protocols import Splits
from gtzan_jax.tables.schema import NO_OPTIONS, TAGS, UNITS, Columns, FeatureTable, Words
from gtzan_jax.text import printable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gtzan_jax.inference.network import Network
    from gtzan_jax.inference.rows import TableLike

_FARTHEST = 3  # features that are named in a warning
_LEFT_OUT = 0.05  # seconds at a song's end that need a warning


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network with its scaler and its genres, or classes of a table not of songs."""

    config: Config
    params: Mapping[str, np.ndarray]  # by name, float32, see ``Family.shapes``
    features: tuple[str, ...]  # or bands of spectrograms, in the order of the input
    genres: tuple[str, ...]  # in the order of the output
    mean: np.ndarray  # (features,) float64, subtracted from the features
    scale: np.ndarray  # (features,) float64, by which the difference is divided
    slope: float  # of (leaky) ReLU for negative inputs
    data: str  # the source of its table; ``sample`` for the synthetic one
    front_end: FrontEnd | None  # None if the features are not made from sound
    protocol: str
    distribution: Distribution | None  # of the train part; None if unknown, or not of songs
    calibration: Calibration | None = None  # None if not measured
    fill: np.ndarray | None = None  # (features,) float64, replaces missing values; or None
    columns: Columns = NO_OPTIONS  # of its table

    @classmethod
    def of(
        cls,
        config: Config,
        params: Mapping[str, np.ndarray],
        sweep: Sweep,
        splits: Splits,
        fold: int,
    ) -> "TrainedModel":
        """Returns the model of a trained trial."""
        table, train = splits.table, splits.folds[fold].train
        scaler = scaler_of(table, splits.folds[fold])
        front_end, distribution = None, None
        if table.is_of_songs:  # only sound is compared with the training songs
            kind = table.pretrained or "features"
            front_end = FrontEnd.of_rows(table.samples, table.is_segmented, kind)
            x = scaler.filled(table.x[train]) if table.columns.impute else table.x[train]
            names, summary = summarised(table.features, x)
            measure = Neighbours if table.pretrained else Distribution
            distribution = measure.of(summary, table.songs[train], names)
        return cls(
            config, params, table.features, table.genres, scaler.mean, scaler.scale,
            slope=sweep.slope_of(config),
            data=table.source,
            front_end=SPECTROGRAMS if table.is_spectrogram else front_end,
            protocol=splits.protocol.name,
            distribution=distribution,
            fill=scaler.fill,
            columns=table.columns,
        )  # fmt: skip

    def __repr__(self) -> str:
        doubt = self.calibration and self.calibration.doubt
        few = f", calibration on too few {self.words.units}" if doubt else ""
        return (
            f"TrainedModel({self.config.name}, {self.num_weights:,} weights, "
            f"{len(self.genres)} {self.words.labels}, data {reprlib.repr(self.data)}{few})"
        )

    @property
    def words(self) -> Words:
        """The names of rows and classes."""
        return self.columns.words(is_of_songs=self.front_end is not None)

    @property
    def sound(self) -> FrontEnd:
        """The audio front end, which computes the features.

        Raises:
          InputError: the features are not made from sound.
        """
        if self.front_end is None:
            raise InputError("the model's features are not made from sound: predict() takes rows")
        return self.front_end

    @property
    def num_weights(self) -> int:
        """The number of weights and biases."""
        return sum(array.size for array in self.params.values())

    @property
    def temperature(self) -> float:
        """The divisor of songs' log-probabilities; 1 without a reliable one."""
        return (self.calibration and self.calibration.temperature) or 1.0

    @property
    def is_calibrated(self) -> bool:
        """True if there is a reliable temperature."""
        return self.temperature != 1

    def predict(self, table: "TableLike") -> np.ndarray:
        """Returns (songs,) names of the most probable genres.

        Args:
          table: see :meth:`predict_proba`.

        Raises:
          InputError: as for :meth:`predict_proba`.
        """
        best = self.predict_proba(table).argmax(axis=1)
        return np.array([self.genres[i] for i in best])

    def predict_proba(self, table: "TableLike") -> np.ndarray:
        """Returns (songs, genres) float32 probabilities, calibrated if the model is.

        For a table that is not of songs they are (rows, classes).

        Args:
          table: a feature table, a DataFrame with the model's features by name, or an array (rows,
            features) in the order of ``features``. Segments of a song in a feature table vote by
            mean log-probability, in the order of ``table.by_song``.

        Raises:
          InputError: the table has another type, has no rows, lacks a feature, or has a value that
            is not a finite number.
        """
        x = self._scaled(self._matrix(table))
        if isinstance(table, FeatureTable) and table.is_segmented:
            voted = self.log_probabilities(x, table.songs, table.num_songs)
        else:
            voted = self.log_probabilities(x)
        for row in np.flatnonzero(np.isnan(voted).any(axis=1))[:1]:
            raise InputError(
                f"row {row}: the model's probabilities are not finite; are its values far from "
                "those of the training rows?"
            )
        if self.is_calibrated:
            voted = tempered(voted, self.temperature)
        return np.asarray(np.exp(voted), np.float32)

    def score(self, table: "TableLike", y: "ArrayLike | None" = None) -> float:
        """Returns the accuracy: the share of songs, or rows, predicted correctly.

        Args:
          table: see :meth:`predict_proba`.
          y: the true classes by name, or numbers or booleans whose text is the name. By default
            those of the feature table, or of the DataFrame's column that had the labels in
            training.

        Raises:
          InputError: as for :meth:`predict_proba`; or labels are missing, or not the model's.
        """
        labels = labels_of(table, y, self.columns.label, self.genres)
        predicted = self.predict(table)
        if len(labels) != len(predicted):
            raise InputError(
                f"y has {len(labels):,} labels for {len(predicted):,} {self.words.units}"
            )
        return float(np.mean(predicted == labels))

    def predict_matrix(self, x: np.ndarray) -> np.ndarray:
        """Returns (rows, genres) float32, uncalibrated, for (rows, features), not standardised."""
        return np.asarray(np.exp(self.log_probabilities(self._scaled(x))))

    def predict_file(
        self, path: "str | os.PathLike[str]", hop_seconds: float | None = None
    ) -> Prediction:
        """Predicts the genre of a sound file by the mean log-probability of its windows.

        Windows start every ``hop_seconds``; by default they are side by side.

        Raises:
          SoundError: the file cannot be read as sound.
          InputError: a feature of the model is not made from sound, a weight is not finite, or an
            argument is out of range.
        """
        problems = Problems()
        problems.check(checks.path, path, "path")
        if hop_seconds is not None:
            problems.check(checks.Number(0.0, 1e6), hop_seconds, "hop_seconds")
        problems.raise_any()
        sound, columns = self.sound, self._columns  # may raise: before the computation
        samples = read(path)
        hop = None if hop_seconds is None else max(1, round(hop_seconds * SAMPLE_RATE))
        spans = sound.spans(len(samples), hop)
        try:
            made = sound.inputs(samples, spans)
        except SoundError as error:
            raise SoundError(f"{printable(path)}: {error}") from None
        tags = _tags(made) if sound.kind == "musicnn" else ()
        made = made[:, columns]
        x = self._scaled(made)
        logs = self.log_probabilities(x)
        voted = tempered(logs.mean(axis=0), self.temperature)
        if np.isnan(voted).any():  # of weights that are not finite
            raise InputError(f"{printable(path)}: the model's probabilities are not finite")
        order = np.argsort(-voted, kind="stable")
        unlike, trained_on = self._compared(samples, made, hop)
        return Prediction(
            path=os.fspath(path),
            seconds=len(samples) / SAMPLE_RATE,
            genres=tuple(self.genres[place] for place in order),
            probabilities=np.exp(voted[order]),
            is_calibrated=self.is_calibrated,
            spans=spans,
            by_window=np.exp(tempered(logs, self.temperature))[:, order],
            unlike=unlike,
            trained_on=trained_on,
            notes=tuple(self._notes(len(samples), spans)),
            inputs=x.astype(np.float32),
            tags=tags,
        )

    def explain(self, prediction: Prediction) -> Explanation:
        """Attributes the log-probability of a prediction's first genre to the features.

        For a model on the units of a pretrained network, attributes it to the network's tags.

        Raises:
          InputError: ``prediction`` is no Prediction.
        """
        checks.instance(prediction, "prediction", Prediction)
        genre, x = prediction.genres[0], prediction.inputs
        found = self._network.attributions(x, self.genres.index(genre), self.temperature)
        values = found.values.sum(axis=(0, *range(2, found.values.ndim)))
        names, rest = self.features, None
        changes = x.sum(axis=0) if names == TAGS else np.zeros(len(names))
        if names == UNITS and isinstance(self.distribution, Neighbours):
            kernel = musicnn_weights.load_weights()["dense_1/kernel"] * self.scale[:, None]
            rows = self.distribution.row_deviations
            shares = shares_of_tags(found.slopes, x, rows, kernel).sum(axis=0)
            names, changes = TAGS, (x @ kernel).sum(axis=0)
            values, rest = shares, float(values.sum() - shares.sum())
        order = np.argsort(-values, kind="stable")
        parts = tuple(Part(names[place], float(values[place])) for place in order)
        less = frozenset(names[place] for place in np.flatnonzero(changes < 0))
        outputs = found.output, found.baseline, found.gap
        return Explanation(genre, parts, *outputs, found.values, less, rest)

    def log_probabilities(
        self, x: np.ndarray, songs: np.ndarray | None = None, num_songs: int = 0
    ) -> np.ndarray:
        """Returns (rows, genres) float32 log-probabilities, or (songs, genres), uncalibrated.

        Rows (rows, …) are standardised; ``songs`` is (rows,) int32, the song of each row.
        """
        return self._network.log_probabilities(x, songs, num_songs)

    @functools.cached_property
    def _network(self) -> "Network":
        from gtzan_jax.inference.network import Network  # imports JAX, which saving does not need

        sizes = Sizes(0, 0, len(self.features), len(self.genres))
        return Network(self.config, self.params, self.slope, sizes)

    @functools.cached_property
    def _columns(self) -> list[int]:
        """The places of the model's features among the front end's."""
        made = self.sound.names
        for feature in self.features:
            if feature not in made:
                raise InputError(f"the model's feature {feature!r} is not made from sound")
        return [made.index(feature) for feature in self.features]

    def _compared(
        self, samples: NDArray[np.float32], made: NDArray[np.float64], hop: int | None
    ) -> tuple[Unlike | None, bool | None]:
        """Returns a song's out-of-distribution score, and whether it was in the training set.

        None if unknown. ``made`` is (windows, …).
        """
        known = self.distribution
        if known is None:
            return None, None
        names, summary = summarised(self.features, made)
        deviations = known.deviations(summary.astype(np.float64))
        distance, mean = known.distance(deviations), deviations.mean(axis=0)
        shown = 0 if isinstance(known, Neighbours) else _FARTHEST  # no feature stands out
        order = np.argsort(-np.abs(mean), kind="stable")[:shown]
        farthest = tuple(Part(names[place], float(mean[place])) for place in order)
        limit = float(known.percentiles[OUT_OF_DISTRIBUTION])
        unlike = Unlike(distance, known.percentile(distance), limit, farthest)
        if hop is not None:  # training rows are of windows side by side
            spans = self.sound.spans(len(samples))
            made = self.sound.inputs(samples, spans)[:, self._columns]
            summary = summarised(self.features, made)[1]
        rows = summary.astype(np.float64)
        if self.sound.step is None:  # a training row is a whole song, of any length
            rows = _whole(names, rows)
        return unlike, known.knows(known.deviations(rows))

    def _notes(self, num_samples: int, spans: Sequence[Span]) -> list[str]:
        """Returns warnings of a song that does not divide into windows."""
        window, seconds = self.sound.samples / SAMPLE_RATE, num_samples / SAMPLE_RATE
        left, notes = seconds - spans[-1].end / SAMPLE_RATE, []
        shortest = 2 / 3 if self.sound.step is None else 1
        if seconds < shortest * window:
            notes.append(
                f"it lasts {seconds:.1f} s; the model was trained on windows of {window:.1f} s"
            )
        if left >= _LEFT_OUT:
            notes.append(f"its last {left:.1f} s, less than a window, are left out")
        return notes

    def _scaled(self, x: np.ndarray) -> NDArray[np.floating[Any]]:
        scaler = Scaler(self.mean, self.scale, self.fill)
        if x.ndim == 3:  # as in training, to the bit
            return standardised(x, scaler)
        with np.errstate(over="ignore"):  # to infinity: refused later
            return np.asarray((scaler.filled(x) - self.mean) / self.scale, np.float32)

    def _matrix(self, table: "TableLike") -> NDArray[np.floating[Any]]:
        num_axes = 3 if self.config.family == "cnn" else 2
        return matrix_of(table, self.features, num_axes, may_miss=self.fill is not None)


def _tags(made: NDArray[np.float64]) -> tuple[Part, ...]:
    """Returns a song's tags, means over its windows, from a pretrained network's outputs."""
    means = made[:, : len(TAGS)].mean(axis=0)
    order = np.argsort(-means, kind="stable")
    return tuple(Part(TAGS[place], float(means[place])) for place in order)


def _whole(names: Sequence[str], windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns (1, features), moments of a song from those of its windows, of equal length."""
    # The variance of the whole is the mean of the variances plus the variance of the means.
    whole: NDArray[np.float64] = windows.mean(axis=0)
    for place, name in enumerate(names):
        mean = name.removesuffix("_var") + "_mean"
        if name.endswith("_var") and mean in names:
            whole[place] += windows[:, names.index(mean)].var()
    return whole[None]
