"""Commands of the project, in processes of their own or in this one, and TensorBoard."""

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import typing
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from conftest import ROOT, without

from gtzan_jax import cli


def command(module: str, *flags: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a command of the project in a folder; returns what the process did."""
    # JAX sets TF_CPP_… where a test imports it before the package does.
    others = ("JAX_", "XLA_", "TF_CPP_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return subprocess.run(
        [sys.executable, "-m", f"gtzan_jax.{module}", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        env=kept | {"PYTHONPATH": str(ROOT)},  # the checkout, whatever is installed
    )


def command_here(module: str, *flags: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Does in this process what ``command`` does in another, which takes seconds to start."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        code = run_here(module, *flags)
    return subprocess.CompletedProcess(flags, code, output.getvalue(), errors.getvalue())


@contextlib.contextmanager
def defined(module: str) -> Iterator[tuple[Callable[[Any], int | None], type, set[str]]]:
    """Defines the flags of a command; yields its main function, options and names of flags."""
    main = importlib.import_module(module).main
    options = typing.get_type_hints(main)["options"]
    before = set(flags.FLAGS)
    cli.define_flags(options)
    own = set(flags.FLAGS) - before
    try:
        yield main, options, own
    finally:
        for flag in own:
            delattr(flags.FLAGS, flag)


def parsed(name: str, *argv: str) -> tuple[Callable[[Any], int | None], Any]:
    """Returns the main function of a command, and the options that some arguments give."""
    with defined(f"gtzan_jax.{name}") as (main, options, _):
        return main, cli.parse(options, [name, *argv])


def run_here(name: str, *argv: str) -> int:
    """Runs a command in this process, as ``cli.run`` does; returns its exit code."""
    try:
        with warnings.catch_warnings():  # the command sets how they are shown
            return cli.work(*parsed(name, *argv)) or 0
    except SystemExit as ended:
        return int(ended.code or 0)


@contextlib.contextmanager
def served(logdir: Path) -> Iterator[str]:
    """Runs TensorBoard on a log directory and yields its address."""
    arguments = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    arguments += ["--port", "0", "--load_fast", "false", "--host", "127.0.0.1"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if found := re.search(r"http://\S+:\d+", line):
                    yield found[0]
                    break
            else:
                pytest.fail("TensorBoard did not start")
        finally:
            process.kill()


def ask(address: str, route: str, **body: object) -> Any:
    """Asks the HParams plugin."""
    request = urllib.request.Request(
        f"{address}/data/plugin/hparams/{route}",
        json.dumps({"experimentName": ""} | body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def ask_for_groups(
    address: str, count: int, axes: Sequence[str], metrics: Sequence[str], sessions: int = 1
) -> list[Any]:
    """Asks for all groups of sessions, again while TensorBoard is still reading the files."""
    names = [{"group": "", "tag": f"metrics/{metric}"} for metric in metrics]
    columns = [{"hparam": name} for name in axes]
    columns += [{"metric": name, "order": "ORDER_UNSPECIFIED"} for name in names]
    for _ in range(60):
        answer = ask(
            address,
            "session_groups",
            startIndex=0,
            sliceSize=2000,
            colParams=columns,
            allowedStatuses=["STATUS_SUCCESS"],
        )
        groups = answer.get("sessionGroups", [])
        whole = all(
            len(group.get("metricValues", [])) == len(metrics)
            and len(group["sessions"]) >= sessions
            for group in groups
        )
        if len(groups) == count and whole:
            break
        time.sleep(0.5)
    return groups


@contextlib.contextmanager
def served_projector(logdir: Path) -> Iterator[tuple[np.ndarray, list[list[str]]]]:
    """Runs TensorBoard and yields what its projector gets: the points, the rows of metadata."""
    with served(logdir) as address:
        plugin = f"{address}/data/plugin/projector"
        for _ in range(60):  # active once TensorBoard has looked into the folder
            if get_json(f"{address}/data/plugins_listing")["projector"]["enabled"]:
                break
            time.sleep(0.5)
        else:
            pytest.fail("the projector does not show up")
        (run,) = get_json(f"{plugin}/runs")
        (embedding,) = get_json(f"{plugin}/info?run={run}")["embeddings"]
        query = urllib.parse.urlencode({"run": run, "name": embedding["tensorName"]})
        with urllib.request.urlopen(f"{plugin}/tensor?{query}", timeout=60) as answer:
            points = np.frombuffer(answer.read(), np.float32).reshape(embedding["tensorShape"])
        with urllib.request.urlopen(f"{plugin}/metadata?{query}", timeout=60) as answer:
            lines = answer.read().decode().removesuffix("\n").split("\n")
        yield points, [line.split("\t") for line in lines]


def get_json(url: str) -> Any:
    """Returns what a server answers."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def browser_programs() -> tuple[str, str]:
    """Returns the paths of Chromium and its driver; skips without, or fails if required."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        without("browser", "needs Debian's packages chromium and chromium-driver")
    return chromium, driver
