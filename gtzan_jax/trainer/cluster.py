"""Workers of a Dask cluster, on any number of machines.

Dask starts them, moves tasks and data to them, and hands what a lost one was at to others; see
docs/clusters.md. This process is the cluster's client, and keeps the run directory.
"""

import concurrent.futures
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtzan_jax import process
from gtzan_jax.errors import InputError, RunError, WorkerLostError
from gtzan_jax.trainer import work
from gtzan_jax.trainer.work import Host

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S = 10.0  # in which a scheduler must answer
_LOOK_S = 1.0  # after which workers are looked for again


class Cluster:
    """A pool of the workers that a Dask scheduler has, now and later.

    Args:
      scheduler: its address, ``tcp://host:port`` or ``tls://…``, or the path of its file.

    Raises:
      InputError: Dask is not installed, nobody answers there, or workers that are there have
        other versions or differ in what they compute on.
    """

    depth = 2  # tasks that a worker is handed at a time: the next is there when one is done

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._client = _client_of(scheduler)
        self._looked = -_LOOK_S
        self._slots: dict[str, Executor] = {}
        self.host = self._the_host()

    @property
    def place(self) -> str:
        """What is at work, in words."""
        return f"{len(self._slots)} workers of {self._scheduler}, each {self.host.place}"

    def slots(self) -> Mapping[str, Executor]:
        """Returns the workers that there are, each as an executor.

        What is submitted to one may be done by another, if the first is lost or busy.

        Raises:
          RunError: the scheduler does not answer any more.
        """
        now = time.monotonic()
        if now - self._looked > _LOOK_S:
            try:
                present = self._client.nthreads()
            except Exception as error:
                raise self.explained(error) from None
            self._slots = {
                address: self._slots.get(address)
                or self._client.get_executor(
                    workers=[address], allow_other_workers=True, pure=False
                )
                for address in present
            }
            self._looked = now
        return self._slots

    def explained(self, error: BaseException) -> Exception:
        """Returns what an error of Dask's means to the person who reads it."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return WorkerLostError(
                f"Dask gave up: {error.allowed_failures + 1} workers were lost at it"
            )
        if isinstance(error, InputError | RunError):
            return error
        lost = isinstance(error, OSError | concurrent.futures.CancelledError)
        if lost or self._client.status != "running":
            return RunError(f"the scheduler {self._scheduler} does not answer any more")
        return RunError(f"a worker of {self._scheduler} failed: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """Takes back what is under way."""
        for executor in self._slots.values():
            executor.shutdown(wait=False)
        self._slots, self._looked = {}, -_LOOK_S

    def _the_host(self) -> Host:
        """Waits for a first worker, and returns what all that are there compute on."""
        while not self.slots():
            print(f"waiting for a worker to join {self._scheduler} …", flush=True)
            while not self.slots():
                time.sleep(_LOOK_S)
        wanted = process.computing()
        asked = {
            address: self._client.submit(
                work.greet, wanted, workers=[address], allow_other_workers=False, pure=False
            )
            for address in self._slots
        }
        hosts: dict[Host, str] = {}
        for address, future in asked.items():
            hosts.setdefault(self._answer_of(address, future), address)
        if len(hosts) > 1:
            kinds = "; ".join(f"{address} has {host.place}" for host, address in hosts.items())
            raise InputError(f"{self._scheduler}: {kinds}; a run's workers must be of one kind")
        return next(iter(hosts))

    def _answer_of(self, address: str, future: Any) -> Host:
        try:
            host: Host = future.result()
        except RunError as error:
            raise InputError(f"{address}: {error}") from None
        except Exception as error:
            raise InputError(
                f"{address} cannot work for this process ({type(error).__name__}: {error}): "
                "install gtzan_jax there"
            ) from None
        return host


def _client_of(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--scheduler needs Dask, which pip install 'gtzan_jax[cluster]' brings"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we say it in one line
    by_file = "://" not in scheduler
    if by_file and not Path(scheduler).is_file():
        raise InputError(
            f"--scheduler={scheduler} is neither an address such as tcp://host:8786 nor the file "
            "of a scheduler"
        )
    where = {"scheduler_file": scheduler} if by_file else {"address": scheduler}
    try:
        return Client(**where, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--scheduler={scheduler}: no scheduler answers there: {reason}") from None
