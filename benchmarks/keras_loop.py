"""Keras, one run after another: ``KERAS_BACKEND=jax python -m benchmarks.keras_loop --data=CSV``.

Builds, compiles and fits a sample of the configs, from which the parent projects. The test part is
evaluated as one batch. ``steps_per_execution=22`` is no faster on the JAX backend. Prints one line
of JSON.
"""

import argparse
import itertools
import json
import time

import keras
from keras import layers

from benchmarks.grid import by_optimizer, stratified, the_sweep
from benchmarks.table import Arrays, load_arrays
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep


def build(config: Config, sweep: Sweep, features: int, classes: int) -> keras.Model:
    """Returns the compiled model of a config."""
    model = keras.Sequential([keras.Input((features,))])
    for units, rate in zip(config.units, config.dropout, strict=True):
        start = config["initializer"]
        model.add(layers.Dense(units, activation=config["activation"], kernel_initializer=start))
        model.add(layers.Dropout(rate))
    model.add(layers.Dense(classes, activation="softmax"))
    rate = sweep.learning_rates[config["optimizer"]]
    rules = {
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
    }
    model.compile(
        rules[config["optimizer"]](rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def train(config: Config, sweep: Sweep, data: Arrays, epochs: int) -> float:
    """Trains a config and returns its test accuracy after the last epoch."""
    keras.utils.clear_session()
    model = build(config, sweep, data.x_train.shape[1], int(data.y_train.max()) + 1)
    fitted = model.fit(
        data.x_train,
        data.y_train,
        batch_size=sweep.batch_size,
        epochs=epochs,
        validation_data=(data.x_test, data.y_test),
        validation_batch_size=len(data.y_test),
        verbose=0,
    )
    return float(fitted.history["val_accuracy"][-1])


def main() -> None:
    """Trains the sample and prints its seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="path of the CSV")
    parser.add_argument("--epochs", type=int, help="default: the sweep's")
    parser.add_argument("--runs", type=int, help="fewer than the sample's")
    given = parser.parse_args()
    sweep, data = the_sweep(), load_arrays(given.data)
    seconds = by_optimizer()
    # Warms up; the first run is not projected.
    train(stratified(sweep)[0], sweep, data, 1)
    accuracies = []
    for config in itertools.islice(stratified(sweep), given.runs):
        begun = time.perf_counter()
        accuracies.append(train(config, sweep, data, given.epochs or sweep.epochs))
        seconds[config["optimizer"]].append(time.perf_counter() - begun)
    answer = {
        "seconds": seconds,
        "best_accuracy": max(accuracies),
        "backend": keras.config.backend(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
