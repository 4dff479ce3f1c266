"""Rows about gtzan_jax itself."""

import json
import os
import shutil
from pathlib import Path

from benchmarks import cluster
from benchmarks.context import Context, Measurement
from benchmarks.grid import SWEEP
from benchmarks.processes import run_module

_SEEDS = 10
_LONG = 3  # seeds of a sweep that is long enough for what workers cost at the start


def cold(context: Context) -> Measurement:
    """A new process with an empty compilation cache, imports and all files included."""
    return _sweep(context, context.folder("cache"), SWEEP)


def warm(context: Context) -> Measurement:
    """The same with the cache that an earlier process has filled."""
    return _sweep(context, _filled(context), SWEEP)


def main_cold(context: Context) -> Measurement:
    """The command as the README has it, which retrains the best, with an empty cache."""
    return _sweep(context, context.folder("cache"), SWEEP, retrains=True)


def main_warm(context: Context) -> Measurement:
    """The same with the cache that an earlier process has filled."""
    return _sweep(context, _filled(context), SWEEP, retrains=True)


def main_of_ten_seeds(context: Context) -> Measurement:
    """The same of ten seeds, with an empty cache."""
    return _sweep(context, context.folder("cache"), SWEEP, f"--num_seeds={_SEEDS}", retrains=True)


def long(context: Context) -> Measurement:
    """Several seeds by processes of this machine, programs ready."""
    cache = _filled(context, "--batching=shape")
    return _sweep(context, cache, SWEEP, f"--num_seeds={_LONG}", "--batching=shape")


def long_in_a_cluster(context: Context) -> Measurement:
    """The same by as many workers of a Dask cluster on this machine's loopback."""
    cache = _filled(context, "--batching=shape")
    with cluster.on_loopback(context.folder("cluster"), _environment(cache)) as address:
        measured = _sweep(
            context, cache, SWEEP, f"--num_seeds={_LONG}", "--batching=shape",
            f"--scheduler={address}",
        )  # fmt: skip
    del measured["cpu_s"], measured["devices"]  # the client's alone; a file of the scratch folder
    return measured


def large(context: Context) -> Measurement:
    """The large sweep for one epoch: whether it finishes, and in how much memory."""
    return _sweep(context, context.folder("cache"), "large", "--set=epochs=1")


def steady(context: Context) -> Measurement:
    """The training alone, already compiled."""
    return _steady(context, "--mode=auto")


def steady_by_shape(context: Context) -> Measurement:
    """The same with a program for each shape group, where nothing is padded."""
    return _steady(context, "--mode=shape")


def ten_seeds(context: Context) -> Measurement:
    """The training of ten seeds after that of one, in the same process."""
    answer = _steady(context, "--mode=auto", f"--seeds={_SEEDS}")
    return answer | {"seconds": answer["seconds_of_all"], "seconds_of_one": answer["seconds"]}


def floor(context: Context) -> Measurement:
    """The floor, without training."""
    return _steady(context, "--floor_only")


def _filled(context: Context, *flags: str) -> Path:
    """Returns a compilation cache that a run has filled, one with the given flags if any."""
    if not context.caches:
        cold(context)
    if flags:
        _sweep(context, context.caches[-1], SWEEP, *flags)
    return context.caches[-1]


def _sweep(
    context: Context, cache: Path, sweep: str, *more: str, retrains: bool = False
) -> Measurement:
    """Runs the sweep's command and reads the manifest that it leaves."""
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
    """Runs ``benchmarks.steady`` and flattens its answer."""
    cache = context.caches[-1] if context.caches else context.folder("cache")
    flags = (f"--data={context.csv}", f"--platform={context.platform}", *flags)
    answer = run_module("benchmarks.steady", flags, _environment(cache)).answer
    machine = answer.pop("floor")
    answer.setdefault("seconds", machine["seconds"])
    return answer | {"floor_s": machine.pop("seconds"), **machine}


def _environment(cache: Path) -> dict[str, str | None]:
    """Returns variables that give a process a compilation cache of its own.

    Matplotlib keeps its list of fonts in the user's cache folder, too; it makes that list once
    in the life of an installation, so a cold run of ours finds it.
    """
    import matplotlib.font_manager

    fonts = os.environ.get("MPLCONFIGDIR") or matplotlib.get_cachedir()
    return {
        "XDG_CACHE_HOME": str(cache),
        "MPLCONFIGDIR": fonts,
        "JAX_COMPILATION_CACHE_DIR": None,
        "PYTHONDONTWRITEBYTECODE": None,  # else each process compiles the package anew
    }
