"""Rows of the alternatives."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.context import Context, Measurement
from benchmarks.grid import project, the_sweep
from benchmarks.processes import Finished, run_module

Variant = Mapping[str, Any]  # "flags", a list, and "env", a mapping; both may be absent

_QUICK_EPOCHS = 3


def keras_loop(context: Context) -> Measurement:
    """Measures Keras, one run after another, on the fastest installed backend."""
    modules = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
    variants = [
        {"env": {"KERAS_BACKEND": backend}}
        for backend, module in modules.items()
        if importlib.util.find_spec(module)
    ]
    return _loop(context, "keras_loop", variants)


def torch_loop(context: Context) -> Measurement:
    """Measures PyTorch, one run after another, on one thread or on all."""
    variants = [{"flags": ["--threads=1"]}, {"flags": ["--threads=0"]}]
    return _loop(context, "torch_loop", variants)


def torch_batched(context: Context) -> Measurement:
    """Measures PyTorch, with one model for each shape group and optimizer."""
    variants: list[Variant] = [
        {"flags": []},  # as many workers as cores
        {"flags": ["--workers=1"]},
        {"flags": ["--workers=1", "--threads=0"]},
    ]
    variant = _fastest(
        context, "torch_batched", variants, ["--epochs=1", "--groups=6"], "training_s"
    )
    less = [f"--epochs={_QUICK_EPOCHS}"] if context.quick else []
    process = _run(context, "torch_batched", variant, less)
    answer = process.answer
    projected_s = answer["training_s"] * the_sweep().epochs / answer["epochs"]
    seconds = process.wall_s - answer["training_s"] + projected_s
    more = {"training_s": projected_s, "seconds": seconds, "variant": variant}
    costs = {} if context.quick else process.costs
    return answer | costs | more


def sklearn_grid(context: Context) -> Measurement:
    """Measures the grid search of scikit-learn on the configs it supports, projected."""
    quiet: Variant = {"env": {"PYTHONWARNINGS": "ignore"}}  # ten epochs do not converge
    process = _run(context, "sklearn_grid", quiet, [])
    answer, runs = process.answer, the_sweep().num_configs
    projected_s = answer["seconds"] * runs / answer["runs"]
    seconds = process.wall_s - answer["seconds"] + projected_s
    return answer | {"seconds": seconds}


def _loop(context: Context, name: str, variants: Sequence[Variant]) -> Measurement:
    """Measures a sample of single runs, and projects the seconds of the sweep."""
    variant = _fastest(context, name, variants, ["--runs=3"], "seconds")
    process = _run(context, name, variant, [])
    answer = process.answer
    sample_s = _total(answer["seconds"])
    projected_s = project(answer["seconds"], the_sweep())
    more = {
        "seconds": process.wall_s - sample_s + projected_s,
        "training_s": projected_s,
        "sample": sum(map(len, answer["seconds"].values())),
        "variant": variant,
    }
    return answer | more


def _fastest(
    context: Context, name: str, variants: Sequence[Variant], short: Sequence[str], what: str
) -> Variant:
    """Returns the fastest variant of a peer, from a short trial the first time.

    Args:
      context: stores the result.
      name: the peer.
      variants: the variants to try; with --quick the first is used.
      short: flags for a short trial.
      what: the figure to compare.
    """
    if name not in context.chosen:
        tried = variants[:1] if context.quick else variants
        seconds = [0.0]
        if len(tried) > 1:
            seconds = [_total(_run(context, name, one, short).answer[what]) for one in tried]
        context.chosen[name] = tried[seconds.index(min(seconds))]
    return context.chosen[name]


def _run(context: Context, name: str, variant: Variant, more: Sequence[str]) -> Finished:
    flags = [f"--data={context.csv}", *variant.get("flags", []), *more]
    return run_module(f"benchmarks.{name}", flags, variant.get("env"))


def _total(seconds: float | Mapping[str, Sequence[float]]) -> float:
    """Returns the sum of seconds, which may be lists by optimizer."""
    return sum(map(sum, seconds.values())) if isinstance(seconds, Mapping) else seconds
