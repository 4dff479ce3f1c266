from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_arrays, make_fold, make_sweep, make_table

from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Trial
from gtzan_jax.tables.folds import sizes_of
from gtzan_jax.trainer import drawing, task
from gtzan_jax.trainer.engine import Engine
from gtzan_jax.trainer.stopping import after_epoch, begin

RANDOM = np.random.default_rng(0)
FALLING = np.linspace(2.0, 1.0, 12)
LOSSES = {
    "falling": FALLING,
    "rising": FALLING[::-1],
    "never better twice": np.tile([1.0, 0.9], 6),
    "no number at first": np.array([np.nan, np.nan, 1.0, 0.5, 0.6, 0.7, 0.4]),
    "no number later": np.array([1.0, 0.5, *[np.nan] * 5]),
    "infinite": np.array([np.inf, np.inf, np.inf, 1.0]),
} | {f"random {i}": RANDOM.normal(1.0, 0.1, 30) for i in range(3)}


def keras_stopping(keras, losses, patience):
    """Returns the epochs that Keras trains, and the one whose weights it restores."""
    model = SimpleNamespace(stop_training=False, weights=None)
    model.get_weights = lambda: model.weights
    model.set_weights = lambda weights: setattr(model, "weights", weights)
    callback = keras.callbacks.EarlyStopping(
        "val_loss", patience=patience, mode="min", restore_best_weights=True
    )
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.weights = epoch + 1
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, model.weights


@pytest.mark.parametrize("patience", [1, 3])
@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_stops_where_keras_stops_and_keeps_what_it_keeps(losses, patience):
    keras = pytest.importorskip("keras")
    now = begin(jnp.zeros(()))
    for epoch, loss in enumerate(losses):
        now = after_epoch(now, np.int32(patience), jnp.float32(loss), jnp.float32(epoch + 1))
        if now.stopped:
            break
    assert (int(now.epochs), float(now.params)) == keras_stopping(keras, losses, patience)
    assert int(now.best) == now.params


def test_without_patience_the_last_epoch_is_kept():
    now = begin(jnp.zeros(()))
    for epoch in range(5):
        now = after_epoch(now, np.int32(0), jnp.float32(epoch), jnp.float32(epoch + 1))
    assert (int(now.epochs), int(now.best), float(now.params)) == (5, 5, 5.0)
    assert not now.stopped


# ------------------------------------------------------------------------------- in an engine

TABLE = make_table(num_features=9)
ROWS = np.random.default_rng(0).permutation(100)
FOLD = make_fold(ROWS[:60], ROWS[60:80], ROWS[80:])
FOLDS = make_arrays(TABLE, FOLD)
SIZES = sizes_of(TABLE, [FOLD])
VALIDATION_LOSS = METRICS.index("validation_loss")
EPOCHS = 12
SEED = 3


def sweep_with(patience, epochs=EPOCHS):
    axes = {
        "num_units1": [12],
        "activation": ["relu"],
        "optimizer": ["adam"],
        "learning_rate": [0.003, 0.01, 0.03, 0.1],
    } | ({"patience": patience} if patience else {})
    return make_sweep(protocol="holdout", epochs=epochs, learning_rates=None, axes=axes)


def engine_of(sweep):
    return Engine(sweep, MlpFamily(), SIZES, devices=jax.devices()[:1], task_size=3)


def results_of(sweep, train=Engine.call):
    """Returns what each trial has come to: history, predicted, last and best, by values."""
    with engine_of(sweep) as engine:
        tasks = engine.plan.tasks(trials_of(sweep, 1, [SEED]))
        return {
            tuple(engine.plan.config_of[config_id].values()): tuple(map(np.array, parts))
            for trained in train(engine, tasks, FOLDS)
            for config_id, *parts in zip(
                trained.task.config_ids, trained.history, trained.predicted,
                trained.last, trained.best, strict=True,
            )
        }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def short_calls():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_EPOCHS", 3)
        patch.setattr(task, "_MOST_TOGETHER", 2)
        yield


@pytest.fixture(scope="module")
def stopping():
    return results_of(sweep_with([0, 1, 2]))


def test_a_trial_trains_as_without_patience_until_it_stops(stopping):
    free = results_of(sweep_with(None))
    lasts = []
    for values, (history, predicted, last, best) in stopping.items():
        *others, patience = values
        whole, at_the_end, *_ = free[tuple(others)]
        losses = whole[:, VALIDATION_LOSS]
        expected = EPOCHS, EPOCHS
        if patience:
            waits = [e - losses[: e + 1].argmin() for e in range(EPOCHS)]
            stop = next((e for e, wait in enumerate(waits) if wait >= patience), EPOCHS - 1)
            expected = stop + 1, losses[: stop + 1].argmin() + 1
        assert (last, best) == expected
        np.testing.assert_allclose(history[:last], whole[:last], rtol=1e-5)
        assert not history[last:].any()
        if best == EPOCHS:
            np.testing.assert_array_equal(predicted, at_the_end)
        lasts.append(int(last))
    assert min(lasts) < EPOCHS - 2  # some stop early, in different calls
    assert len(set(lasts)) > 3


def test_predictions_and_weights_are_those_of_the_best_epoch(stopping):
    values, (_, predicted, last, best) = next(
        (v, r) for v, r in stopping.items() if 1 < r[3] < r[2] < EPOCHS
    )
    until = results_of(sweep_with(None, int(best)))
    np.testing.assert_array_equal(predicted, until[values[:-1]][1])
    sweep = sweep_with([0, 1, 2])
    [config] = [c for c in sweep.configs if tuple(c.values()) == values]
    with engine_of(sweep) as engine:
        wanted = [Trial(config.id, 0, seed) for seed in (SEED, SEED + 1)]
        [repeated] = engine.run(engine.plan.repeats(wanted, EPOCHS), FOLDS)
    short = sweep_with(None, int(best))
    [same] = [c for c in short.configs if tuple(c.values()) == values[:-1]]
    with engine_of(short) as engine:
        repeats = engine.plan.repeats([Trial(same.id, 0, SEED)], int(best))
        [expected] = engine.run(repeats, FOLDS)
    assert (repeated.last[0], repeated.best[0]) == (last, best)
    assert not repeated.history[0, last:].any()
    np.testing.assert_array_equal(repeated.predicted[0], predicted)
    np.testing.assert_allclose(repeated.logits[0], expected.logits[0], rtol=1e-4, atol=1e-5)
    for name, array in expected.params[0].items():
        np.testing.assert_allclose(repeated.params[0][name], array, rtol=1e-4, atol=1e-6)


def test_repacking_changes_no_byte_and_saves_calls(stopping, monkeypatch):
    trials = []
    call = Engine.call

    def counted(engine, tasks, *args, **options):
        trials.extend((task.first_epoch, len(task.config_ids)) for task in tasks)
        return call(engine, tasks, *args, **options)

    monkeypatch.setattr(Engine, "call", counted)
    repacked = results_of(sweep_with([0, 1, 2]), Engine.run)
    assert list(repacked) == list(stopping)
    for values, parts in repacked.items():
        for part, expected in zip(parts, stopping[values], strict=True):
            assert part.tobytes() == expected.tobytes(), values
    # Whoever has not stopped at a boundary, and nobody else, is trained from there on.
    lasts = [last for _, _, last, _ in stopping.values()]
    for first in range(0, EPOCHS, 3):
        assert sum(n for at, n in trials if at == first) == sum(last > first for last in lasts)
    calls = sum(at > 0 for at, _ in trials)
    assert calls < 4 * (EPOCHS // 3 - 1)  # of the four tasks that there are at first
