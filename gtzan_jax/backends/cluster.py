"""Workers of a Dask cluster, on any number of machines.

Dask assigns requests to workers, repeats the requests of lost workers, and moves requests from busy
workers to idle ones. Requests need a *resource* that only workers with the client's versions have,
one at a time. This process is the cluster's client and writes the run directory; see
docs/clusters.md.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import operator
import pickle
import time
import warnings
from collections import deque
from collections.abc import Coroutine, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gtzan_jax import process
from gtzan_jax.backends import work
from gtzan_jax.backends.work import Answer, Host, Request
from gtzan_jax.errors import BackendLostError, InputError, RunError
from gtzan_jax.text import counted

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

_ANSWER_S = 10.0  # timeout for the scheduler
_LOOK_S = 1.0  # between searches for workers
_GATHER_S = 10.0  # a run waits this long for more workers than the first
_DEPTH = 2  # requests for each worker at a time, so that it need not wait for the next


class Cluster:
    """The pool of workers of a Dask scheduler; workers may join later.

    Args:
      scheduler: its address, ``tcp://host:port`` or ``tls://…``, or the path of its file.
    """

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._client = _client_of(scheduler)
        self._looked = 0.0
        self._workers: dict[str, Future[Host | str]] = {}  # their answers, by address
        self._fit: set[str] = set()
        self._unfit: set[str] = set()  # reasons why workers cannot be used
        self._shared: dict[str, tuple[int, Any]] = {}  # size and Dask's future, by digest
        self._wait_for_workers()

    @property
    def label(self) -> str:
        """The workers, for messages."""
        count = counted(len(self._fit), "worker")
        return f"{count} of {self._scheduler}, each with {self.host.label}"

    @property
    def devices(self) -> list[str]:
        """The workers, for the manifest; one entry, since there may be many and others later."""
        return [self.label]

    def run(
        self, requests: Sequence[Request], blobs: Mapping[str, bytes]
    ) -> Generator[tuple[int, Answer]]:
        """Runs requests, see ``Processes.run``; all workers get the programs in the same order."""
        programs = list(dict.fromkeys(request.tasks[0].program for request in requests))
        order = [programs.index(request.tasks[0].program) for request in requests]
        waiting = deque(sorted(range(len(requests)), key=order.__getitem__))
        running = dict[Future[Any], tuple[int, Any]]()  # index and Dask's future, by answer
        try:
            while waiting or running:
                if self._look_again():  # Dask does not give requests to workers that joined later
                    self._client.cancel([future for _, future in running.values()])
                    self._shared.clear()
                    waiting.extendleft(place for place, _ in reversed(running.values()))
                    running.clear()
                while waiting and len(running) < _DEPTH * len(self._fit):
                    place = waiting.popleft()
                    future = self._begin(requests[place], blobs)
                    running[self._call(_answer_of(self._client, future))] = place, future
                if not running:
                    time.sleep(_LOOK_S)
                for answer in wait(running, _LOOK_S, FIRST_COMPLETED).done:
                    place, _ = running.pop(answer)
                    yield place, self._checked(answer.result(), requests[place])
        except (OSError, CancelledError):  # the connection to the scheduler is lost
            raise self._gone() from None
        finally:
            if running and self._client.status == "running":
                with contextlib.suppress(OSError):
                    self._client.cancel([future for _, future in running.values()])
                    wait(running, _LOOK_S)

    def close(self) -> None:
        """Disconnects from the cluster."""
        if self._client.status == "running":  # else it would print that it looks for its scheduler
            with contextlib.suppress(OSError):
                self._client.close()

    def _begin(self, request: Request, blobs: Mapping[str, bytes]) -> Any:
        """Submits a request; the scheduler unpickles types of the standard library only."""
        function = self._share("work", pickle.dumps(work.work), pickle.loads)
        spec, fold = (self._share(d, blobs[d], bytes) for d in (request.spec, request.fold))
        pickled = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
        arguments = (function, process.computing(), pickled, spec, fold)
        return self._client.submit(operator.call, *arguments, **self._options)

    def _share(self, digest: str, blob: bytes, function: Any) -> Any:
        """Returns Dask's future of data that requests share; it is sent to each worker once."""
        if digest not in self._shared:
            room = work.REMEMBERED_BYTES - len(blob)
            while self._shared and sum(size for size, _ in self._shared.values()) > room:
                del self._shared[next(iter(self._shared))]
            future = self._client.submit(function, blob, **self._options)
            self._shared[digest] = len(blob), future
        return self._shared[digest][1]

    @property
    def _options(self) -> dict[str, Any]:
        return {"resources": {_resource(process.computing(), self.host): 1}, "pure": False}

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        loop: Any = self._client.loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop.asyncio_loop)

    def _checked(self, answer: Answer | BaseException, request: Request) -> Answer:
        """Returns an answer, or raises an error with a message for the user."""
        from distributed import KilledWorker

        if not isinstance(answer, BaseException):
            return answer
        if self._client.status != "running":
            raise self._gone()
        if isinstance(answer, KilledWorker):
            raise RunError(
                f"{answer.allowed_failures + 1} workers were lost training {request.tasks[0]!r}; "
                f"see the log of the last, {answer.last_worker.address}"
            )
        if isinstance(answer, InputError | RunError | CancelledError):
            raise answer
        raise RunError(f"a worker of {self._scheduler} failed: {type(answer).__name__}: {answer}")

    def _wait_for_workers(self) -> None:
        """Waits for the first worker, and for others that already joined; sets ``host``."""
        begun, has_printed, late = time.monotonic(), False, False
        while not self._fit or not (late or all(each.done() for each in self._workers.values())):
            time.sleep(0.05)
            self._look()
            if self._unfit:
                raise InputError(min(self._unfit))
            late = time.monotonic() > begun + _GATHER_S
            if not has_printed and not self._fit and (late or not self._workers):
                print(f"waiting for a worker to join {self._scheduler} …", flush=True)
                has_printed = True

    def _look_again(self) -> bool:
        """Looks for workers once a second; returns whether one joined after all were lost."""
        before, unfit = self._fit, self._unfit
        if time.monotonic() - self._looked > _LOOK_S or self._client.status != "running":
            self._look()
        for reason in self._unfit - unfit:
            warnings.warn(f"{reason}; this worker is not used", stacklevel=2)
        if before and not self._fit:
            print(f"waiting for a worker to join {self._scheduler} …", flush=True)
        return bool(self._fit and not before)

    def _look(self) -> None:
        """Finds the workers that are present and usable."""
        try:
            if self._client.status != "running":
                raise OSError
            present = self._client.nthreads().keys()
        except Exception:
            raise self._gone() from None
        self._looked = time.monotonic()
        for address in present - self._workers.keys():
            self._workers[address] = self._call(_greeted(self._client, address))
        answers = {a: each.result() for a, each in sorted(self._workers.items()) if each.done()}
        hosts = {a: answer for a, answer in answers.items() if isinstance(answer, Host)}
        if hosts and not hasattr(self, "host"):
            self.host = next(iter(hosts.values()))
        self._fit = {a for a, host in hosts.items() if host.label == self.host.label} & present
        self._unfit = {answer for answer in answers.values() if isinstance(answer, str)} | {
            f"{address} has {hosts[address].label}, the others {self.host.label}: all workers of a "
            "run need the same devices"
            for address in (hosts.keys() & present) - self._fit
        }
        for address in answers.keys() - present:
            del self._workers[address]

    def _gone(self) -> BackendLostError:
        return BackendLostError(f"lost the connection to the scheduler {self._scheduler}")


def _resource(versions: Mapping[str, str], host: Host) -> str:
    """Returns the name of the resource of workers with these versions and devices."""
    digest = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()
    return f"gtzan_jax {digest[:12]} {host.label}"


async def _answer_of(client: Any, future: Any) -> Answer | BaseException:
    """Returns the result or the error of a future; Dask repeats a result lost with its worker."""
    while not future.cancelled():
        error: BaseException | None = await future.exception()
        if error is not None:
            return error
        if future.cancelled():
            break
        answer: list[Answer] = await client.gather([future], errors="skip", asynchronous=True)
        if answer:
            return answer[0]
    return CancelledError()


async def _greeted(client: "Client", address: str) -> Host | str:
    """Returns the devices of a worker, or the reason why it cannot be used."""
    try:
        asked: Any = client.run(_greet, process.computing(), workers=[address], on_error="return")
        answer = (await asked)[address]
    except Exception as error:
        answer = error
    if isinstance(answer, Host):
        return answer
    if isinstance(answer, InputError | RunError):
        return f"{address}: {answer}"
    # The text of a bare Exception, which Dask raises, has the type.
    kind = "" if type(answer) is Exception else f"{type(answer).__name__}: "
    why = f"{kind}{answer}".splitlines()[0]
    no_package = f"No module named '{__package__.partition('.')[0]}'" in why
    remedy = "install gtzan_jax there" if no_package else "see its log"
    return f"{address} cannot be used ({why}): {remedy}"


async def _greet(wanted: Mapping[str, str], dask_worker: Any) -> Host:
    """Gives a worker the resource of requests, if its versions match; returns its devices."""
    host = work.host_for(wanted)
    await dask_worker.set_resources(**{_resource(wanted, host): 1})
    return host


def _client_of(scheduler: str) -> "Client":
    try:
        from distributed import Client, Security
    except ImportError:
        raise InputError(
            "--scheduler needs Dask; install it with pip install -e '.[cluster]'"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # our errors have one line
    warnings.filterwarnings("ignore", "Sending large graph")  # the plan, once for each worker
    warnings.filterwarnings("ignore", "Mismatched versions")  # checked by us
    by_file = "://" not in scheduler
    if by_file and not Path(scheduler).is_file():
        raise InputError(
            f"--scheduler={scheduler} is neither an address such as tcp://host:8786 nor a "
            "scheduler file"
        )
    if scheduler.startswith("tls:") and not Security().get_connection_args("client")["ssl_context"]:
        raise InputError(
            f"--scheduler={scheduler}: no certificate is configured, see docs/clusters.md"
        )
    try:
        address = json.loads(Path(scheduler).read_text())["address"] if by_file else scheduler
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
        ask: Any = client.scheduler
        theirs = client.sync(ask.versions)["packages"]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--scheduler={scheduler}: no answer from a scheduler: {reason}") from None
    mine = {name: process.computing()[name] for name in ("dask", "distributed")}
    different = process.mismatch("scheduler", {name: theirs[name] for name in mine}, mine)
    if different:
        client.close()
        raise InputError(f"--scheduler={scheduler}: {different}")
    return client
