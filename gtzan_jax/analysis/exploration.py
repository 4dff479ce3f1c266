"""Explores a feature table: correlations, ranking of features, PCA, doubtful data."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.tables.schema import FeatureTable

if TYPE_CHECKING:  # pandas takes half a second to import: not before it is needed
    import pandas as pd

SCALINGS = ("min-max", "standard")

EXTREME = 10.0
"""Distance of a value from the quartiles, in quartile ranges, beyond which a feature is extreme."""

_FAR = 3.0  # Tukey's outer fence, in quartile ranges


@dataclass(frozen=True, eq=False)
class Pca:
    """Principal components of the scaled features."""

    scaling: str  # "min-max" or "standard"
    scores: np.ndarray  # (rows, components) float64, the rows' coordinates
    loadings: np.ndarray  # (components, features) float64, unit vectors
    ratios: np.ndarray  # (components,) float64, shares of the variance explained
    features: tuple[str, ...]

    def __repr__(self) -> str:
        share = f"{100 * self.ratios.sum():.1f} % of the variance"
        return f"Pca({self.scaling} scaling, {len(self.ratios)} components, {share})"


def correlations(table: FeatureTable) -> "pd.DataFrame":
    """Returns Pearson correlations of the features; NaN where one is constant.

    If the features are means and variances, only means are included.
    """
    import pandas as pd

    frame = pd.DataFrame(table.x.astype(np.float64), columns=list(table.features))
    return (frame.filter(regex="_mean$") if table.has_moments else frame).corr()


def strongest_pairs(matrix: "pd.DataFrame") -> "pd.DataFrame":
    """Returns one row a pair, strongest first: feature, other, correlation; none that is NaN."""
    above = matrix.where(np.triu(np.ones(matrix.shape, bool), k=1))
    pairs = above.stack().dropna().reset_index()
    return pairs.set_axis(["feature", "other", "correlation"], axis=1).sort_values(
        "correlation", key=np.abs, ascending=False, ignore_index=True, kind="stable"
    )


def rank_features(table: FeatureTable) -> "pd.DataFrame":
    """Orders the features by how well each alone separates the classes.

    A feature's place is the mean of its places by ANOVA's F and by the mutual information; ties go
    to the higher F.

    Returns:
      one row a feature, the best first: rank, feature, anova_f, anova_rank,
      mutual_information (nats), mutual_information_rank. A constant feature has 0 in both.
    """
    import pandas as pd
    from sklearn.feature_selection import f_classif, mutual_info_classif

    varying = ~_constant(table)
    x = scaled(table, "standard")[:, varying]
    anova, information = np.zeros(len(varying)), np.zeros(len(varying))
    if varying.any():
        # F is infinite if each class has a single value.
        with np.errstate(divide="ignore", invalid="ignore"):
            anova[varying] = np.nan_to_num(f_classif(x, table.y)[0], posinf=np.inf)
        information[varying] = mutual_info_classif(x, table.y, random_state=0)
    ranking = pd.DataFrame({"feature": table.features})
    for name, figures in (("anova_f", anova), ("mutual_information", information)):
        ranking[name] = figures
        places = ranking[name].rank(ascending=False, method="max")  # ties share their last
        ranking[f"{name.removesuffix('_f')}_rank"] = places.astype(int)
    both = ranking["anova_rank"] + ranking["mutual_information_rank"]
    ranking = ranking.iloc[np.lexsort((ranking["anova_rank"], both))].reset_index(drop=True)
    ranking.insert(0, "rank", np.arange(1, len(ranking) + 1))
    return ranking


def scaled(table: FeatureTable, scaling: str) -> np.ndarray:
    """Returns (rows, features) float64, scaled over all rows; a constant feature becomes 0.

    ``scaling`` is one of :data:`SCALINGS`, to 0…1, or to mean 0 and deviation 1.
    """
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    scaler = MinMaxScaler() if scaling == "min-max" else StandardScaler()
    x = table.x.astype(np.float64)
    # A constant column may have a rounding error, which scaling would enlarge.
    x[:, _constant(table)] = 0.0
    result: np.ndarray = scaler.fit_transform(x)
    return result


def pca(table: FeatureTable, scaling: str, components: int = 3) -> Pca:
    """Computes principal components; the largest loading of each is positive."""
    from sklearn.decomposition import PCA

    x = scaled(table, scaling)
    if not x.any():
        raise InputError(f"{table.source}: every feature is constant")
    model = PCA(min(components, *x.shape), svd_solver="full")
    scores = model.fit_transform(x)
    return Pca(scaling, scores, model.components_, model.explained_variance_ratio_, table.features)


def pca_frames(pcas: Iterable[Pca]) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Tabulates loadings, a row a scaling and feature, and ratios, one a scaling and component."""
    import pandas as pd

    loadings, ratios = [], []
    for found in pcas:
        columns = {f"component{place}": of for place, of in enumerate(found.loadings, start=1)}
        loadings.append(
            pd.DataFrame({"scaling": found.scaling, "feature": found.features} | columns)
        )
        ratio = pd.DataFrame({"explained_variance_ratio": found.ratios})
        ratio.insert(0, "component", ratio.index + 1)
        ratio.insert(0, "scaling", found.scaling)
        ratios.append(ratio.assign(cumulative=found.ratios.cumsum()))
    return pd.concat(loadings, ignore_index=True), pd.concat(ratios, ignore_index=True)


def data_quality(table: FeatureTable) -> dict[str, Any]:
    """Lists doubtful data, for JSON: exact repeats, constant and extreme features.

    Keys have the table's ``words``, such as tracks_by_genre or rows_by_class.
    """
    counts = np.bincount(table.y, minlength=len(table.genres)).tolist()
    constant, words = np.flatnonzero(_constant(table)), table.words
    units = {words.units: table.num_songs} if table.is_of_songs else {}
    return {
        "data": table.note(),
        "source": table.source,
        "sha256": table.sha256,
        words.rows: len(table.y),
        **units,
        "features": len(table.features),
        f"{words.rows}_by_{words.label}": dict(zip(table.genres, counts, strict=True)),
        "repeats": [
            {
                words.rows: [table.tracks[row] for row in rows],
                words.labels: [table.genres[table.y[row]] for row in rows],
                f"{words.labels}_differ": len({table.y[row] for row in rows}) > 1,
            }
            for rows in table.repeats
        ],
        "constant_features": [table.features[column] for column in constant],
        "extreme_features": _extreme_features(table),
    }


def _constant(table: FeatureTable) -> np.ndarray:
    """Returns (features,) bool."""
    return np.asarray((table.x == table.x[0]).all(axis=0))


def _extreme_features(table: FeatureTable) -> list[dict[str, Any]]:
    """Lists the features with a value far outside the quartiles, the farthest first."""
    x = table.x.astype(np.float64)
    lower, upper = np.quantile(x, [0.25, 0.75], axis=0)
    outside = np.maximum(np.maximum(lower - x, x - upper), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # most rows may share one value
        distance = np.nan_to_num(outside / (upper - lower), posinf=np.inf)
    row, furthest = distance.argmax(axis=0), distance.max(axis=0)
    return [
        {
            "feature": table.features[column],
            table.words.row: table.tracks[row[column]],
            "value": float(table.x[row[column], column]),
            # JSON has no infinity
            "quartile_ranges_outside": far if np.isfinite(far := float(furthest[column])) else None,
            f"{table.words.rows}_beyond_3_quartile_ranges": int((distance[:, column] > _FAR).sum()),
        }
        for column in np.argsort(-furthest, kind="stable")
        if furthest[column] > EXTREME
    ]
