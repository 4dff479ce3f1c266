"""A Dask cluster on this machine: a scheduler and workers, each a process that can be killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from conftest import ROOT

_TOOL = [sys.executable, "-m"]


class Loopback:
    """A scheduler, and the workers that have joined it.

    Args:
      folder: for logs and the scheduler's file.
      *security: flags of scheduler and workers.
    """

    def __init__(self, folder: Path, *security: str) -> None:
        self._folder, self._security = folder, security
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._port = 0
        self._started = 0
        self.address = self.start_scheduler()

    def start_scheduler(self) -> str:
        """Starts a scheduler, at the address of the one before; returns the address."""
        file = self.file
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler", "--host=127.0.0.1", f"--port={self._port}",
            f"--scheduler-file={file}", "--no-dashboard",
        )  # fmt: skip
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        address: str = json.loads(file.read_text())["address"]
        self._port = int(address.rpartition(":")[2])
        return address

    @property
    def file(self) -> Path:
        """The scheduler's file."""
        return self._folder / "scheduler.json"

    def join(
        self,
        count: int = 1,
        *flags: str,
        cwd: Path | None = None,
        before: tuple[str, ...] = (),
        **environment: str,
    ) -> "list[subprocess.Popen[bytes]]":
        """Starts workers, and returns them."""
        new = [
            self._start(
                "distributed.cli.dask_worker", self.address, "--nthreads=1", "--no-nanny",
                "--no-dashboard", "--host=127.0.0.1", f"--local-directory={self._folder}", *flags,
                cwd=cwd, before=before, environment=environment,
            )
            for _ in range(count)
        ]  # fmt: skip
        self.workers += new
        return new

    def count(self) -> int:
        """Returns how many workers have joined."""
        return len(self._ask(lambda client: client.nthreads()))

    def tasks(self) -> int:
        """Returns how many tasks workers have been handed."""
        return sum(map(len, self._ask(lambda client: client.processing()).values()))

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return question(client)

    def kill(self, worker: "subprocess.Popen[bytes]") -> None:
        """Ends a worker as the system does where memory runs out."""
        worker.kill()
        worker.wait()
        self.workers.remove(worker)

    def kill_scheduler(self) -> None:
        """Ends the scheduler, which is followed by its workers."""
        if self.scheduler:
            self.scheduler.kill()
            self.scheduler.wait()

    def close(self) -> None:
        """Ends everything."""
        for worker in list(self.workers):
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
            self.kill(worker)
        self.kill_scheduler()

    def _start(
        self,
        module: str,
        *flags: str,
        cwd: Path | None = None,
        before: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        self._started += 1
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
        kept |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | dict(environment or {})
        with (self._folder / f"{self._started:03d}.log").open("wb") as log:
            return subprocess.Popen(
                [*before, *_TOOL, module, *flags, *self._security],
                cwd=cwd or self._folder, env=kept, stdout=log, stderr=log,
            )  # fmt: skip


@contextlib.contextmanager
def loopback(folder: Path, count: int, *security: str) -> Iterator[Loopback]:
    """Runs a cluster with some workers."""
    folder.mkdir()
    cluster = Loopback(folder, *security)
    try:
        cluster.join(count)
        yield cluster
    finally:
        cluster.close()


def wait_until(condition, seconds: float = 60.0) -> None:
    """Waits; fails where that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
