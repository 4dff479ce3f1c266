"""Workers of a Dask cluster, on any number of machines.

Dask starts them, and moves tasks and answers; who does what is decided here, so that nothing
reaches a worker that is not fit for it; see docs/clusters.md. This process is the cluster's client,
and keeps the run directory.
"""

import asyncio
import contextlib
import json
import logging
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Set
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gtzan_jax import process
from gtzan_jax.backends import work
from gtzan_jax.backends.work import Host
from gtzan_jax.errors import InputError, PlaceLostError, RunError, WorkerLostError

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S = 10.0  # in which a scheduler must answer
_LOOK_S = 1.0  # after which workers are looked for again
_GATHER_S = 10.0  # for which a run waits for other workers than the first
_STARTS = 3  # workers that may end when they are asked what they compute on, and none else is there

# What a worker needs to open Dask's tasks, which ends it where it has another version.
_DASK = {"python", "dask", "distributed"}
# What may be the cause where it fails to.
_CODECS = {"cloudpickle", "msgpack", "tornado", "toolz", "lz4"}


class _Call(NamedTuple):
    """A call that is made where it is unpickled.

    So that Dask opens nothing of ours: its scheduler need not have the package, and its worker,
    which ends at what it cannot import, answers with an error.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.fn, self.args


class _Slot(Executor):
    """A worker of a cluster. What it is asked it does, and no other; it is lost with it."""

    def __init__(self, client: "Client", address: str) -> None:
        self._client, self._address = client, address
        self._asked: dict[Future[Any], Any] = {}  # Dask's futures, which it drops when we do
        self._lock = threading.Lock()  # of the above
        self.is_silent = False  # it has not answered, and others have to stand in for it

    def __repr__(self) -> str:
        return f"_Slot({self._address}, {len(self._asked)} tasks)"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Has the worker call a function that it can import, after what it was asked before."""
        if kwargs:
            raise TypeError("what is submitted to a worker has no names for its arguments")
        future: Future[Any] = Future()
        try:
            asked = self._client.submit(
                pickle.loads,
                pickle.dumps(_Call(fn, args), pickle.HIGHEST_PROTOCOL),
                workers=[self._address],
                allow_other_workers=False,
                pure=False,
            )
        except Exception as error:  # the scheduler has just gone
            future.set_exception(error)
            return future
        with self._lock:
            self._asked[future] = asked
        future.add_done_callback(self._forget)
        loop: Any = self._client.loop
        loop.add_callback(_settle, future, asked)
        return future

    def lose(self, error: Exception) -> None:
        """Fails what the worker was at."""
        with self._lock:
            lost = list(self._asked)
        for future in lost:
            with contextlib.suppress(InvalidStateError):  # it has answered at the last moment
                future.set_exception(error)

    def _forget(self, future: "Future[Any]") -> None:
        self.is_silent |= future.cancelled() or _tells_of_a_loss(future.exception())
        with self._lock:
            self._asked.pop(future).release()


async def _settle(future: "Future[Any]", asked: Any) -> None:
    """Copies a task's result into its future, unless that was cancelled.

    Runs in the client's own thread, as many times at once as there are tasks: an answer of a worker
    that stands still is not there to be fetched. Dask's callbacks would queue behind it, in one
    thread that the process would wait for at its end.
    """
    value, error = None, None
    try:
        value = await _fetched(asked)
    except BaseException as failure:  # as a task's SystemExit is
        error = failure
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error) if error else future.set_result(value)


async def _fetched(asked: Any) -> Any:
    """Returns what a worker has answered, or raises what it has raised."""
    await asked.exception()
    if asked.status != "finished":
        return await asked.result()
    # Not by asked.result(), which fetches together what is there at the same time.
    told = await asked.client.scheduler.gather(keys=[asked.key])
    if told["status"] != "OK":
        raise WorkerLostError("was lost")  # between its answer and our question
    return told["data"][asked.key]


def _tells_of_a_loss(error: BaseException | None) -> bool:
    from distributed import KilledWorker

    return isinstance(error, WorkerLostError | KilledWorker | CancelledError)


class _Joining(NamedTuple):
    """A worker that has been asked for its versions, and then what it computes on."""

    slot: _Slot
    answer: "Future[Any]"  # versions, or a Host
    versions: Mapping[str, str] | None = None  # once it has told


async def _versions_of(client: "Client", address: str) -> dict[str, str]:
    """Returns a worker's versions, which Dask asks for without a task."""
    scheduler: Any = client.scheduler
    try:
        told = await scheduler.broadcast(msg={"op": "versions", "packages": []}, workers=[address])
    except Exception:
        raise WorkerLostError("left") from None
    return _named(told[address])


def _named(versions: Mapping[str, Any]) -> dict[str, str]:
    """Returns versions by name, Python's without its last number, of what Dask tells."""
    found = {name: str(version) for name, version in versions["packages"].items()}
    return found | {"python": ".".join(found["python"].split(".")[:2])}


def _mismatch(who: str, theirs: Mapping[str, str], names: Set[str]) -> str:
    """Returns a sentence on which of Dask's own packages differ from those here, or ""."""
    from distributed.versions import get_versions

    mine = _named(get_versions())
    both = ({name: each[name] for name in names & theirs.keys()} for each in (theirs, mine))
    return process.mismatch(who, *both)


class Cluster:
    """A pool of the workers that a Dask scheduler has, now and later.

    Args:
      scheduler: its address, ``tcp://host:port`` or ``tls://…``, or the path of its file.

    Raises:
      InputError: Dask is not installed, nobody answers there, or workers that are there have
        other versions or differ in what they compute on.
    """

    depth = 2  # tasks that a worker is handed at a time: the next is there when one is done
    patience_s = 10.0  # beyond what tasks take, until an idle worker does a slow one's
    strikes = 10  # workers that a task may cost where most are lost at others: nodes come and go

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._client = _client_of(scheduler)
        self._looked = -_LOOK_S
        self._slots: dict[str, _Slot] = {}
        self._joining: dict[str, _Joining] = {}
        self._unfit: dict[str, str] = {}  # why, by address
        self._ended = 0  # workers that left when they were asked, since one has answered
        self._kind: str | None = None  # what all of them compute on
        self._waits = False
        self.host = self._the_host()

    @property
    def place(self) -> str:
        """What is at work, in words."""
        return f"{len(self._slots)} workers of {self._scheduler}, each {self.host.place}"

    @property
    def devices(self) -> list[str]:
        """What a manifest calls the workers, which may be many, and others later."""
        return [self.place]

    def slots(self) -> Mapping[str, Executor]:
        """Returns the workers that there are, that are fit, and that answer, each as an executor.

        Raises:
          RunError: the scheduler does not answer any more.
        """
        for address in [address for address, slot in self._slots.items() if slot.is_silent]:
            self._greet(address, self._slots.pop(address))
        if time.monotonic() - self._looked > _LOOK_S:
            known = set(self._unfit)
            self._look()
            for address in self._unfit.keys() - known:
                warnings.warn(f"{self._unfit[address]}; it is not used", stacklevel=2)
            if not self._slots and not self._waits:
                print(self._waiting_for, flush=True)
            self._waits = not self._slots
        return self._slots

    def explained(self, error: BaseException) -> Exception:
        """Returns what an error of Dask's means to the person who reads it."""
        if self._client.status != "running":
            return self._gone()
        if isinstance(error, InputError | RunError):
            return error
        if _tells_of_a_loss(error):
            return WorkerLostError("was lost")
        return RunError(f"a worker of {self._scheduler} failed: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """Takes back what is under way."""
        self._lose_all(WorkerLostError("was taken its task from"))

    def close(self) -> None:
        """Leaves the cluster, as the end of this process does."""
        self._lose_all(WorkerLostError("was left"))
        if self._client.status == "running":  # else it would look for its scheduler, loudly
            self._client.close()

    def _lose_all(self, error: WorkerLostError) -> None:
        for slot in (*self._slots.values(), *(joining.slot for joining in self._joining.values())):
            slot.lose(error)

    def _look(self) -> None:
        """Looks for who has left, and for who has come and can work for this process."""
        if self._client.status != "running":
            raise self._gone()
        try:
            present = self._client.nthreads().keys()
        except Exception:
            raise self._gone() from None
        self._looked = time.monotonic()
        for address in self._slots.keys() - present:
            self._slots.pop(address).lose(WorkerLostError(f"{address} left the cluster"))
        for address in self._joining.keys() - present:
            self._joining.pop(address).slot.lose(WorkerLostError("left"))
            self._ended += 1
        if self._ended >= _STARTS and not self._slots:
            raise RunError(
                f"{self._ended} workers in a row of {self._scheduler} ended when they were asked "
                "what they compute on; their logs say why"
            )
        for address in sorted(present - self._slots.keys() - self._unfit.keys()):
            if address not in self._joining:
                self._greet(address, _Slot(self._client, address))
            if self._joining[address].answer.done():
                self._take_in(address, self._joining.pop(address))

    def _greet(self, address: str, slot: _Slot) -> None:
        slot.is_silent = False
        loop: Any = self._client.loop
        asked = _versions_of(self._client, address)
        answer = asyncio.run_coroutine_threadsafe(asked, loop.asyncio_loop)
        self._joining[address] = _Joining(slot, answer)

    def _take_in(self, address: str, joining: _Joining) -> None:
        """Takes a worker that has answered for one of ours, or notes why not."""
        slot, answer, versions = joining
        error = answer.exception()
        if isinstance(error, WorkerLostError):
            return
        if error:
            self._unfit[address] = _why_unfit(address, error, versions or {})
            return
        host = answer.result()
        if versions is None:
            if different := _mismatch("worker", host, _DASK):
                self._unfit[address] = f"{address}: {different}"
            else:
                answer = slot.submit(work.greet, process.computing())
                self._joining[address] = _Joining(slot, answer, host)
            return
        self._ended = 0
        if self._kind is None:
            self._kind, self.host = host.place, host
        if host.place == self._kind:
            self._slots[address] = slot
        else:
            self._unfit[address] = (
                f"{address} has {host.place}, the others {self._kind}: a run's workers must be of "
                "one kind"
            )

    def _the_host(self) -> Host:
        """Waits for a first worker, and for others that are there; returns what they compute on."""
        begun = asked = time.monotonic()
        while not self._slots or (self._joining and time.monotonic() < begun + _GATHER_S):
            self._look()
            if self._unfit:
                raise InputError(next(iter(self._unfit.values())))
            if not self._slots:
                begun = time.monotonic()
                if not self._joining:
                    asked = begun
                if not self._waits and (not self._joining or begun > asked + _GATHER_S):
                    print(self._waiting_for, flush=True)
                    self._waits = True
            time.sleep(0.05)
        return self.host

    @property
    def _waiting_for(self) -> str:
        if self._joining:
            return f"waiting for {len(self._joining)} workers of {self._scheduler}: busy, it seems"
        return f"waiting for a worker to join {self._scheduler} …"

    def _gone(self) -> PlaceLostError:
        return PlaceLostError(f"the scheduler {self._scheduler} does not answer any more")


def _why_unfit(address: str, error: BaseException, versions: Mapping[str, str]) -> str:
    """Returns why a worker cannot work for this process, from what it raised when it was asked."""
    if isinstance(error, InputError | RunError):
        return f"{address}: {error}"
    why = f"{type(error).__name__}: {error}".splitlines()[0]
    remedy = _mismatch("worker", versions, _CODECS)
    if f"No module named '{__package__.partition('.')[0]}'" in why:
        remedy = "install gtzan_jax there"
    return f"{address} cannot work for this process ({why})" + (f": {remedy}" if remedy else "")


def _client_of(scheduler: str) -> "Client":
    try:
        from distributed import Client, Security
    except ImportError:
        raise InputError(
            "--scheduler needs Dask, which pip install -e '.[cluster]' brings"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we say it in one line
    warnings.filterwarnings("ignore", "Sending large graph")  # the sweep, once to each worker
    warnings.filterwarnings("ignore", "Mismatched versions")  # we say those that matter
    by_file = "://" not in scheduler
    if by_file and not Path(scheduler).is_file():
        raise InputError(
            f"--scheduler={scheduler} is neither an address such as tcp://host:8786 nor the file "
            "of a scheduler"
        )
    if scheduler.startswith("tls:") and not Security().get_connection_args("client")["ssl_context"]:
        raise InputError(
            f"--scheduler={scheduler}: no certificate is configured, see docs/clusters.md"
        )
    try:
        address = json.loads(Path(scheduler).read_text())["address"] if by_file else scheduler
        with ThreadPoolExecutor(1) as thread:  # a notebook's own has a loop
            theirs = thread.submit(asyncio.run, _scheduler_versions(address)).result()
        if different := _mismatch("scheduler", theirs, _DASK):
            raise InputError(f"--scheduler={scheduler}: {different}")
        return Client(address, timeout=_ANSWER_S, set_as_default=False)
    except InputError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--scheduler={scheduler}: no scheduler answers there: {reason}") from None


async def _scheduler_versions(address: str) -> dict[str, str]:
    """Returns a scheduler's versions; with another one a client may not even connect."""
    from distributed import Security, rpc

    async def ask() -> Any:
        security = Security().get_connection_args("client")
        async with rpc(address, connection_args=security) as scheduler:
            return await scheduler.versions()

    return _named(await asyncio.wait_for(ask(), _ANSWER_S))
