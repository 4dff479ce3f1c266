"""A Dask cluster on this machine: a scheduler, and a worker for each core."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gtzan_jax.errors import RunError
from gtzan_jax.trainer.platforms import usable_cores

_STARTS_S = 30.0


@contextlib.contextmanager
def on_loopback(folder: Path, env: Mapping[str, str | None]) -> Iterator[str]:
    """Runs a cluster and yields the file of its scheduler.

    Args:
      folder: for that file and the output of the processes.
      env: variables that differ from this process's; None removes one.

    Raises:
      RunError: the scheduler does not start.
    """
    changed = dict(env) | {"JAX_PLATFORMS": "cpu"}
    environment = {k: v for k, v in (os.environ | changed).items() if v is not None}
    file = folder / "scheduler.json"
    host = ["--host", "127.0.0.1", "--no-dashboard"]
    worker = ["--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", *host]
    commands = [["dask_scheduler", "--port", "0", "--scheduler-file", str(file), *host]]
    commands += [["dask_worker", *worker]] * usable_cores()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context((folder / "output").open("w"))
        for module, *flags in commands:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", f"distributed.cli.{module}", *flags],
                stdout=output, stderr=output, env=environment, cwd=folder,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
        end = time.monotonic() + _STARTS_S
        while not file.exists():
            if time.monotonic() > end:
                raise RunError(f"no Dask scheduler has started: {(folder / 'output').read_text()}")
            time.sleep(0.1)
        yield str(file)
