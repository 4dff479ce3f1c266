"""Fills the figures in docs/clusters.md.

GTZAN_JAX_RECORD=RECORD python -m pytest -n0 -m "slow or not slow" tests/backends/test_cluster.py
python docs/make_clusters.py failures RECORD    # what each failure took
python docs/make_clusters.py runs RUNDIR …      # what finished runs took
python docs/make_clusters.py paper RUNDIR       # ten million networks, by a run of that sweep
"""

import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pages import fill

from benchmarks.cluster import on_loopback
from gtzan_jax import process
from gtzan_jax.backends.cluster import Cluster
from gtzan_jax.backends.processes import Processes
from gtzan_jax.backends.remote import RemoteTrainer
from gtzan_jax.backends.work import Request
from gtzan_jax.metrics import METRICS
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.rundir.checkpoints import Checkpoints
from gtzan_jax.rundir.directory import RunDir
from gtzan_jax.rundir.history import trials_of
from gtzan_jax.space.config import Trial
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.trainer.plan import Plan as TrainingPlan
from gtzan_jax.trainer.task import Task, Trained

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
MANY = 10_000_000
EPOCHS = 10
_TASK = 8  # of a CPU's tasks
_WORKERS = 2  # of the run that is measured

# What was done to a run, what comes of it, and the test: what it took is in the record.
FAILURES = {
    "test_a_cluster_trains_to_the_bytes_of_local_processes": (
        "nothing, a short run", "the bytes of local processes"),
    "test_a_cluster_does_as_well_for_long": (
        "nothing, the run that the rest disturb", "the same bytes"),
    "test_workers_that_are_killed_at_ten_moments_change_nothing": (
        "SIGKILL to a worker ten times, some tasks apart; another joins each time",
        "the tasks that it had, two as a rule, others repeat"),
    "test_where_all_workers_are_killed_a_run_waits_for_others": (
        "SIGKILL to all four workers; others join six seconds later",
        "the command says that it waits, and goes on"),
    "test_without_its_scheduler_a_run_ends_and_goes_on_later": (
        "SIGKILL to the scheduler",
        "exit code 1 and one line with the command that goes on at the next scheduler of that "
        "address"),
    "test_a_client_that_is_killed_goes_on_and_leaves_the_cluster_free": (
        "SIGKILL to the command",
        "the same command goes on; the cluster does another client's work meanwhile"),
    "test_an_unfit_worker_is_refused_by_its_name": (
        "a worker with another line of our code, another JAX, or none of ours is there",
        "exit code 2 and one line with its address and the versions; nothing is written"),
    "test_an_unfit_worker_that_joins_later_is_not_used": (
        "such a worker joins later", "one warning, and it is handed nothing"),
    "test_workers_without_a_table_are_sent_each_fold_once": (
        "workers in an empty folder", "sweep and folds travel once to a worker"),
    "test_a_worker_that_stands_still_is_given_up_after_the_schedulers_time": (
        "SIGSTOP to a worker, for good; the scheduler's worker-ttl is 8 s",
        "the scheduler gives it up, and others repeat its tasks; usually after five minutes"),
    "test_a_worker_that_stands_still_for_a_while_goes_on": (
        "SIGSTOP, and SIGCONT four seconds later", "it goes on"),
    "test_a_worker_that_others_go_before_changes_nothing": (
        "a fifth worker at `nice -n 19`", "the same bytes"),
    "test_a_run_directory_has_one_client": (
        "a second client of the run directory", "exit code 2 and one line; the first goes on"),
    "test_two_clients_share_a_cluster": (
        "a second client with a run directory of its own",
        "both end with their bytes; slowly, since workers plan anew for each in turn"),
    "test_a_task_that_kills_its_workers_ends_the_run_with_its_name": (
        "a task at which each worker ends", "four workers, then exit code 1 and its name"),
    "test_a_cluster_is_idle_after_ctrl_c": (
        "Ctrl-C", "exit code 130; tasks are taken back, workers are idle"),
    "test_a_cluster_with_tls_lets_in_who_has_its_certificate": (
        "TLS, and a client without a certificate", "it is refused; with one, the same bytes"),
}  # fmt: skip


def of_failures(record: str) -> str:
    """Returns the table of failures, from what the tests have recorded."""
    took: dict[str, list[float]] = {}
    for line in Path(record).read_text().splitlines():
        entry = json.loads(line)
        took.setdefault(entry["test"].partition("[")[0], []).append(entry["seconds"])
    rows = ["| what was done | what happens | seconds | test |", "|---|---|---|---|"]
    for test, (done, happens) in FAILURES.items():
        seconds = " + ".join(f"{value:.0f}" for value in took.get(test, ()))
        rows.append(f"| {done} | {happens} | {seconds} | `{test}` |")
    return "\n".join(rows)


def of_runs(folders: list[str]) -> str:
    """Returns what finished runs took, from their manifests."""
    rows = ["| command | networks | seconds | of which training | memory, sum of peaks |",
            "|---|---|---|---|---|"]  # fmt: skip
    for folder in folders:
        manifest = RunDir(folder).read_manifest()
        command = re.sub(r" --(workdir|overwrite)\S*", "", manifest.sessions[-1].command)
        command = re.sub(r"=tcp://\S+", "=tcp://…", command)
        seconds = manifest.timings_s
        training = seconds["train"] + seconds["compile"]
        rows.append(
            f"| `{command}` | {_trials(folder):,} | {seconds['total']:.0f} | {training:.0f} | "
            f"{(manifest.peak_rss_bytes or 0) / 1e9:.2f} GB |"
        )
    return "\n".join(rows)


def of_paper(folder: str) -> str:
    """Returns what ten million networks would take, by what is measured now and by a run."""
    manifest, trials = RunDir(folder).read_manifest(), _trials(folder)
    epochs, fold = manifest.sweep["epochs"], manifest.split.folds[0]
    steps = -(-fold.train // manifest.sweep["batch_size"])
    step_us = 1e6 * _WORKERS * manifest.timings_s["train"] / (trials * epochs * steps)
    task_s = _TASK * EPOCHS * steps * step_us / 1e6
    rate, written, requests = no_op_rate(), written_a_second(), MANY / _TASK
    kept, csv = _bytes_of(folder, "checkpoints/*.safetensors"), _bytes_of(folder, "history.csv")
    kept_later = kept / trials + (EPOCHS - epochs) * 4 * len(METRICS)
    *plans, whole = [apart(plan, *sizes) for sizes in ((5, 1), (48, 1), (48, 10))]
    rows = [
        ("a network's step, a core", f"{step_us:.1f} µs: {trials:,} networks, {steps} steps each",
         f"{step_us * MANY * EPOCHS * steps / 3.6e9:,.0f} core-hours"),
        (f"a task, {_TASK} networks on a CPU", f"{task_s:.2f} s for {EPOCHS} epochs",
         f"{requests:,.0f} tasks"),
        ("tasks that do nothing; client, scheduler and two workers on two cores",
         f"{rate:,.0f} a second", f"{requests / rate / 60:,.0f} minutes at least, which "
         f"{rate * task_s:,.0f} such workers would reach"),
        ("histories that the client writes", f"{written:,.0f} networks a second",
         f"{MANY / written / 60:,.0f} minutes in all"),
        ("disk, checkpoints", f"{kept / trials:,.0f} bytes a network of {epochs} epoch",
         f"{kept_later * MANY / 1e9:,.0f} GB"),
        ("disk, history.csv", f"{csv / trials:,.0f} bytes a network of {epochs} epoch",
         f"{csv / trials * EPOCHS / epochs * MANY / 1e9:,.0f} GB"),
        ("the plan, in the client, and again in each worker",
         "; ".join(f"{p.configs:,} configs: {p.seconds:.1f} s"
                   for p in plans),
         f"measured, {whole.configs:,} configs, ten seeds: {whole.seconds:,.0f} s, "
         f"{whole.held / 1e9:.1f} GB"),
        ("the sweep as it travels to each worker",
         "; ".join(f"{p.travels / 1e6:,.0f} MB" for p in plans),
         f"{whole.travels / 1e6:,.0f} MB"),
    ]  # fmt: skip
    head = f"| what | measured | for {MANY:,} networks, {EPOCHS} epochs |\n|---|---|---|"
    return "\n".join([head, *(f"| {' | '.join(row)} |" for row in rows)])


def _trials(folder: str) -> int:
    with (Path(folder) / "trials.csv").open() as lines:
        return sum(1 for _ in lines) - 1


def _bytes_of(folder: str, pattern: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).glob(pattern))


def no_op_rate(count: int = 4000) -> float:
    """Returns how many tasks a second a cluster on this machine does that take no time."""
    with tempfile.TemporaryDirectory() as folder, on_loopback(Path(folder), {}) as scheduler:
        pool = Idle(scheduler)
        request = Request("spec", "fold", (Task(0, 1, (Trial("config", 0, 0),), 0, 1),))
        begun = time.perf_counter()
        done = sum(1 for _ in pool.run([request] * count, {"spec": b"", "fold": b""}))
        seconds = time.perf_counter() - begun
        pool.close()
    return done / seconds


def written_a_second(tasks: int = 50_000, size: int = _TASK) -> float:
    """Returns how many trials' histories a second a client writes."""
    random = np.random.default_rng(0)
    history = random.random((size, EPOCHS, len(METRICS)), np.float32)
    predicted = np.zeros((size, 300), np.uint8)
    last = np.full(size, EPOCHS, np.int32)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        store = Checkpoints(Path(folder) / "checkpoints", EPOCHS, 300)
        begun = time.perf_counter()
        for number in range(tasks):
            trials = tuple(Trial(f"c{number:08d}{i:03d}", 0, 0) for i in range(size))
            task = Task(0, size, trials, 0, EPOCHS)
            store.add(Trained(task, history, predicted, last, last, ()))
        store.flush()
        return tasks * size / (time.perf_counter() - begun)


class Idle(Cluster):
    """A cluster whose tasks do nothing."""

    def _begin(self, request: Request, blobs: Mapping[str, bytes]) -> Any:
        del request, blobs
        return self._client.submit(len, bytes(2000), **self._options)


class _Nobody:
    """A pool without a worker, which only counts the bytes that travel."""

    host, label, travels = Processes.host, "nobody", 0

    def run(self, _: object, blobs: Mapping[str, bytes]) -> Iterator[object]:
        self.travels = max(map(len, blobs.values()))
        return iter(())


class Plan(NamedTuple):
    """What planning a sweep takes."""

    configs: int
    seconds: float
    held: int  # bytes
    travels: int  # likewise


def plan(repeats: int, seeds: int) -> Plan:
    """Plans a sweep of as many learning rates and seeds."""
    table, before = load_table("sample"), process.peak_rss_bytes() or 0
    rates = [round(1e-4 * (i + 1), 6) for i in range(repeats)]
    begun = time.perf_counter()
    sweep = load_sweep("large", ["epochs=10", f"axes.learning_rate={rates}"])
    splits = make_splits(table, sweep.protocol, 0, sweep.num_folds)
    pool = _Nobody()
    planned = TrainingPlan(sweep, MlpFamily(), splits.sizes, seeds)
    trainer = RemoteTrainer(pool, "float32", planned)
    list(trainer.run(trainer.plan.tasks(trials_of(sweep, 1, range(seeds))), splits.arrays))
    seconds = time.perf_counter() - begun
    held = (process.peak_rss_bytes() or 0) - before
    return Plan(len(sweep.configs), seconds, held, pool.travels)


def apart(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function in a process of its own, whose memory begins anew."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Rewrites the block between the markers."""
    kind, *arguments = sys.argv[1:]
    if kind == "failures":
        block = of_failures(*arguments)
    elif kind == "runs":
        block = of_runs(arguments)
    else:
        block = of_paper(*arguments)
    fill(ROOT / "docs" / "clusters.md", kind, block)


if __name__ == "__main__":
    main()
