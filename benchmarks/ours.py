"""Rows of gtzan_jax itself."""

import json
import os
import shutil
from pathlib import Path

from benchmarks import cluster
from benchmarks.context import Context, Measurement
from benchmarks.grid import SWEEP
from benchmarks.processes import run_module

_SEEDS = 10
_LONG = 3  # seeds of a sweep long enough to outweigh the start of workers


def cold(context: Context) -> Measurement:
    """Measures a new process with an empty compilation cache, with imports and all files."""
    return _sweep(context, context.folder("cache"), SWEEP)


def warm(context: Context) -> Measurement:
    """Measures the same with the cache of an earlier process."""
    return _sweep(context, _filled(context), SWEEP)


def main_cold(context: Context) -> Measurement:
    """Measures the command of the README, which retrains the best, with an empty cache."""
    return _sweep(context, context.folder("cache"), SWEEP, retrains=True)


def main_warm(context: Context) -> Measurement:
    """Measures the same with the cache of an earlier process."""
    return _sweep(context, _filled(context), SWEEP, retrains=True)


def main_of_ten_seeds(context: Context) -> Measurement:
    """Measures the same with ten seeds and an empty cache."""
    return _sweep(context, context.folder("cache"), SWEEP, f"--num_seeds={_SEEDS}", retrains=True)


def long(context: Context) -> Measurement:
    """Measures several seeds with worker processes and compiled programs."""
    cache = _filled(context, "--batching=shape")
    return _sweep(context, cache, SWEEP, f"--num_seeds={_LONG}", "--batching=shape")


def long_in_a_cluster(context: Context) -> Measurement:
    """Measures the same with as many workers of a Dask cluster on loopback."""
    cache = _filled(context, "--batching=shape")
    with cluster.on_loopback(context.folder("cluster"), _environment(cache)) as address:
        measured = _sweep(
            context, cache, SWEEP, f"--num_seeds={_LONG}", "--batching=shape",
            f"--scheduler={address}",
        )  # fmt: skip
    del measured["cpu_s"], measured["devices"]  # of the client only; a temporary path
    return measured


def large(context: Context) -> Measurement:
    """Measures the large sweep for one epoch, mainly its memory."""
    return _sweep(context, context.folder("cache"), "large", "--set=epochs=1")


def steady(context: Context) -> Measurement:
    """Measures the training only, already compiled."""
    return _steady(context, "--mode=auto")


def steady_by_shape(context: Context) -> Measurement:
    """Measures the same with a program for each shape group, without padding."""
    return _steady(context, "--mode=shape")


def ten_seeds(context: Context) -> Measurement:
    """Measures the training of ten seeds after that of one, in the same process."""
    answer = _steady(context, "--mode=auto", f"--seeds={_SEEDS}")
    return answer | {"seconds": answer["seconds_of_all"], "seconds_of_one": answer["seconds"]}


def floor(context: Context) -> Measurement:
    """Measures the floor, without training."""
    return _steady(context, "--floor_only")


def _filled(context: Context, *flags: str) -> Path:
    """Returns a compilation cache that a run, with the flags if any, has filled."""
    if not context.caches:
        cold(context)
    if flags:
        _sweep(context, context.caches[-1], SWEEP, *flags)
    return context.caches[-1]


def _sweep(
    context: Context, cache: Path, sweep: str, *more: str, retrains: bool = False
) -> Measurement:
    """Runs the command of the sweep and reads its manifest."""
    workdir = context.folder("run")
    flags = [
        f"--sweep={sweep}",
        f"--data={context.csv}",
        f"--platform={context.platform}",
        *([] if retrains else ["--retrain_epochs=0"]),
        f"--workdir={workdir}",
        *more,
    ]
    process = run_module("gtzan_jax.sweep", flags, _environment(cache))
    manifest = json.loads((workdir / "manifest.json").read_text(encoding="utf-8"))
    shutil.rmtree(workdir)
    if sweep == SWEEP and not more and cache not in context.caches:
        context.caches.append(cache)
    parts = {f"{part}_s": seconds for part, seconds in manifest["timings_s"].items()}
    return {
        "seconds": process.wall_s,
        "start_s": parts["import_s"] + parts["load_s"],
        **parts,
        **process.costs,
        "peak_rss_bytes": manifest["peak_rss_bytes"],  # of all processes
        "programs": manifest["programs_compiled"],
        "devices": manifest["sessions"][-1]["devices"],
    }


def _steady(context: Context, *flags: str) -> Measurement:
    """Runs ``benchmarks.steady`` and flattens its result."""
    cache = context.caches[-1] if context.caches else context.folder("cache")
    flags = (f"--data={context.csv}", f"--platform={context.platform}", *flags)
    answer = run_module("benchmarks.steady", flags, _environment(cache)).answer
    machine = answer.pop("floor")
    answer.setdefault("seconds", machine["seconds"])
    return answer | {"floor_s": machine.pop("seconds"), **machine}


def _environment(cache: Path) -> dict[str, str | None]:
    """Returns environment variables that give a process its own compilation cache.

    Matplotlib's list of fonts, also in the user's cache folder, is kept: it is computed once for an
    installation.
    """
    import matplotlib.font_manager

    fonts = os.environ.get("MPLCONFIGDIR") or matplotlib.get_cachedir()
    return {
        "XDG_CACHE_HOME": str(cache),
        "MPLCONFIGDIR": fonts,
        "JAX_COMPILATION_CACHE_DIR": None,
        "PYTHONDONTWRITEBYTECODE": None,  # else each process compiles the package again
    }
