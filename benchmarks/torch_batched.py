"""PyTorch, the grid batched by hand: ``python -m benchmarks.torch_batched --data=CSV``.

One model for each shape group and optimizer. Its parameters have a trial axis, and one ``baddbmm``
per layer multiplies those of all trials. Trials share batches and dropout noise. Prints one line of
JSON.

Slower alternatives: ``prelu``, ``maximum`` and ``where`` for leaky ReLU (17 ms a step on one
thread, with ``lerp`` 12), noise for each trial (12 ms, shared 10); the first layer as one wide
product has no gain. Threads for batches or threads within an operation: the faster depends on the
machine, so the benchmark tries both.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.grid import batches, by_optimizer, the_sweep
from benchmarks.table import load_arrays
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep

Layers = list[tuple[Tensor, Tensor]]  # kernel (trial, in, out), bias (trial, 1, out)


class Data(NamedTuple):
    """The parts of the table."""

    x_train: Tensor  # (train, features) float32
    y_train: Tensor  # (train,) int64
    x_test: Tensor  # (test, features) float32
    y_test: Tensor  # (test,) int64


class Batch(NamedTuple):
    """The hyperparameters of the trials."""

    keep: list[Tensor]  # for each hidden layer (trial, 1, 1) float32, 1 - dropout rate
    slopes: Tensor  # (trial, 1, 1) float32, of leaky ReLU; 0 is ReLU


def start(
    configs: Sequence[Config], sweep: Sweep, features: int, classes: int
) -> tuple[Layers, Batch]:
    """Returns the trials' first weights and their hyperparameters.

    Args:
      configs: the trials, all of one shape group.
      sweep: gives the slope of leaky ReLU.
      features: inputs.
      classes: outputs.
    """
    layers: Layers = []
    glorot = torch.tensor([config["initializer"] == "glorot_uniform" for config in configs])
    sizes = list(itertools.pairwise((features, *configs[0].units, classes)))
    for number, (fan_in, fan_out) in enumerate(sizes):
        limit = torch.full((len(configs), 1, 1), (6 / (fan_in + fan_out)) ** 0.5)
        if number < len(sizes) - 1:  # the output layer has Keras's default
            limit[~glorot] = 0.05
        kernel = (2 * torch.rand(len(configs), fan_in, fan_out) - 1) * limit
        bias = torch.zeros(len(configs), 1, fan_out)
        layers.append((kernel.requires_grad_(), bias.requires_grad_()))
    rates = torch.tensor([config.dropout for config in configs])
    keep = [(1 - rate)[:, None, None] for rate in rates.unbind(1)]
    slopes = [sweep.leaky_slope * (config["activation"] == "leaky_relu") for config in configs]
    return layers, Batch(keep, torch.tensor(slopes)[:, None, None])


def forward(layers: Layers, batch: Batch, x: Tensor, training: bool) -> Tensor:
    """Returns the logits (trial, rows, classes) of all trials on the same rows."""
    hidden = x.expand(len(batch.slopes), *x.shape)
    for number, (kernel, bias) in enumerate(layers):
        hidden = torch.baddbmm(bias, hidden, kernel)
        if number < len(layers) - 1:
            hidden = torch.lerp(functional.relu(hidden), hidden, batch.slopes)
            if training:
                keep = batch.keep[number]
                hidden = hidden * ((torch.rand(hidden.shape[1:]) < keep) / keep)
    return hidden


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy of every trial and row, (trial, rows)."""
    trials, rows, classes = logits.shape
    flat = functional.cross_entropy(
        logits.reshape(-1, classes), labels.expand(trials, rows).reshape(-1), reduction="none"
    )
    return flat.view(trials, rows)


def optimizer_of(name: str, parameters: Sequence[Tensor], sweep: Sweep) -> torch.optim.Optimizer:
    """Returns an elementwise optimizer with Keras's defaults, which works on all trials at once."""
    rate = sweep.learning_rates[name]
    if name == "adam":
        return torch.optim.Adam(parameters, rate, eps=1e-7, fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-7, foreach=True)
    return torch.optim.SGD(parameters, rate, fused=True)


def train(configs: Sequence[Config], sweep: Sweep, data: Data, epochs: int) -> Tensor:
    """Trains the trials of a batch.

    Returns:
      (epochs, 4, trial): train loss and accuracy as in Keras, test loss and accuracy.
    """
    layers, batch = start(configs, sweep, data.x_train.shape[1], int(data.y_train.max()) + 1)
    rule = optimizer_of(configs[0]["optimizer"], list(itertools.chain(*layers)), sweep)
    history = torch.zeros(epochs, 4, len(configs))
    for figures in history:
        for rows in torch.randperm(len(data.y_train)).split(sweep.batch_size):
            x, labels = data.x_train[rows], data.y_train[rows]
            logits = forward(layers, batch, x, training=True)
            loss = losses(logits, labels)
            rule.zero_grad()
            loss.mean(1).sum().backward()
            rule.step()
            figures[0] += loss.detach().sum(1)
            figures[1] += (logits.detach().argmax(2) == labels).sum(1)
        figures[:2] /= len(data.y_train)
        with torch.no_grad():
            logits = forward(layers, batch, data.x_test, training=False)
            figures[2] = losses(logits, data.y_test).mean(1)
            figures[3] = (logits.argmax(2) == data.y_test).float().mean(1)
    return history


def train_all(sweep: Sweep, data: Data, epochs: int, groups: int | None, workers: int) -> Tensor:
    """Trains the batches of a sweep, several at a time.

    Args:
      sweep: the sweep.
      data: the table.
      epochs: passes over the train part.
      groups: number of batches; None for all.
      workers: threads; each trains one batch at a time.

    Returns:
      (trial,): test accuracy after the last epoch.
    """
    todo = sorted(batches(sweep)[:groups], key=lambda configs: -sum(configs[0].units))
    with ThreadPoolExecutor(workers) as pool:
        histories = pool.map(lambda configs: train(configs, sweep, data, epochs), todo)
        return torch.cat([history[-1, 3] for history in histories])


def warm_up() -> None:
    """Takes a step with each optimizer, since PyTorch imports modules at the first one."""
    for name in by_optimizer():
        weight = torch.zeros(1, requires_grad=True)
        weight.sum().backward()
        optimizer_of(name, [weight], the_sweep()).step()


def main() -> None:
    """Trains the whole sweep and prints its seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="path of the CSV")
    parser.add_argument("--epochs", type=int, help="fewer than the sweep's, to project from")
    parser.add_argument("--groups", type=int, help="fewer than the 24 batches")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads")
    parser.add_argument("--threads", type=int, default=1, help="in an operation; 0: PyTorch's own")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    sweep = the_sweep()
    epochs = given.epochs or sweep.epochs
    data = Data(*map(torch.from_numpy, load_arrays(given.data)))
    warm_up()
    begun = time.perf_counter()
    accuracy = train_all(sweep, data, epochs, given.groups, given.workers)
    answer = {
        "training_s": time.perf_counter() - begun,
        "epochs": epochs,
        "trials": len(accuracy),
        "best_accuracy": float(accuracy.max()),
        "mean_accuracy": float(accuracy.mean()),
        "workers": given.workers,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
