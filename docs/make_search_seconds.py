"""Measures docs/search.md's seconds: Optuna's own loop beside the same search here. Minutes.

    python docs/make_search_seconds.py data/features_30_sec.csv

The loop is the one of Optuna's examples: a trial is a network built, compiled and fitted in Keras
on JAX, one after another. A few trials are timed and scaled; the search here is run.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import fill

PAGE = Path(__file__).with_name("search.md")
ROOT = PAGE.parent.parent
TRIALS, CONFIGS = 6, 192  # timed in Keras; of the search


def loop(data: str) -> None:
    """Prints the seconds of each trial, in this process, whose Keras is on JAX."""
    import optuna

    from benchmarks.keras_loop import train
    from benchmarks.table import load_arrays
    from gtzan_jax.space.config import Config
    from gtzan_jax.space.sweep_file import load_sweep

    sweep, arrays = load_sweep("assignment"), load_arrays(data)
    seconds = []

    def objective(trial: optuna.Trial) -> float:
        started = time.perf_counter()
        values = {n: trial.suggest_categorical(n, v) for n, v in sweep.axes.items()}
        accuracy = train(Config.of(**values), sweep, arrays, sweep.epochs)
        seconds.append(time.perf_counter() - started)
        return accuracy

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=TRIALS + 1)
    print(json.dumps(seconds[1:]))  # the first imports much


def process(*arguments: str, **environment: str) -> str:
    """Runs Python in a process of its own; returns what it printed."""
    done = subprocess.run(  # noqa: S603 — this interpreter, and what stands below
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def main() -> None:
    """Replaces what stands between the markers of the page."""
    data = sys.argv[1]
    output = process(__file__, data, "--loop", KERAS_BACKEND="jax").splitlines()[-1]
    per_trial = sum(json.loads(output)) / TRIALS
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process(
            "-m", "gtzan_jax.sweep", "--protocol=holdout", "--search=tpe", "--retrain_epochs=0",
            f"--set=search.num_configs={CONFIGS}", f"--data={data}", f"--workdir={folder}/run",
        )  # fmt: skip
        ours = time.perf_counter() - started
    theirs = CONFIGS * per_trial
    text = (
        f"TPE on the assignment's space, {CONFIGS} configs for ten epochs each: {ours:.0f} s here, "
        f"the whole command, 600 songs to train on, programs compiled before. Optuna's own loop "
        f"with Keras on JAX, one network after another on 700 songs, compiled for each, takes "
        f"{per_trial:.1f} s a trial, mean of {TRIALS}, which makes {theirs:,.0f} s: "
        f"{theirs / ours:.0f} times as long. Two CPU cores, of which others took their share: a "
        f"load of {os.getloadavg()[1]:.1f}."
    )
    fill(PAGE, "seconds", text)


if __name__ == "__main__":
    loop(sys.argv[1]) if "--loop" in sys.argv else main()
