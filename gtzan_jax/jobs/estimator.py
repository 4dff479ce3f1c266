"""A sweep as a scikit-learn estimator, like ``GridSearchCV`` for small networks."""

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from gtzan_jax import checks
from gtzan_jax.checks import Problems, shown
from gtzan_jax.errors import InputError
from gtzan_jax.inference.model_files import save_model
from gtzan_jax.inference.rows import matrix_of
from gtzan_jax.jobs.tuning import Refitted, tune
from gtzan_jax.metrics import METRICS
from gtzan_jax.space.config import Config
from gtzan_jax.space.overrides import as_overrides, axes_of, lay_over
from gtzan_jax.space.sweep import SEARCHES, Sweep
from gtzan_jax.space.sweep_file import load_sweep, parse_sweep
from gtzan_jax.tables.folds import Fold, unseen_genres
from gtzan_jax.tables.protocols import PROTOCOLS, Splits, make_splits
from gtzan_jax.tables.schema import NO_OPTIONS, Columns, FeatureTable
from gtzan_jax.tables.validation import check_precision
from gtzan_jax.text import counted

_ROWS = 1024  # predicted at a time, so that tables of any length share a program


class SweepClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Chooses among small networks, all trained at once, and refits the best on all rows.

    Use it like ``GridSearchCV`` around a network. Features are standardised inside, by the rows
    trained on. Each config is scored after its best number of epochs: that with the highest mean
    accuracy over folds and seeds on the validation part; ties go to the lower loss. The best config
    is then refitted on all rows for that number of epochs, ``best_epochs_``.

    As in ``GridSearchCV``, *test* in ``cv_results_`` means the part that ranks configs: the
    validation part. ``best_score_`` is the best of many and therefore optimistic: score other rows,
    or use ``cross_val_score`` with this estimator. Equal scores are ranked by the loss. Equal rows
    may be on both sides of a split; ``groups`` keeps rows together.

    Example:
      >>> from gtzan_jax import SweepClassifier
      >>> from sklearn.datasets import load_wine
      >>> X, y = load_wine(return_X_y=True)
      >>> grid = {"num_units1": [16, 32], "dropout": [0.0, 0.2], "learning_rate": [0.01]}
      >>> search = SweepClassifier(grid, cv=5, epochs=20).fit(X, y)
      >>> list(search.best_params_), bool(search.best_score_ > 0.95)
      (['num_units1', 'dropout1', 'learning_rate'], True)

    Args:
      sweep: a name in ``sweeps/``, the path of a TOML file, a ``Sweep``, or a dict with a list of
        values for each hyperparameter, such as ``{"num_units1": [32, 64], "dropout": [0.0, 0.2],
        "optimizer": ["adam", "sgd"]}``; ``dropout`` sets that of all layers.
      search: ``"random"``, ``"halving"``, …, or a dict with the settings of the search, such as
        ``{"kind": "random", "num_configs": 50}``. Default: the sweep's, or the grid.
      cv: as in ``GridSearchCV``: a number of folds, a splitter, or pairs of rows to train on and to
        rank on.
      protocol: a protocol of this package instead of ``cv``: ``"holdout"`` trains on 60 % of the
        rows and ranks on 20 %, quickly; ``"kfold"`` does the same in the sweep's number of folds;
        ``"assignment"`` trains on 70 % and ranks on 30 %. The other rows are used by the refit
        only.
      epochs: the most epochs. Default: the sweep's, or 10.
      num_seeds: networks of each config on each fold; their mean is ranked. Default: the sweep's,
        or 1.
      random_state: seed of the split, initial weights, order of rows, noise and ``search``.
      platform: auto, cpu, gpu or tpu.
      verbose: 1 shows progress.

    Attributes:
      best_params_, best_score_, best_index_, cv_results_, n_splits_, refit_time_: as
        in ``GridSearchCV``. Configs are trained together: the fit time of each is its share.
        ``cv_results_`` also has the ``epochs`` of each config. Diverged configs score NaN.
      best_epochs_: number of epochs of the refit.
      model_: the ``TrainedModel``; its classes are text.
      classes_, n_features_in_, feature_names_in_: as in any classifier.
    """

    __metadata_request__fit = {"groups": True}  # noqa: RUF012 — scikit-learn's, as its searches have

    def __init__(
        self,
        sweep: "str | os.PathLike[str] | Sweep | Mapping[str, Any]" = "assignment",
        *,
        search: str | Mapping[str, Any] | None = None,
        cv: Any = 5,
        protocol: str | None = None,
        epochs: int | None = None,
        num_seeds: int | None = None,
        random_state: Any = 0,
        platform: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.sweep = sweep
        self.search = search
        self.cv = cv
        self.protocol = protocol
        self.epochs = epochs
        self.num_seeds = num_seeds
        self.random_state = random_state
        self.platform = platform
        self.verbose = verbose

    def fit(self, X: Any, y: Any, groups: Any = None) -> "SweepClassifier":  # noqa: N803
        """Runs the search, and refits the best config on all rows.

        Args:
          X: (rows, features), finite numbers.
          y: (rows,), classes of any type: numbers, text, booleans.
          groups: (rows,), such as patients; each split keeps the rows of a group on one side, if
            ``cv`` is not a splitter with its own rule.

        Raises:
          InputError: a parameter cannot be used, or there are too few rows.
          RunError: the training failed.
        """
        x, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"y has one class, {classes.tolist()}: give rows of at least two")
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(2**31 - 1)
        seed = checks.Whole(0, 2**31)(seed, "random_state")
        sweep, table = self._sweep(seed), self._table(x, classes, numbers, groups)
        splits = self._splits(sweep, table, seed, y, groups)
        for sentence in unseen_genres(table, splits.folds):
            warnings.warn(sentence, stacklevel=2)
        started = time.perf_counter()
        found = tune(sweep, splits, seed, self.platform, is_quiet=not self.verbose)
        self._set_results(found, splits, time.perf_counter() - started - found.refit_s)
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Returns (rows,) the most probable class of each row of X, (rows, features)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Returns (rows, classes) float64 probabilities, in the order of ``classes_``."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        x = matrix_of(x, self.model_.features, 2, may_miss=False)
        found = np.empty((len(x), len(self.classes_)))
        for start in range(0, len(x), _ROWS):
            part = x[start : start + _ROWS]
            filled = part[np.minimum(np.arange(_ROWS), len(part) - 1)]
            found[start : start + _ROWS] = self.model_.predict_proba(filled)[: len(part)]
        found /= found.sum(axis=1, keepdims=True)
        return found

    def predict_log_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Returns (rows, classes) float64, the logarithm of ``predict_proba``."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def save(self, folder: "str | os.PathLike[str]") -> None:
        """Writes the network to a folder, without pickle; ``gtzan_jax.load_model`` reads it.

        Raises:
          InputError: ``folder`` is not a path.
        """
        check_is_fitted(self)
        save_model(self.model_, Path(checks.path(folder, "folder")))

    def _sweep(self, seed: int) -> Sweep:
        """Returns the sweep, with the parameters applied to it."""
        settings = {name: getattr(self, name) for name in ("epochs", "num_seeds")}
        settings["protocol"] = self.protocol or "holdout"
        if self.search is not None:
            search = {"kind": self.search} if isinstance(self.search, str) else self.search
            if not isinstance(search, Mapping):
                raise InputError(f"search must be text or a dict, not {shown(search)}")
            draws = "seed" in SEARCHES.get(str(search.get("kind")), ())
            search = ({"seed": seed} if draws else {}) | dict(search)
            settings |= {f"search.{key}": value for key, value in search.items()}
        overrides = as_overrides({n: v for n, v in settings.items() if v is not None})
        if isinstance(self.sweep, str | os.PathLike):
            sweep = load_sweep(self.sweep, overrides)
        else:
            document = _document(self.sweep)
            problems, name = Problems(), str(document.pop("name", "sweep"))
            lay_over(document, overrides, problems)
            problems.raise_any()
            sweep = parse_sweep(document, name, name)
        if sweep.family == "cnn":
            raise InputError(
                f"{sweep.name}: a sweep of cnn needs spectrograms, not a feature table"
            )
        if sweep.stops_early:
            raise InputError(
                f"{sweep.name}: the sweep has patience, but the estimator chooses the number of "
                "epochs on the validation part; remove patience"
            )
        return sweep

    def _table(
        self, x: np.ndarray, classes: np.ndarray, numbers: np.ndarray, groups: Any
    ) -> FeatureTable:
        """Returns the rows as a table. x: (rows, features); numbers: (rows,), class numbers."""
        names = tuple(getattr(self, "feature_names_in_", ()))
        if len(set(names)) < x.shape[1]:
            names = tuple(f"x{place}" for place in range(x.shape[1]))
        check_precision(x, names, "X")
        group = None
        if groups is not None:
            check_consistent_length(x, groups)
            values = column_or_1d(groups)
            if any(value is None or value != value for value in values):  # NaN is not itself
                raise InputError("groups has missing values: give each row a group")
            group = np.unique(values, return_inverse=True)[1].astype(np.int32)
        return FeatureTable(
            x=x.astype(np.float32),
            y=numbers.astype(np.int32),
            tracks=tuple(map(str, range(len(x)))),
            features=names,
            genres=tuple(map(str, classes.tolist())),
            sha256="",
            source="X, y",
            repeats=(),  # equal rows may be on both sides, as in scikit-learn
            group=group,
            columns=NO_OPTIONS if group is None else Columns(group="group"),
            is_of_songs=False,
        )

    def _splits(
        self, sweep: Sweep, table: FeatureTable, seed: int, y: np.ndarray, groups: Any
    ) -> Splits:
        """Divides the rows by ``cv``, or by the protocol."""
        if self.protocol is not None:
            try:
                return make_splits(table, sweep.protocol, seed, sweep.num_folds)
            except InputError as error:
                reason = str(error).partition("; take --")[0]
                raise InputError(f"{reason}; try cv=2 or a splitter") from None
        rows, folds = np.arange(len(y)), list[Fold]()
        for train, test in check_cv(self.cv, y, classifier=True).split(table.x, y, groups):
            fold = Fold(rows[train], rows[test], rows[:0])
            if not len(fold.train) or not len(fold.validation):
                raise InputError(f"cv: fold {len(folds)} has no rows to train on or to rank on")
            folds.append(fold)
        if not folds:
            raise InputError("cv has no folds")
        return Splits(table, PROTOCOLS[sweep.protocol], seed, tuple(folds))

    def _set_results(self, found: Refitted, splits: Splits, search_s: float) -> None:
        """Sets the attributes that describe the search and the refit."""
        place = METRICS.index(f"{splits.protocol.select_on}_accuracy")
        every = np.arange(len(found.figures))
        scores = found.figures[every, :, :, found.epochs - 1, place].mean(axis=2)
        if diverged := int(np.isnan(scores).any(axis=1).sum()):
            text = f"{diverged} of {counted(len(scores), 'configuration')} diverged and score NaN"
            warnings.warn(text, stacklevel=3)
        seconds = search_s * found.trained / found.trained.sum()
        self.n_splits_ = len(splits.folds)
        self.cv_results_ = _results(found.sweep.configs, scores, seconds, found.order)
        self.cv_results_["epochs"] = found.epochs
        self.best_index_ = int(found.order[0])
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_score_ = self.cv_results_["mean_test_score"][self.best_index_]
        self.best_epochs_ = int(found.epochs[self.best_index_])
        self.model_, self.refit_time_ = found.model, found.refit_s


def _document(sweep: Any) -> dict[str, Any]:
    """Returns the document of a sweep that is not a file."""
    if isinstance(sweep, Sweep):
        return sweep.to_dict()
    if isinstance(sweep, Mapping):
        return {"axes": axes_of(sweep)}
    raise InputError(
        f"sweep must be a name, a path, a Sweep or a dict of lists, not {shown(sweep)}"
    )


def _results(
    configs: Sequence[Config], scores: np.ndarray, seconds: np.ndarray, order: np.ndarray
) -> dict[str, Any]:
    """Returns ``cv_results_`` as ``GridSearchCV`` has it. scores, seconds: (configs, folds)."""
    results: dict[str, Any] = {}
    for name, values in (("fit_time", seconds), ("score_time", np.zeros_like(seconds))):
        results |= {f"mean_{name}": values.mean(axis=1), f"std_{name}": values.std(axis=1)}
    for axis in configs[0]:
        column = np.array([config[axis] for config in configs])
        if column.dtype.kind == "U":
            column = column.astype(object)
        results[f"param_{axis}"] = np.ma.MaskedArray(column, mask=np.zeros(len(column), bool))
    results["params"] = [dict(config) for config in configs]
    results |= {f"split{fold}_test_score": column for fold, column in enumerate(scores.T)}
    results |= {"mean_test_score": scores.mean(axis=1), "std_test_score": scores.std(axis=1)}
    results["rank_test_score"] = np.argsort(order).astype(np.int32) + 1
    return results
