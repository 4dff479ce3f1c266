"""One seed's random numbers, weights, inputs and training, pinned.

Everything else compares one part of the package with another, or distributions: only here would
a run notice that it draws other numbers than the release before. Bits are compared exactly,
results of floating-point arithmetic within the rounding of another processor.
"""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_cnn_sweep, make_fold, make_sweep

from gtzan_jax.models import threefry
from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.models.layers import unpadded
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.tables.folds import arrays_of, sizes_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.trainer import draws
from gtzan_jax.trainer.regularisers import mixup_quantiles, mixup_share, partners
from gtzan_jax.trainer.trial import Static, hyperparameters, make_train, positions, start

SEED, FOLD, FIRST, EPOCHS, BATCH = np.uint32(2**31 + 5), np.uint32(3), np.uint32(1), 2, 8
MLP, CNN = (6, 5), (3, 8)
FAMILIES = {"mlp": MlpFamily(), "cnn": CnnFamily()}
STRUCTURES = {"mlp": MLP, "cnn": CNN}


def make_table(*shape):
    """Returns a table of whole numbers, 24 rows of three genres."""
    place = np.arange(24 * np.prod(shape), dtype=np.int64)
    x = (place * place * 7 + place * 13) % 101 - 40.0
    rows = range(24)
    return FeatureTable(
        x=x.reshape(24, *shape).astype(np.float16 if len(shape) > 1 else np.float32),
        y=np.arange(24, dtype=np.int32) % 3,
        tracks=tuple(f"g{row % 3}.{row:05d}.wav" for row in rows),
        features=tuple(f"f{i}" for i in range(shape[0])),
        genres=("g0", "g1", "g2"),
        sha256="0" * 64,
        source="made.csv",
        repeats=(),
    )


TABLES = {"mlp": make_table(4), "cnn": make_table(4, 6)}
# Thirteen train rows in sixteen places: a whole batch, one of five rows, and padding.
PARTS = make_fold([21, 3, 8, 0, 17, 5, 14, 1, 10, 22, 6, 12, 19], [2, 4, 7, 9], [11, 13, 15, 16])
SIZES = {
    name: sizes_of(table, [PARTS])._replace(num_train=16, num_eval=10)
    for name, table in TABLES.items()
}


def make_sweep_of(name):
    if name == "cnn":
        return make_cnn_sweep(
            EPOCHS, blocks=[1], dropout=[0.3], time_shift=[2], frequency_mask=[1], l2=[0.01],
            max_norm=[0.8], initializer=["he_normal"], learning_rate=[0.05],
        )  # fmt: skip
    axes = {
        "num_units1": [6], "num_units2": [5], "num_units3": None, "dropout1": [0.3],
        "dropout2": [0.1], "dropout3": None, "activation": ["elu"], "optimizer": ["adam"],
        "initializer": ["he_normal"], "learning_rate": [0.05], "mixup": [0.4], "l2": [0.01],
        "input_noise": [0.2], "max_norm": [0.8], "label_smoothing": [0.1],
    }  # fmt: skip
    return make_sweep(axes=axes, learning_rates=None)


@functools.cache
def fold_of(name):
    return arrays_of(TABLES[name], PARTS, SIZES[name])


def digest(array):
    array = np.asarray(array)
    return hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()


def assert_bits(array, first, expected):
    """Compares the first numbers, which say more where they differ, then all."""
    assert np.ravel(array)[: len(first)].tolist() == first
    assert digest(array)[:16] == expected


@functools.cache
def initial(name):
    return draws.draw_initial(FAMILIES[name], STRUCTURES[name], SIZES[name], SEED, FOLD)


@functools.cache
def drawn(name):
    """Returns all draws of two epochs, from the second on."""
    fold, family, sizes = fold_of(name), FAMILIES[name], SIZES[name]
    rows = positions(16, BATCH)
    mlp_only = (
        draws.draw_inputs(sizes.num_features, rows, EPOCHS, SEED, FIRST),
        draws.draw_mixup(rows, EPOCHS, SEED, FIRST),
    )
    return draws.Draws(
        draws.draw_order(fold.row, fold.train_weight, EPOCHS, SEED, FIRST),
        draws.draw_noise(family, STRUCTURES[name], rows, EPOCHS, SEED, FIRST),
        *(mlp_only if name == "mlp" else (None, None)),
    )


def trained(name):
    """Returns the initial state, and what two epochs come to."""
    family, sweep = FAMILIES[name], make_sweep_of(name)
    hyper = hyperparameters(family, sweep.configs[0], sweep, SIZES[name])
    static = Static(family, STRUCTURES[name], BATCH, "cross_entropy")
    state = start(static, hyper, initial(name))
    # Level 0, which compiles more quickly, makes NaN of convolutions on a CPU.
    options = {"xla_backend_optimization_level": 0} if name == "mlp" else None
    train = jax.jit(make_train(static), compiler_options=options)
    return state, train(hyper, state, drawn(name), jnp.int32(EPOCHS), fold_of(name))


def test_keys_and_bits():
    key = threefry.key(SEED)
    assert key.tolist() == [0, 2**31 + 5]
    keys = threefry.fold_in(key, [7, 2**24 + 9])
    assert keys.tolist() == [[1889323047, 1529735541], [2962031904, 943654441]]
    bits = threefry.bits(threefry.fold_in(key, [7, 9]), (3,), np.uint16)
    assert_bits(bits, [31296, 15690, 8390, 17953, 44724], "b08131884662959c")


def test_order():
    """Rows' names, not their places, lead to it; padding is last. Both families have it."""
    expected = [
        [7, 9, 10, 3, 1, 4, 11, 0, 5, 8, 2, 6, 12, 13, 14, 15],
        [5, 1, 10, 2, 3, 6, 8, 9, 12, 11, 0, 7, 4, 13, 14, 15],
    ]
    for name in FAMILIES:
        assert drawn(name).order.tolist() == expected


NOISE = {
    "mlp": [
        ([18151, 55269, 60849, 42772, 23893], "1061abe2d63a1769"),
        ([4243, 11438, 59767, 54552, 6310], "2b3ca983584e8944"),
    ],
    "cnn": [
        ([18151, 55269, 60849, 42772, 23893], "cece385fe3e60720"),
        ([37433, 34878, 29247, 11529, 2121], "aa98127342b03afe"),
    ],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_noise(name):
    """Of the MLP's hidden layers; of the CNN's block, and of its augmentation."""
    for bits, expected in zip(jax.tree.leaves(drawn(name).noise), NOISE[name], strict=True):
        assert_bits(bits, *expected)


INITIAL = {
    "mlp": [
        ([-0.6931964159011841, 0.355404257774353, -0.8874365091323853], "0707d1f730f2035a"),
        ([-0.13604605197906494, -0.32327497005462646, 0.3776651620864868], "e6371f41eac47feb"),
        ([-0.20416796207427979, -0.937564492225647, 0.5585881471633911], "4bf5b3da63824436"),
    ],
    "cnn": [
        ([0.6586607694625854, -0.7501877546310425, -0.8757921457290649], "f962c62c7b16b185"),
        ([-0.673704981803894, 0.06815207004547119, 0.47371184825897217], "af019a7aebb51c81"),
    ],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_initial_draws(name):
    """Multiples of 2**-22, exact in float32."""
    for kernel, expected in zip(initial(name), INITIAL[name], strict=True):
        assert_bits(kernel, *expected)


def test_noise_of_features_and_mixup():
    np.testing.assert_allclose(drawn("mlp").inputs[:, 0], INPUTS, rtol=1e-5)
    np.testing.assert_allclose(drawn("mlp").mixup[:, :4], UNIFORM, rtol=1e-6)
    shares = [mixup_share(mixup_quantiles(0.4), u) for u in jnp.ravel(drawn("mlp").mixup[:, :2])]
    np.testing.assert_allclose(shares, SHARES, rtol=1e-4)
    rows = partners(jnp.arange(8), jnp.asarray([1.0] * 5 + [0.0] * 3))
    assert rows.tolist() == [1, 2, 3, 4, 0, 6, 7, 0]


# Of a row of the first part and of one near the end, first four numbers; eval likewise.
STANDARDISED = {
    "mlp": [
        [1.6897969, 0.5809469, 0.5514863, 0.9315191], [-0.7330737, 1.288976, 0.74926066, 0.6761931],
        [0.46220917, 1.0057644, -1.6734756, 1.0044694],
        [-0.6684638, -1.77915, -0.7834909, 0.78561854],
    ],
    "cnn": [
        [1.672, -1.524, -0.8516, 0.2925], [-1.188, 0.1915, -1.356, 0.9653],
        [1.403, 0.898, 0.8647, 1.302], [-1.02, 0.427, -1.054, 1.336],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_standardised_inputs(name):
    fold = fold_of(name)
    got = [*fold.x_train.reshape(16, -1)[[0, 12], :4], *fold.x_eval.reshape(10, -1)[[0, 7], :4]]
    np.testing.assert_allclose(got, STANDARDISED[name], rtol=1e-5 if name == "mlp" else 2e-3)
    assert not fold.x_train[13:].any()
    assert fold.row.tolist() == [*PARTS.train, 0, 0, 0]


INPUTS = [
    [-0.9898302, -0.72337455, 0.05852289, 3.8746965],
    [0.53286767, 0.78906435, 0.22515485, -0.84251845],
]
UNIFORM = [
    [0.15589368, 0.45820165, 0.04504073, 0.87338066],
    [0.57569706, 0.28184748, 0.63725793, 0.03788853],
]
SHARES = [0.03511323, 0.4234727, 0.63710803, 0.14659065]

SUMS = {
    "mlp": {"hidden1.kernel": 15.40334701538086, "hidden2.kernel": 13.752046585083008,
            "logits.kernel": 7.25894021987915},
    "cnn": {"conv1.kernel": 29.016929626464844, "norm1.scale": 8.0,
            "logits.kernel": 8.326736450195312},
}  # fmt: skip


# By METRICS: train, validation and test loss and accuracy, and those of segments.
HISTORY = {
    "mlp": [
        [1.7532358, 0.15384616, 1.3124319, 0.0, 1.1675175, 0.25, 0.0, 0.0],
        [1.0788943, 0.37479806, 1.1726686, 0.0, 1.1728463, 0.25, 0.0, 0.0],
    ],
    "cnn": [
        [1.5818068, 0.07692308, 1.1334242, 0.5, 1.2442832, 0.25, 0.0, 0.0],
        [1.4037291, 0.23076925, 1.1988806, 0.25, 1.2445377, 0.25, 0.0, 0.0],
    ],
}
PREDICTED = {"mlp": [0, 2, 2, 1, 2, 0, 1, 0, 1, 1], "cnn": [2, 0, 2, 2, 2, 0, 2, 2, 0, 0]}


@pytest.mark.parametrize("name", FAMILIES)
def test_initial_weights_and_two_epochs(name):
    """With dropout, noise, augmentation, mixup and the limits of kernels, as far as each has it."""
    before, outcome = trained(name)
    [config] = make_sweep_of(name).configs
    sizes = SIZES[name]
    shapes = FAMILIES[name].shapes(config, sizes.num_features, sizes.num_classes)
    kept = unpadded(before.params, shapes)
    sums = {part: float(np.abs(array).sum()) for part, array in kept.items() if array.any()}
    assert sums == pytest.approx(SUMS[name], rel=1e-5)
    np.testing.assert_allclose(outcome.history, HISTORY[name], rtol=2e-4, atol=1e-6)
    assert outcome.predicted.tolist() == PREDICTED[name]
