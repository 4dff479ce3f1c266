"""Child processes and their costs: seconds, processor seconds, memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtzan_jax.errors import RunError

_TAIL = 12  # last lines of a failed child's output in the error


@dataclass(frozen=True)
class Finished:
    """Costs and output of a child process."""

    wall_s: float  # from its start to its end, the interpreter's start included
    cpu_s: float  # user and system, of all threads
    peak_rss_bytes: int
    stdout: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object in the last line of the output.

        Raises:
          RunError: there is none.
        """
        lines = self.stdout.splitlines() or [""]
        try:
            answer: dict[str, Any] = json.loads(lines[-1])
        except json.JSONDecodeError:
            raise RunError(f"a benchmark process printed {lines[-1]!r}, not JSON") from None
        return answer

    @property
    def costs(self) -> dict[str, float]:
        """The figures for the record."""
        return {
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "peak_rss_bytes": self.peak_rss_bytes,
        }


def run_module(
    module: str, arguments: Sequence[str] = (), env: Mapping[str, str | None] | None = None
) -> Finished:
    """Runs ``python -m module`` in a new process, and waits for it.

    Args:
      module: such as ``gtzan_jax.sweep``.
      arguments: its command line.
      env: variables that differ from this process's; None removes one.

    Raises:
      RunError: it failed; the message ends with the last lines of its output.
    """
    environment = dict(os.environ) | {k: v for k, v in (env or {}).items() if v is not None}
    for name in (name for name, value in (env or {}).items() if value is None):
        environment.pop(name, None)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module, *arguments], stdout=out, stderr=errors, env=environment
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        stdout = out.read()
        if process.returncode:
            tail = "\n".join((stdout + errors.read()).splitlines()[-_TAIL:])
            raise RunError(f"python -m {module} failed with code {process.returncode}:\n{tail}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, stdout)
