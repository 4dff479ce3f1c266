"""PyTorch, one run after another: ``python -m benchmarks.torch_loop --data=CSV``.

Trains a sample of the configs, from which the parent projects. Batches are rows of tensors in
memory: a DataLoader would take longer than the training. Prints one line of JSON.
"""

import argparse
import itertools
import json
import time

import torch
from torch import Tensor, nn

from benchmarks.grid import by_optimizer, stratified, the_sweep
from benchmarks.table import load_arrays
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep


def build(config: Config, sweep: Sweep, features: int, classes: int) -> nn.Sequential:
    """Returns the network of a config, with Keras's initial weights."""
    layers: list[nn.Module] = []
    slope = sweep.leaky_slope if config["activation"] == "leaky_relu" else 0.0
    units = (features, *config.units)
    for (fan_in, fan_out), rate in zip(itertools.pairwise(units), config.dropout, strict=True):
        dense = nn.Linear(fan_in, fan_out)
        if config["initializer"] == "glorot_uniform":
            nn.init.xavier_uniform_(dense.weight)
        else:
            nn.init.uniform_(dense.weight, -0.05, 0.05)
        layers += [dense, nn.LeakyReLU(slope) if slope else nn.ReLU(), nn.Dropout(rate)]
    logits = nn.Linear(config.units[-1], classes)
    nn.init.xavier_uniform_(logits.weight)
    model = nn.Sequential(*layers, logits)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    return model


def optimizer_of(name: str, model: nn.Module, sweep: Sweep) -> torch.optim.Optimizer:
    """Returns an optimizer with Keras's defaults, in the form that is fastest on a CPU."""
    rate, parameters = sweep.learning_rates[name], list(model.parameters())
    if name == "adam":
        return torch.optim.Adam(parameters, rate, eps=1e-7, fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-7, foreach=True)
    return torch.optim.SGD(parameters, rate, fused=True)


def train(config: Config, sweep: Sweep, data: list[Tensor], epochs: int) -> Tensor:
    """Trains a config.

    Returns:
      (epochs, 4): train loss and accuracy as in Keras, test loss and accuracy.
    """
    x_train, y_train, x_test, y_test = data
    model = build(config, sweep, x_train.shape[1], int(y_train.max()) + 1)
    rule, criterion = optimizer_of(config["optimizer"], model, sweep), nn.CrossEntropyLoss()
    history = torch.zeros(epochs, 4)
    for figures in history:
        model.train()
        for rows in torch.randperm(len(y_train)).split(sweep.batch_size):
            x, labels = x_train[rows], y_train[rows]
            logits = model(x)
            loss = criterion(logits, labels)
            rule.zero_grad()
            loss.backward()
            rule.step()
            figures[0] += loss.detach() * len(labels)
            figures[1] += (logits.detach().argmax(1) == labels).sum()
        figures[:2] /= len(y_train)
        model.eval()
        with torch.inference_mode():
            logits = model(x_test)
            figures[2] = criterion(logits, y_test)
            figures[3] = (logits.argmax(1) == y_test).float().mean()
    return history


def main() -> None:
    """Trains the sample and prints its seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="path of the CSV")
    parser.add_argument("--epochs", type=int, help="default: the sweep's")
    parser.add_argument("--runs", type=int, help="fewer than the sample's")
    parser.add_argument("--threads", type=int, default=1, help="0 for PyTorch's default")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    sweep, data = the_sweep(), [torch.from_numpy(part) for part in load_arrays(given.data)]
    seconds = by_optimizer()
    train(stratified(sweep)[0], sweep, data, 1)  # warms up; not projected
    accuracies = []
    for config in stratified(sweep)[: given.runs]:
        begun = time.perf_counter()
        accuracies.append(float(train(config, sweep, data, given.epochs or sweep.epochs)[-1, 3]))
        seconds[config["optimizer"]].append(time.perf_counter() - begun)
    answer = {
        "seconds": seconds,
        "best_accuracy": max(accuracies),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
