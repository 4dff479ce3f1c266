"""The CNN in the trainer: against Keras, and the trainer's laws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_arrays, make_cnn_sweep, make_fold, slow
from scipy import stats
from test_engine import assert_equal

from gtzan_jax.backends.processes import Processes
from gtzan_jax.backends.remote import RemoteTrainer
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Trial
from gtzan_jax.tables.folds import sizes_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.trainer import draws
from gtzan_jax.trainer.draws import Draws
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.plan import Plan
from gtzan_jax.trainer.trial import Static, hyperparameters, make_train, start

FAMILY = CnnFamily()
BANDS, FRAMES, CLASSES, EPOCHS, BATCH = 16, 17, 4, 2, 16


def make_spectrograms(songs_per_genre=5, segments=3) -> FeatureTable:
    """Returns noise with a louder band in each genre."""
    random, count = np.random.default_rng(0), songs_per_genre * segments
    y = np.repeat(np.arange(CLASSES), count).astype(np.int32)
    x = random.normal(-40.0, 5.0, (len(y), BANDS, FRAMES))
    for row, genre in zip(x, y, strict=True):
        row[4 * genre : 4 * genre + 2, ::2] += 12.0
    tracks = [
        f"g{genre}.{song:05d}.{segment}.wav"
        for genre in range(CLASSES)
        for song in range(songs_per_genre)
        for segment in range(segments)
    ]
    bands, genres = (
        tuple(f"{n}{i}" for i in range(k)) for n, k in (("mel", BANDS), ("g", CLASSES))
    )
    return FeatureTable(x.astype(np.float16), y, tuple(tracks), bands, genres, "0" * 64, "test", ())


TABLE = make_spectrograms()
# Songs of three rows; folds of different sizes.
SONGS = np.random.default_rng(1).permutation(20)
WHOLE, SMALL = (
    make_fold(*(np.flatnonzero(np.isin(TABLE.songs, songs)) for songs in parts))
    for parts in ((SONGS[:12], SONGS[12:16], SONGS[16:]), (SONGS[4:14], SONGS[:2], SONGS[16:19]))
)
SIZES = sizes_of(TABLE, [WHOLE, SMALL])
FOLDS = make_arrays(TABLE, WHOLE, SMALL)


# Folds.


def test_spectrograms_are_standardised_by_band_with_the_train_rows():
    x = TABLE.x.astype(np.float64)
    train = x[WHOLE.train]
    mean, deviation = (f(train, axis=(0, 2))[:, None] for f in (np.mean, np.std))
    fold = FOLDS[0]
    assert fold.x_train.dtype == fold.x_eval.dtype == np.float16
    np.testing.assert_allclose(fold.x_train, (train - mean) / deviation, rtol=2e-3, atol=2e-3)
    rows = np.concatenate([WHOLE.validation, WHOLE.test])
    np.testing.assert_allclose(fold.x_eval, (x[rows] - mean) / deviation, rtol=2e-3, atol=2e-3)
    padded = FOLDS[1].x_train[len(SMALL.train) :]
    assert padded.shape == (6, BANDS, FRAMES)
    assert not padded.any()


def test_a_number_beyond_float16_is_the_largest_that_there_is():
    x = np.full(TABLE.x.shape, -100.0, np.float16)
    x[WHOLE.train[0], 3, 0] = -99.9375  # the band hardly varies, and the test part is loud in it
    x[WHOLE.test, 3] = 100.0
    [fold] = make_arrays(dataclasses.replace(TABLE, x=x), WHOLE)
    tested = fold.x_eval[fold.test_weight > 0]
    assert (tested[:, 3] == np.finfo(np.float16).max).all()
    assert np.isfinite(fold.x_train).all()


# Against Keras.


def limits(keras, config, axes):
    """Returns what a layer's kernel, whose filters' weights lie along so many axes, is kept by."""
    most, norm = config.setting("weight_limit"), config.setting("max_norm")

    def constraint(kernel):
        kernel = keras.ops.clip(kernel, -most, most) if most else kernel
        return keras.constraints.MaxNorm(norm, axis=list(range(axes)))(kernel) if norm else kernel

    regulariser = keras.regularizers.L2(config.setting("l2"))
    return {"kernel_regularizer": regulariser, "kernel_constraint": constraint}


def keras_model(keras, config, params):
    """Returns a model of spectrograms and of dropout's factors, with known weights."""
    spectrogram = keras.Input((BANDS, FRAMES, 1))
    x, factors = spectrogram, []
    side, *widths = FAMILY.structure(config)
    for width in widths:
        x = keras.layers.Conv2D(width, side, padding="same", **limits(keras, config, 3))(x)
        x = keras.layers.GroupNormalization(groups=width // 8)(x)
        x = keras.layers.Activation(config.setting("activation"))(x)
        x = keras.layers.MaxPooling2D()(x)
        factors.append(keras.Input((1, 1, width)))
        x = keras.layers.Multiply()([x, factors[-1]])
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(CLASSES, **limits(keras, config, 1))(x)
    model = keras.Model([spectrogram, *factors], logits)
    blocks = range(1, len(widths) + 1)
    parts = (("conv", "kernel"), ("conv", "bias"), ("norm", "scale"), ("norm", "bias"))
    names = [(f"{layer}{block}", part) for block in blocks for layer, part in parts]
    names += [("logits", "kernel"), ("logits", "bias")]
    model.set_weights([np.asarray(params[layer][part]) for layer, part in names])
    rate = {"adam": 0.01, "sgd": 0.05, "rmsprop": 0.002, "adamw": 0.01}[config["optimizer"]]
    optimizer = {"class_name": config["optimizer"], "config": {"learning_rate": rate}}
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.setting("label_smoothing")
    )
    model.compile(keras.optimizers.get(optimizer), loss, run_eagerly=True)
    return model


def slow_augmentation(x, config, bits):
    """Shifts and masks one row after another."""
    out = []
    for row, drawn in zip(x, bits / 65536.0, strict=True):
        most = config.setting("time_shift")
        row = np.roll(row, int(drawn[0] * (2 * most + 1)) - most, axis=1)
        for axis, name, at in ((0, "frequency_mask", 1), (1, "time_mask", 3)):
            width = int(drawn[at] * (config.setting(name) + 1))
            first = int(drawn[at + 1] * (row.shape[axis] - width + 1))
            row[(slice(None),) * axis + (slice(first, first + width),)] = 0.0
        out.append(row)
    return np.stack(out)


CONFIGS = {
    "adam": {"optimizer": ["adam"]},
    "dropout": {"optimizer": ["sgd"], "dropout": [0.4], "blocks": [2]},
    "augmented": {
        "optimizer": ["rmsprop"], "frequency_mask": [4], "time_mask": [5], "time_shift": [6],
        "blocks": [1], "mixup": [0.4], "l2": [0.01], "max_norm": [1.0], "weight_limit": [0.4],
        "label_smoothing": [0.1],
    },
    "wide kernel": {"optimizer": ["adamw"], "kernel": [5], "activation": ["elu"], "blocks": [2],
                    "filters": [16]},
}  # fmt: skip


@pytest.mark.parametrize("name", ["adam", *map(slow, list(CONFIGS)[1:])])
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_equals_keras(name):
    keras = pytest.importorskip("keras")
    sweep, fold = make_cnn_sweep(**CONFIGS[name]), FOLDS[1]
    [config] = sweep.configs
    structure, seed, zero = FAMILY.structure(config), np.uint32(3), np.uint32(0)
    order = draws.draw_order(fold.row, fold.train_weight, EPOCHS, seed, zero)
    rows = -(-SIZES.num_train // BATCH) * BATCH
    noise = draws.draw_noise(FAMILY, structure, rows, EPOCHS, seed, zero)
    hyper = hyperparameters(FAMILY, config, sweep, SIZES)
    static = Static(FAMILY, structure, BATCH, sweep.loss)
    state = start(static, hyper, draws.draw_initial(FAMILY, structure, SIZES, seed, zero))
    mixed = "mixup" in config
    uniform = draws.draw_mixup(rows, EPOCHS, seed, zero) if mixed else None
    drawn = Draws(order, noise, mixup=uniform)
    outcome = jax.jit(make_train(static))(hyper, state, drawn, EPOCHS, fold)

    count, rate = int(fold.train_weight.sum()), np.float32(config.setting("dropout"))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = keras_model(keras, config, state.params)
        for epoch in range(EPOCHS):
            for first in range(0, count, BATCH):
                at = slice(first, min(first + BATCH, count))
                chosen = order[epoch, at]
                x = fold.x_train[chosen].astype(np.float32)
                y = np.eye(CLASSES, dtype=np.float32)[fold.y_train[chosen]]
                if mixed:
                    of_step = np.float64(uniform[epoch, first // BATCH])
                    share = np.float32(stats.beta.ppf(of_step, *[config["mixup"]] * 2))
                    x, y = (share * a + (1 - share) * np.roll(a, -1, axis=0) for a in (x, y))
                x = slow_augmentation(x, config, noise.augment[epoch, at])
                factors = [
                    (bits[epoch, at] >= round(float(rate) * 65536)).astype(np.float32) / (1 - rate)
                    for bits in noise.channels
                ]
                inputs = [x[..., None], *(f[:, None, None] for f in factors)]
                model.train_on_batch(inputs, y)
        ones = [np.ones((len(fold.y_eval), 1, 1, w), np.float32) for w in structure[1:]]
        logits = np.asarray(model([fold.x_eval.astype(np.float32)[..., None], *ones]))
        log_probabilities = np.asarray(jax.nn.log_softmax(logits))
    test = fold.test_weight > 0
    loss = -log_probabilities[test, fold.y_eval[test]].mean()
    figures = dict(zip(METRICS, np.asarray(outcome.history[-1]), strict=True))
    assert figures["test_loss"] == pytest.approx(loss, rel=1e-3)
    hits = (log_probabilities.argmax(1) == fold.y_eval)[test]
    assert figures["test_segment_accuracy"] == pytest.approx(hits.mean())
    own = FAMILY.apply(outcome.state.params, jnp.asarray(fold.x_eval), hyper.model, None)
    np.testing.assert_allclose(own, logits, rtol=5e-3, atol=5e-3)


# The laws: a trial's numbers do not depend on its company.


AXES = {"filters": [8, 16], "blocks": [1, 2], "dropout": [0.0, 0.3], "time_mask": [0, 3]}


@pytest.fixture(scope="module")
def sweep():
    return make_cnn_sweep(**AXES)


def run(trainer, sweep, seeds=(7,), folds=FOLDS):
    with trainer:
        tasks = trainer.plan.tasks(trials_of(sweep, 2, seeds))
        return {
            trial: history
            for trained in trainer.run(tasks, folds)
            for trial, history in zip(trained.task.trials, trained.history, strict=True)
        }


@pytest.fixture(scope="module")
def together(sweep):
    return run(Engine(sweep, FAMILY, SIZES), sweep)


@pytest.mark.parametrize(
    "options",
    [
        {"task_size": 1},
        slow({"task_size": 3, "devices": jax.devices()[:1]}),
        slow({"mode": "shape"}),
        {"mode": "padded"},
    ],
    ids=str,
)
def test_numbers_do_not_depend_on_tasks_devices_or_padding(sweep, together, options):
    assert_equal(run(Engine(sweep, FAMILY, SIZES, **options), sweep), together, rtol=1e-4)


def test_side_by_side_as_one_after_another(sweep, together, monkeypatch):
    monkeypatch.setattr(CnnFamily, "trains_singly", lambda *_: False)
    few = dataclasses.replace(sweep, axes={**sweep.axes, "blocks": (2,)})

    @dataclasses.dataclass(frozen=True)
    class Other(CnnFamily):  # another key of the programs' cache
        other: int = 1

    assert_equal(run(Engine(few, Other(), SIZES), few), together, rtol=2e-3)


@pytest.mark.parametrize("singly", [True, False])
def test_trials_that_train_singly_are_segments_of_their_own(sweep, monkeypatch, singly):
    """Else a few trials would keep one of many workers busy."""
    monkeypatch.setattr(CnnFamily, "trains_singly", lambda *_: singly)
    with Engine(sweep, FAMILY, SIZES, devices=jax.devices()[:1]) as engine:
        sizes = {len(task.config_ids) for task in engine.plan.tasks(trials_of(sweep, 2, [0, 1]))}
        repeats = engine.plan.repeats([Trial(sweep.configs[0].id, 0, seed) for seed in range(6)], 2)
    assert sizes == ({1} if singly else {8})
    assert {len(task.trials) for task in repeats} == ({1} if singly else {6})


@pytest.mark.slow
def test_workers_train_to_the_same_bytes_however_many_they_are(sweep, together):
    trainers = []
    for workers in (1, 2):
        pool = Processes(workers)
        try:
            trainers.append(
                run(RemoteTrainer(pool, "float32", Plan(sweep, CnnFamily(), SIZES)), sweep)
            )
        finally:
            pool.close()
    assert_equal(trainers[0], together, rtol=2e-3)
    for trial, history in trainers[1].items():
        np.testing.assert_array_equal(history, trainers[0][trial])


@pytest.mark.slow
def test_seeds_are_repeated_as_they_are_swept(sweep, together):
    config = sweep.configs[5]
    with Engine(sweep, FAMILY, SIZES) as engine:
        repeats = engine.plan.repeats([Trial(config.id, 1, seed) for seed in (7, 8)], EPOCHS)
        trained = next(engine.run(repeats, FOLDS))
    [swept] = [h for m, h in together.items() if m.config_id == config.id and m.fold == 1]
    np.testing.assert_allclose(trained.history[0], swept, rtol=2e-3)
    assert {n: a.shape for n, a in trained.params[0].items()} == FAMILY.shapes(config, 16, 4)


@pytest.mark.slow
def test_it_learns():
    sweep = make_cnn_sweep(epochs=20, optimizer=["adam"], learning_rate=[0.003])
    with Engine(sweep, FAMILY, sizes_of(TABLE, [WHOLE])) as engine:
        [trained] = engine.run(
            engine.plan.tasks(trials_of(sweep, 1, [0])), make_arrays(TABLE, WHOLE)
        )
    assert trained.history[0, -1, METRICS.index("test_accuracy")] >= 0.75
