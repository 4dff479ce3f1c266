"""The training of one network in NumPy and float64, written from the definitions.

Nothing of the package is imported here: whatever trains, it has to agree with these numbers.
Parameters are lists of (kernel, bias) pairs, the output layer last.
"""

from collections.abc import Sequence

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]


def dropout_factors(bits: np.ndarray, rate: float) -> np.ndarray:
    """Returns 0 where a unit is dropped, else 1 / (1 - rate), from uint16 bits.

    A unit is dropped if its bits, as a fraction of 2**16, are below the rate, which is rounded
    to a multiple of 2**-16.
    """
    dropped = bits / 2.0**16 < np.round(rate * 2.0**16) / 2.0**16
    return np.where(dropped, 0.0, 1.0 / (1.0 - rate))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def forward(
    layers: Layers, x: np.ndarray, slope: float, factors: Sequence[np.ndarray] | None
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Returns each layer's inputs, the derivative of each hidden layer's output, the logits."""
    inputs, derivatives = [x], []
    for number, (kernel, bias) in enumerate(layers[:-1]):
        before = inputs[-1] @ kernel + bias
        derivative = np.where(before >= 0, 1.0, slope)
        if factors is not None:
            derivative = derivative * factors[number]
        derivatives.append(derivative)
        inputs.append(before * derivative)  # the activation is linear on either side of zero
    kernel, bias = layers[-1]
    return inputs, derivatives, inputs[-1] @ kernel + bias


def gradients(
    layers: Layers,
    x: np.ndarray,
    labels: np.ndarray,
    slope: float,
    factors: Sequence[np.ndarray] | None,
) -> tuple[Layers, np.ndarray, np.ndarray]:
    """Differentiates the mean cross-entropy of a batch.

    Returns:
      the gradients, and for each row its loss and whether its genre was found.
    """
    inputs, derivatives, logits = forward(layers, x, slope, factors)
    chances = softmax(logits)
    rows = np.arange(len(labels))
    back = chances.copy()
    back[rows, labels] -= 1.0
    back /= len(labels)
    found: Layers = []
    for number in reversed(range(len(layers))):
        found.append((inputs[number].T @ back, back.sum(axis=0)))
        if number:
            back = (back @ layers[number][0].T) * derivatives[number - 1]
    return found[::-1], -np.log(chances[rows, labels]), logits.argmax(axis=1) == labels


class Optimizer:
    """Keras's SGD, RMSprop or Adam with its defaults, for one array."""

    def __init__(self, name: str, learning_rate: float) -> None:
        self.name, self.rate = name, learning_rate
        self.steps, self.first, self.second = 0, 0.0, 0.0

    def change(self, gradient: np.ndarray) -> np.ndarray:
        """Returns what to add to the array."""
        self.steps += 1
        if self.name == "sgd":
            return -self.rate * gradient
        if self.name == "rmsprop":
            self.second = 0.9 * self.second + 0.1 * gradient**2
            return -self.rate * gradient / np.sqrt(self.second + 1e-7)
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        corrected = np.sqrt(1.0 - 0.999**self.steps) / (1.0 - 0.9**self.steps)
        return -self.rate * corrected * self.first / (np.sqrt(self.second) + 1e-7)


def train(
    layers: Layers,
    batches: Sequence[Sequence[np.ndarray]],
    bits: Sequence[Sequence[Sequence[np.ndarray]]],
    rates: Sequence[float],
    slope: float,
    optimizer: tuple[str, float],
    train_part: tuple[np.ndarray, np.ndarray],
    test_part: tuple[np.ndarray, np.ndarray],
) -> tuple[Layers, np.ndarray]:
    """Trains for some epochs, with known batches and noise.

    Args:
      layers: the initial parameters.
      batches: by epoch and step the rows of a batch, none of them twice in an epoch.
      bits: by hidden layer, epoch and step (rows, units) uint16; rows beyond the batch's are
        not looked at.
      rates: of dropout, by hidden layer.
      slope: of the activation below zero.
      optimizer: its name and learning rate.
      train_part: features and labels.
      test_part: likewise.

    Returns:
      the parameters, and the history (epochs, 4): loss and accuracy on the train part while the
      weights change, on the test part at the end of the epoch.
    """
    layers = [(kernel.astype(np.float64), bias.astype(np.float64)) for kernel, bias in layers]
    rules = [tuple(Optimizer(*optimizer) for _ in pair) for pair in layers]
    (x_train, y_train), (x_test, y_test) = train_part, test_part
    history = []
    for epoch, steps in enumerate(batches):
        row_losses, rights = [], []
        for step, rows in enumerate(steps):
            factors = [
                dropout_factors(layer[epoch][step][: len(rows)], rate)
                for layer, rate in zip(bits, rates, strict=True)
            ]
            grads, row_loss, right = gradients(layers, x_train[rows], y_train[rows], slope, factors)
            layers = [
                tuple(p + r.change(g) for p, r, g in zip(pair, rule, grad, strict=True))
                for pair, rule, grad in zip(layers, rules, grads, strict=True)
            ]
            row_losses.extend(row_loss)
            rights.extend(right)
        _, test_loss, test_right = gradients(layers, x_test, y_test, slope, None)
        history.append([*map(np.mean, (row_losses, rights, test_loss, test_right))])
    return layers, np.array(history)
