import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import make_sweep, slow
from finished_runs import random_history
from matplotlib.colors import to_hex

from gtzan_jax.analysis import exploration
from gtzan_jax.inference.front_end import Span
from gtzan_jax.inference.prediction import Prediction
from gtzan_jax.rundir.ranking import results_table
from gtzan_jax.tables.schema import FEATURES
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views import plots
from gtzan_jax.views.plots.exploration import unit
from gtzan_jax.views.plots.style import genre_colours, genre_markers, short_name
from gtzan_jax.views.sections.effects import effects_of

NOTE = "Data: SYNTHETIC sample"
SWEEP = make_sweep()
RESULTS = results_table(SWEEP, random_history(SWEEP))
SHUFFLED = "test accuracy lost when the feature is shuffled"
OVER_FOLDS = "standard deviation over the folds"
CURVE = np.linspace(0.2, 0.8, 7)
NETWORKS = pd.DataFrame(  # two networks that differ by 0.2
    {
        "fold": 0,
        "seed": np.repeat([0, 1], 7),
        "epoch": np.tile(np.arange(1, 8), 2),
        "kept": np.tile(np.arange(1, 8), 2) == 7,
        "train_loss": np.tile(CURVE, 2),
        "validation_loss": np.concatenate([CURVE, CURVE + 0.2]),
        "test_accuracy": np.concatenate([CURVE, CURVE - 0.2]),
    }
)
EFFECTS = pd.DataFrame(
    [
        ["optimizer", "adam", 0.09, 0.05, 0.13],
        ["optimizer", "sgd", -0.2, -0.3, -0.1],
        ["optimizer", "rmsprop", 0.11, np.nan, np.nan],
        ["dropout1", 0.1, 0.01, np.nan, np.nan],
        ["dropout1", 0.2, -0.01, np.nan, np.nan],
    ],
    columns=["hyperparameter", "value", "effect", "low", "high"],
)
ACCURACIES = pd.DataFrame(
    [["here", "ours", 0.6, 0.5, 0.7, "random"], ["here", "theirs", 0.55, np.nan, np.nan, "apart"]],
    columns=["label", "series", "accuracy", "low", "high", "kind"],
)
SHARES = {"optimizer": 0.8, "dropout1": 0.0001}
WINNERS = pd.DataFrame({"configs": [1, 3, 12], "apparent": [0.5, 0.6, 0.7], "held_out": 0.5})
SCORES = pd.DataFrame(
    [
        ["kfold", "ours", 0.7, 0.6, 0.8],
        ["kfold", "other", 0.6, np.nan, np.nan],  # as where all tracks were recognised
        ["artist_folds", "other", 0.5, 0.4, 0.55],
        ["artist_folds", "ours", 0.45, 0.4, 0.5],
    ],
    columns=["protocol", "model", "accuracy", "low", "high"],
)
IMPORTANCE = pd.DataFrame(
    [["tempo", 0.1, 0.01, 0.2, 0.02], ["rms_mean", 0.0, 0.01, 0.1, 0.02], ["rest", 0, 0, 0, 0]],
    columns=["feature", "classical_mean", "classical_std", "mlp_mean", "mlp_std"],
)


@pytest.mark.parametrize(
    ("figure", "labels"),
    [
        (
            lambda: plots.training_curves(NETWORKS, "accuracy", "Accuracy", NOTE),
            ["accuracy", "test 0.700", "epoch (train: mean over its batches)"],
        ),
        (
            lambda: plots.training_curves(NETWORKS, "loss", "Loss", NOTE),
            ["loss (nats)", "train 0.800", "validation 0.900"],
        ),
        (
            lambda: plots.confusion_matrix(np.array([[3, 1], [0, 41]]), ("blues", "rock"), NOTE),
            ["blues", "rock", "true genre", "75", "25", "100"],
        ),
        (
            lambda: plots.value_effects(EFFECTS, SHARES, "Effects", NOTE),
            ["optimizer", "sgd", "adam", "rmsprop", "0.1", "0.2", "80.0 %", "< 0.1 %", "Effects"],
        ),
        (
            lambda: plots.value_distributions(RESULTS, SWEEP.varying, NOTE),
            ["num_units1 = 8", "optimizer = rmsprop", "test accuracy"],
        ),
        (
            lambda: plots.accuracy_rows(ACCURACIES, note=NOTE),
            ["here", "ours", "theirs", "0.600", "0.550", "test accuracy, with 95 % interval"],
        ),
        (
            lambda: plots.optimism(WINNERS, "chosen by", "not chosen by", NOTE),
            ["chosen by", "not chosen by", "0.700", "0.500", "12"],
        ),
        (
            lambda: plots.pair_heatmap(RESULTS, SWEEP.axes, NOTE),
            ["num_units1 = 8", "optimizer = rmsprop", "mean test accuracy"],
        ),
        (
            lambda: plots.accuracy_by_protocol(SCORES, ["artist_folds"], "ours", NOTE),
            ["ours", "other", "kfold, random", "artist_folds"],
        ),
        (
            lambda: plots.feature_importance(IMPORTANCE, "other", "ours", NOTE, top=2),
            ["tempo", "rms_mean", "other", "ours", f"{SHUFFLED}\nmean ± {OVER_FOLDS}"],
        ),
    ],
    ids=[
        "accuracy", "loss", "confusion", "effects", "distributions", "rows", "optimism",
        "pairs", "models", "importance",
    ],
)  # fmt: skip
def test_figures_are_labelled_and_name_their_data(figure, labels):
    assert {NOTE, *labels} <= texts(figure())


def test_curves_are_labelled_with_the_figures_of_the_epochs_kept():
    kept = NETWORKS["epoch"] == np.where(NETWORKS["seed"] == 0, 4, 6)
    history = NETWORKS.assign(kept=kept, test_segment_accuracy=NETWORKS["test_accuracy"] / 2)
    history = history[(history["seed"] == 1) | (history["epoch"] < 6)]
    (axes,) = plots.training_curves(history, "accuracy", "Accuracy", NOTE).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    # 0.5 in epoch 4 of the one, 0.7 - 0.2 in epoch 6 of the other.
    assert labels == ["test 0.500", "test, by segment 0.250"]
    assert "numbers: best epoch" in axes.get_legend().get_title().get_text()


@pytest.mark.parametrize("by_segment", [False, True])
def test_the_legend_of_curves_is_not_wider_than_the_reports_figure(by_segment):
    history = NETWORKS.assign(train_accuracy=0.1, validation_accuracy=0.1)
    if by_segment:
        history = history.assign(validation_segment_accuracy=0.1, test_segment_accuracy=0.1)
    figure = plots.training_curves(history, "accuracy", "", NOTE)
    figure.draw_without_rendering()
    assert figure.axes[0].get_legend().get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("apart", [["artist_folds"], [], ["artist_folds", "kfold"]])
def test_every_accuracy_stands_in_the_row_of_its_model(apart):
    (axes,) = plots.accuracy_by_protocol(SCORES, apart, "ours", NOTE).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "other"]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    names = [text.split(", ")[0] for text in legend]
    drawn = {
        (name, int(np.rint(row)), accuracy)
        for name, (line, *_) in zip(names, axes.containers, strict=True)
        for accuracy, row in line.get_xydata()
    }
    rows = {"ours": 0, "other": 1}
    expected = zip(SCORES["protocol"], SCORES["model"].map(rows), SCORES["accuracy"], strict=True)
    assert drawn == set(expected)


def test_a_model_may_be_missing_under_a_protocol_of_any_name():
    scores = SCORES[:3].replace("kfold", "$x")
    (axes,) = plots.accuracy_by_protocol(scores, [], "ours", NOTE).axes
    axes.figure.draw_without_rendering()
    counts = [int(np.isfinite(line.get_xdata(orig=False)).sum()) for line, *_ in axes.containers]
    assert counts == [2, 1]


@pytest.mark.parametrize(
    ("protocol", "leaky", "named"),
    [
        ("leaky_segments", ["leaky_segments"], "leaky_segments, LEAK"),
        ("kfold", [], "kfold, random"),
    ],
)
def test_one_protocol_is_named_with_what_it_is(protocol, leaky, named):
    scores = SCORES[:2].replace("kfold", protocol)
    figure = plots.accuracy_by_protocol(scores, [], "ours", NOTE, leaky)
    assert named in texts(figure)


def test_protocols_are_drawn_in_the_order_given():
    names = [f"p{place}" for place in range(40)]  # many: sorting may shuffle equal rows
    scores = pd.concat([SCORES[:2].replace("kfold", name) for name in names])
    (axes,) = plots.accuracy_by_protocol(scores, names, "ours", NOTE).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names


def test_the_deviation_of_each_importance_is_drawn():
    panels = plots.feature_importance(IMPORTANCE, "other", "ours", NOTE).axes
    for axes, model in zip(panels, ("classical", "mlp"), strict=True):
        bars = axes.containers[0]
        drawn = np.array([end[:, 0] for end in bars.lines[2][0].get_segments()])
        mean, deviation = (IMPORTANCE[f"{model}_{of}"].to_numpy() for of in ("mean", "std"))
        np.testing.assert_allclose(drawn, np.stack([mean - deviation, mean + deviation], axis=1))


@pytest.mark.parametrize("drawn", [True, False])
def test_bars_are_named_where_they_are_drawn(drawn):
    """Of one fold there is no deviation; where all tracks are recognised there is no interval."""
    spread = IMPORTANCE if drawn else IMPORTANCE.assign(classical_std=np.nan, mlp_std=np.nan)
    importance = plots.feature_importance(spread, "other", "ours", NOTE)
    scores = SCORES if drawn else SCORES.assign(low=np.nan, high=np.nan)
    models = plots.accuracy_by_protocol(scores, [], "ours", NOTE)
    assert any(OVER_FOLDS in text for text in texts(importance)) == drawn
    has_bars = [len(axes.containers) == 2 for axes in importance.axes]
    assert has_bars == [drawn, drawn]
    assert any("95 % interval" in text for text in texts(models)) == drawn


def numbered(count):
    """Returns a sweep of some axes that take two values."""
    names = [f"{stem}{layer}" for layer in range(1, 7) for stem in ("num_units", "dropout")]
    axes = {name: [4, 8] if "units" in name else [0.0, 0.5] for name in names[:count]}
    given = dict.fromkeys(["num_units2", "num_units3", "dropout1", "dropout2", "dropout3"])
    return make_sweep(axes=given | axes | {"activation": ["relu"], "optimizer": ["adam"]})


@pytest.mark.parametrize("count", [1, 2, 3, 4, slow(9), slow(10), slow(11)])
def test_figures_of_a_sweep_take_any_number_of_axes(count):
    sweep = numbered(count)
    results = results_table(sweep, random_history(sweep)).sort_values("config_id", key=ids(sweep))
    assert len(sweep.varying) == count
    accuracy = results["test_accuracy"].to_numpy()[:, None, None]
    found = effects_of(accuracy, sweep)
    assert set(sweep.varying) <= texts(plots.value_effects(found.values, found.shares))
    pairs = {f"{name} = {v:g}" for name, values in sweep.varying.items() for v in values}
    assert pairs <= texts(plots.pair_heatmap(results, sweep.axes, NOTE))


def ids(sweep):
    """Returns a key that sorts by the place in the grid."""
    return lambda column: column.map(sweep.places)


def test_effects_are_drawn_where_they_are_and_named_beside():
    axes = plots.value_effects(EFFECTS, None).axes[0]
    drawn = {
        round(x, 6) for line in axes.lines if line.get_marker() == "o" for x in line.get_xdata()
    }
    assert drawn == {9.0, -20.0, 11.0, 1.0, -1.0}
    ends = [end for bars in axes.collections for end in bars.get_segments() if len(end)]
    bars = {tuple(np.round(end[:, 0], 6)) for end in ends}
    assert {(5.0, 13.0), (-30.0, -10.0)} <= bars
    named = {text.get_text(): text for text in axes.texts}
    assert set(named) == {"sgd", "adam", "rmsprop", "0.1", "0.2"}
    assert named["sgd"].xy[0] == pytest.approx(-30)  # outside its interval, on the left
    assert named["sgd"].get_ha() == "right"
    assert named["rmsprop"].xy[0] == pytest.approx(11)
    assert named["rmsprop"].get_ha() == "left"


def test_values_between_are_named_above_their_dots():
    rows = [
        ["a", value, effect, np.nan, np.nan]
        for value, effect in zip("xyz", (-1, 0, 1), strict=True)
    ]
    axes = plots.value_effects(pd.DataFrame(rows, columns=list(EFFECTS)), None).axes[0]
    places = {text.get_text(): (text.xy[0], text.get_ha()) for text in axes.texts}
    assert places == {"x": (-100, "right"), "y": (0, "center"), "z": (100, "left")}


@pytest.mark.parametrize("effects", [[0.0, 0.0, 0.0], [0.1, np.nan, -0.1], [np.nan, 0.0, np.nan]])
def test_effects_that_are_equal_or_missing_can_be_drawn(effects):
    rows = [
        ["a", value, effect, np.nan, np.nan] for value, effect in zip("xyz", effects, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=list(EFFECTS))
    found = texts(plots.value_effects(frame, {"a": np.nan}))
    assert {"a", "–"} <= found
    assert "0.5 / 2.5 %" in texts(plots.value_effects(frame, {"a": 0.005}, near={"a": 0.025}))
    assert "0.5 / –" in texts(plots.value_effects(frame, {"a": 0.005}, near={}))
    named = [value for value, effect in zip("xyz", effects, strict=True) if np.isfinite(effect)]
    assert set(named) <= found


def test_distributions_have_their_medians():
    axes = plots.value_distributions(RESULTS, {"optimizer": ["adam", "sgd"]}, NOTE).axes[0]
    medians = RESULTS.groupby("optimizer")["test_accuracy"].median()
    drawn = {line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == 2.5}
    assert drawn == {medians["adam"], medians["sgd"]}


TABLE = load_table("sample")
TABLE_NOTE = "Data: SYNTHETIC sample, not GTZAN; 1,000 tracks"
RANKING = pd.DataFrame({"rank": np.arange(1, 58), "feature": FEATURES[::-1]})
PCA = exploration.pca(TABLE, "standard")

# Severity 1.0, from Machado, Oliveira and Fernandes, IEEE Transactions on Visualization and
# Computer Graphics 15 (2009); for linear RGB.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SRGB_TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def texts(figure):
    """Returns all that is written in a figure."""
    figure.draw_without_rendering()  # lays the ticks out
    return {text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))}


def seen(colours, eye):
    """Returns how an eye sees colours: (colours, 3) CIELAB."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(EYES[eye]), 0, 1)
    xyz = linear @ np.transpose(SRGB_TO_XYZ) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize(
    ("eye", "apart"),
    [("all cones", 30), ("protanopia", 27), ("deuteranopia", 27), ("tritanopia", 24)],
)
def test_genres_stay_apart_for_every_eye(eye, apart):
    # A difference of 2.3 is just noticeable; matplotlib's own ten come as close as 4.6.
    for genres in (TABLE.genres, tuple("abcdefghij")):
        colours = seen(genre_colours(genres).values(), eye)
        white = np.array([100, 0, 0])
        for one, other in itertools.combinations([*colours, white], 2):
            assert np.linalg.norm(one - other) > (15 if other is white else apart)


def test_genres_of_gtzan_keep_their_colours():
    colours = genre_colours(TABLE.genres)
    assert genre_colours(("jazz", "rock")) == {name: colours[name] for name in ("jazz", "rock")}


def test_other_genres_differ_in_colour_or_marker():
    genres = [f"genre {i}" for i in range(100)]
    colours, markers = genre_colours(genres), genre_markers(genres)
    assert len({(colours[genre], markers[genre]) for genre in genres}) == 100
    assert len({markers[genre] for genre in genres[:10]}) == 10


def test_names_are_shown_literally_and_short():
    assert short_name("a$b$") == r"a\$b\$"
    assert short_name("a\nb\t") == "a b "
    assert short_name("_a") == " _a"  # matplotlib would leave it out of a legend
    assert len(short_name("x" * 99)) == 24


@pytest.mark.parametrize(
    ("figure", "labels"),
    [
        (
            lambda: plots.correlation_heatmap(exploration.correlations(TABLE), TABLE_NOTE),
            ["mfcc2_mean", "spectral_centroid_mean", "−1.00", "1.00"],
        ),
        (
            lambda: plots.feature_by_genre(TABLE, "rolloff_mean", "place 2"),
            [*TABLE.genres, "Hz", "rolloff_mean by genre\nplace 2"],
        ),
        (lambda: plots.feature_by_genre(TABLE, "rms_var"), ["full scale², log scale", "0.001"]),
        (
            lambda: plots.contact_sheet(TABLE, RANKING),
            [*TABLE.genres, *(f"{i}  {name}" for i, name in enumerate(FEATURES[::-1], 1)), "BPM"],
        ),
        (
            lambda: plots.pca_scatter(PCA, TABLE, 2),
            [*TABLE.genres, f"component 1 ({100 * PCA.ratios[0]:.1f} % of variance)"],
        ),
        (
            lambda: plots.pca_scatter(PCA, TABLE, 3),
            [*TABLE.genres, f"component 3 ({100 * PCA.ratios[2]:.1f} % of variance)"],
        ),
        (
            lambda: plots.pca_loadings(PCA, TABLE_NOTE),
            ["loading", FEATURES[np.abs(PCA.loadings[1]).argmax()]],
        ),
    ],
    ids=["heatmap", "feature", "variance", "sheet", "plane", "space", "loadings"],
)
def test_figures_of_the_table_are_labelled_and_name_their_data(figure, labels):
    found = texts(figure())
    assert set(labels) <= found
    assert any(text.startswith(TABLE_NOTE) for text in found)


def test_the_heatmap_has_its_scale_whatever_the_data():
    names = ["a_mean", "b_mean"]
    matrix = pd.DataFrame([[1.0, 0.1], [0.1, 1.0]], names, names)
    figure = plots.correlation_heatmap(matrix, NOTE)
    (image,) = figure.axes[0].images
    assert image.get_clim() == (-1, 1)


def test_boxes_are_the_quartiles_in_the_genres_colours():
    figure = plots.feature_by_genre(TABLE, "mfcc1_mean")
    boxes = figure.axes[0].patches
    colours = genre_colours(TABLE.genres)
    for genre, box in enumerate(boxes):
        values = TABLE.x[TABLE.y == genre, FEATURES.index("mfcc1_mean")]
        lower, upper = np.quantile(values.astype(np.float64), [0.25, 0.75])
        ends = box.get_path().vertices[:, 1]
        assert (ends.min(), ends.max()) == (pytest.approx(lower), pytest.approx(upper))
        red, green, blue, _ = (round(255 * part) for part in box.get_facecolor())
        assert f"#{red:02X}{green:02X}{blue:02X}" == colours[TABLE.genres[genre]]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("tempo", "BPM"),
        ("spectral_centroid_mean", "Hz"),
        ("rolloff_var", "Hz²"),
        ("mfcc20_var", "dB²"),
        ("rms_mean", "full scale"),
    ],
)
def test_features_have_units(feature, expected):
    assert unit(feature) == expected
    assert all(unit(name) for name in FEATURES)


@pytest.mark.parametrize(
    "genres", [["$a$_{", "_b"], slow([f"a long genre's name {i}" for i in range(30)])]
)
def test_figures_bear_other_genres_and_constant_features(genres):
    y = np.arange(60, dtype=np.int32) % len(genres)
    x = TABLE.x[:60].copy()
    for feature in ("tempo", "rms_mean", "rms_var", "harmony_mean"):
        x[:, FEATURES.index(feature)] = 0.1
    x[0, FEATURES.index("harmony_mean")] = -1e6  # the only one that differs
    table = dataclasses.replace(
        TABLE, x=x, y=y, tracks=TABLE.tracks[:60], genres=tuple(genres), source="$a$_{.csv"
    )
    ranking = exploration.rank_features(table).query("rank <= 5")
    pca = exploration.pca(table, "min-max")
    figures = [
        plots.correlation_heatmap(exploration.correlations(table), table.note()),
        plots.contact_sheet(table, ranking),
        plots.pca_scatter(pca, table, 2),
        plots.pca_scatter(pca, table, 3),
    ]
    for feature in ("tempo", "rms_var", "harmony_mean", "perceptr_mean"):
        figures.append(plots.feature_by_genre(table, feature))
    for figure in figures:
        assert any("_{.csv; 60 tracks" in text for text in texts(figure))


def songs_of(part, probability, right, calibrated=np.nan):
    """Songs as in best/calibration.csv, of a probability each."""
    songs = pd.DataFrame({"probability": probability, "calibrated": calibrated})
    return songs.assign(part=part, genre="a", predicted=np.where(right, "a", "b"))


def test_reliability_is_the_share_of_songs_in_each_bin_of_the_test_part():
    right = np.arange(40) % 4 == 0
    test = songs_of("test", np.where(np.arange(40) < 32, 0.95, 0.35), right, 0.25)
    songs = pd.concat([songs_of("validation", [0.5] * 9, [True] * 9, 0.5), test])
    above, axes = plots.reliability(songs, "", NOTE).axes
    lines = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    filled = [line.get_xydata().tolist() for line in lines if line.get_markerfacecolor() != "white"]
    hollow = [line.get_xydata().tolist() for line in lines if line.get_markerfacecolor() == "white"]
    assert filled == [[[pytest.approx(0.95), 0.25]], [[0.25, 0.25]]]
    assert hollow == [[[pytest.approx(0.35), 0.25]]]  # of eight songs
    assert [bar.get_height() for bar in above.patches] == [8, 32, 40]
    labels = [text.get_text() for text in above.get_legend().get_texts()]
    error = (32 * 0.70 + 8 * 0.10) / 40
    assert labels == [
        f"not calibrated: error {100 * error:.1f} points", "calibrated: error 0.0 points",
        "exact probabilities", "fewer than 10 songs",
    ]  # fmt: skip


def test_without_a_temperature_one_curve_is_drawn():
    songs = songs_of("test", np.full(20, 0.6), np.arange(20) < 10)
    above = plots.reliability(songs, "", NOTE).axes[0]
    assert [text.get_text() for text in above.get_legend().get_texts()] == [
        "not calibrated: error 10.0 points", "exact probabilities",
    ]  # fmt: skip


@pytest.mark.parametrize("title", ["", "Calibration of the saved model"])
def test_the_legend_of_reliability_is_beside_the_title_and_the_data(title):
    songs = songs_of("test", np.linspace(0.05, 0.95, 400), np.arange(400) % 2 == 0, 0.5)
    few = songs_of("test", [0.99], [True], 0.99)
    figure = plots.reliability(pd.concat([songs[40:], few]), title, NOTE)
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend().get_window_extent()
    assert legend.y0 >= figure.axes[0].bbox.y1
    assert legend.x1 <= figure.bbox.x1
    if title:
        assert legend.y1 <= figure._suptitle.get_window_extent().y0


def a_prediction(spans, by_window):
    return Prediction(
        path="music/$x$.wav", seconds=60.0, genres=("rock", "jazz", "pop", "metal", "disco"),
        probabilities=np.array([0.5, 0.2, 0.1, 0.1, 0.1]), is_calibrated=True,
        spans=[Span(*span) for span in spans], by_window=np.array(by_window), unlike=None,
        trained_on=None, notes=(), inputs=np.zeros((len(spans), 57), np.float32),
    )  # fmt: skip


def test_each_windows_probabilities_are_stacked_over_its_time():
    rate = 22_050
    windows = [(0, 30 * rate), (20 * rate, 50 * rate)]  # overlap from 20 s to 30 s
    rows = [[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.6, 0.1, 0.1, 0.1]]
    one = a_prediction(windows, rows)
    genres = ("disco", "jazz", "metal", "pop", "rock")
    figure = plots.over_time([one, one], genres, NOTE)
    assert len(figure.axes) == 2
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == r"\$x\$.wav"
    bars = axes.patches
    starts = [round(bar.get_x(), 6) for bar in bars[:2]]
    ends = [round(bar.get_x() + bar.get_width(), 6) for bar in bars[:2]]
    assert (starts, ends) == ([0, 25], [25, 50])
    heights = np.array([bar.get_height() for bar in bars]).reshape(5, 2).T
    np.testing.assert_allclose(heights, rows, atol=1e-9)
    np.testing.assert_allclose(heights.sum(axis=1), 1)
    colours = genre_colours(genres)
    assert to_hex(bars[0].get_facecolor()).upper() == colours["rock"].upper()


def test_a_single_window_is_drawn_as_a_bar_for_each_genre():
    two = a_prediction([(0, 22_050), (22_050, 44_100)], [[0.5, 0.2, 0.1, 0.1, 0.1]] * 2)
    one = a_prediction([(0, 22_050)], [[0.5, 0.2, 0.1, 0.1, 0.1]])
    mixed = plots.over_time([one, two], one.genres, NOTE)
    axes = mixed.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.5, 0.2, 0.1, 0.1, 0.1])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["rock", "jazz", "pop", "metal", "all others"]
    assert [text.get_text() for text in axes.texts] == ["50 %", "20 %", "10 %", "10 %", "10 %"]
    colours = genre_colours(one.genres)
    fills = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches[:4]]
    assert fills == [colours[name].upper() for name in names[:4]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the most probable first
    assert [axes.get_xlabel() for axes in mixed.axes] == ["probability", "time (minutes:seconds)"]
    assert [axes.get_legend() is None for axes in mixed.axes] == [True, False]
    assert "window by window" in mixed.get_suptitle()
    assert "window" not in plots.over_time([one], one.genres, NOTE).get_suptitle()


def test_of_many_songs_the_first_are_drawn_and_the_rest_is_told():
    one = a_prediction([(0, 22_050)], [[0.5, 0.2, 0.1, 0.1, 0.1]])
    figure = plots.over_time([one] * 23, one.genres, NOTE)
    assert len(figure.axes) == 20
    assert "not drawn: 3 more songs" in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize("lines", [1, 2])
def test_a_long_title_keeps_within_its_figure(lines):
    title = "\n".join(
        ["Retraining 128-128-128 0.1-0.1-0.1 leaky_relu glorot_uniform rmsprop"] * lines
    )
    figure = plots.training_curves(NETWORKS, "accuracy", title, NOTE)
    figure.draw_without_rendering()
    assert figure.get_suptitle().split() == title.split()
    assert figure._suptitle.get_window_extent().width <= figure.bbox.width
