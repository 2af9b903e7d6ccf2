"""A worker: hosts entrypoints and offers tasks, and executes what the service hands it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from weft import _io
from weft._channel import Service
from weft.errors import Unavailable
from weft.func import _checks
from weft.func._definition import EntrypointDefinition, TaskDefinition
from weft.func._executions import Executions
from weft.func._session import Session
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from weft.func.decorators import Task
    from weft.func.program import Program

logger = logging.getLogger("weft.worker")

#: Most runs at a time.
DEFAULT_MAX_RUNS = 100
#: Most tasks on offer at a time, besides the runs.
DEFAULT_MAX_TASKS = 100
#: Seconds that runs under way have to come to rest when a worker is asked to end.
DEFAULT_DRAIN_TIMEOUT = 30.0


class Worker:
    """Hosts entrypoints in this process, and offers tasks.

    ```python
    Worker(workflow, other_workflow).serve()      # until SIGTERM or Ctrl-C
    Worker(tasks=[lookup]).serve()                # for agents, and the runs of others

    async with Worker(workflow):                  # in a program of its own
        ...
    ```

    Asynchronous code runs in the loop that the worker is started in; blocking code has threads.
    A worker that loses the service connects again and goes on with what it has.
    """

    def __init__(
        self,
        *entrypoints: Program,
        tasks: Sequence[Task[..., Any]] = (),
        workflow: str | None = None,
        max_runs: int = DEFAULT_MAX_RUNS,
        max_tasks: int = DEFAULT_MAX_TASKS,
        drain_timeout: float = DEFAULT_DRAIN_TIMEOUT,
    ) -> None:
        """Says what to host.

        Args:
            entrypoints: What ``entrypoint`` made of functions; at least one, or a task.
            tasks: What ``task`` made of functions, for the runs of others to call: agents have them
                as tools, entrypoints call ``target("task/NAME", {…})``. Arguments come by name.
            workflow: Address of workflow-service; else ``WEFT_WORKFLOW_URL`` or the local default.
            max_runs: Most runs at a time.
            max_tasks: Most tasks on offer at a time, besides the runs.
            drain_timeout: Seconds that runs under way have to come to rest when it ends. What is
                not done by then goes on at another worker.
        """
        if not entrypoints and not tasks:
            raise ValueError("a worker needs an entrypoint to host, or a task to offer")
        for one in entrypoints:
            _refuse_others(one, EntrypointDefinition, "an entrypoint")
        for task in tasks:
            _refuse_others(task, TaskDefinition, "a task")
            _checks.name("name", task.name, most=_checks.MAX_OFFERED_NAME_BYTES)
        _checks.count("max_runs", max_runs, least=0)
        _checks.count("max_tasks", max_tasks, least=0)
        _checks.seconds("drain_timeout", drain_timeout, zero=True)
        self._programs = entrypoints
        self._service = Service(workflow, "WEFT_WORKFLOW_URL", "127.0.0.1:50052")
        self._max_runs, self._max_tasks = max_runs, max_tasks
        self._tasks = {task.name: task.definition for task in tasks}
        self._drain_timeout = drain_timeout
        self._executions = Executions(
            [program.definition for program in entrypoints], self._tasks, self._send
        )
        self._session: Session | None = None
        self._session_end: concurrent.futures.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls_here: _io.Calls | None = None
        self._calls_in_io: _io.Calls | None = None

    #: Whether calls of an entrypoint rely on this worker; see `weft.func._hosting`.
    _on_purpose = True

    async def start(self, *, timeout: float | None = None) -> None:
        """Connects; returns once runs can be started.

        Waits for a service that is not there yet, for ``timeout`` seconds.
        """
        if self._session_end is not None:
            raise RuntimeError("the worker has been started")
        self._loop = self._executions.loop = asyncio.get_running_loop()
        self._calls_here, self._calls_in_io = _io.Calls(self._loop), _io.Calls(_io.loop())
        await _io.call(self._connect(timeout))
        if self._on_purpose:
            for program in self._programs:
                program.hosts.append(self._loop)

    async def _connect(self, timeout: float | None) -> None:
        hosted = [program.definition.hosted() for program in self._programs]
        session = Session(
            self._service,
            hosted,
            [task.offered() for task in self._tasks.values()],
            self._max_runs,
            self._max_tasks,
            self._receive,
            self._forget_all_soon,
        )
        self._session = session
        running = asyncio.create_task(session.run())
        welcome = asyncio.create_task(session.welcome.wait())
        first = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait([running, welcome], return_when=first, timeout=timeout)
        welcome.cancel()
        if running in done:
            await running
        if not done:
            running.cancel()
            await self._service.close()
            raise Unavailable(f"there is no workflow-service at {self._service.url}")
        end: concurrent.futures.Future[None] = concurrent.futures.Future()
        running.add_done_callback(functools.partial(_settle, end))
        self._session_end = end

    async def wait(self) -> None:
        """Waits for the end of the session; raises why the service refused it."""
        if self._session_end is not None:
            # The session outlives whoever waits for it.
            await asyncio.shield(asyncio.wrap_future(self._session_end))

    async def stop(self) -> None:
        """Takes no more runs, waits for those under way, and disconnects."""
        session, session_end = self._session, self._session_end
        if session is None or session_end is None:
            return
        if not session_end.done():
            with contextlib.suppress(asyncio.TimeoutError):
                await _io.call(asyncio.wait_for(session.drain(), self._drain_timeout))
        await self.leave()

    async def leave(self) -> None:
        """Disconnects at once: what is unfinished goes to other workers."""
        session, session_end = self._session, self._session_end
        self._session = self._session_end = None
        if session is None or session_end is None:
            return
        if self._on_purpose and self._loop is not None:
            for program in self._programs:
                program.hosts.remove(self._loop)
        _io.loop().call_soon_threadsafe(session.leave)
        with contextlib.suppress(Exception):
            await asyncio.wrap_future(session_end)
        await self._service.close()
        self._executions.forget_all()

    def leave_at_once(self) -> None:
        """Disconnects before it returns, called in the worker's loop: what is unfinished goes on
        elsewhere.
        """
        session, session_end = self._session, self._session_end
        if session is not None and session_end is not None:
            _io.loop().call_soon_threadsafe(session.leave)
            session_end.result()
            self._executions.forget_all()

    async def run(self) -> None:
        """Hosts until it is cancelled, then ends in good order."""
        async with self:
            await self.wait()

    def serve(self) -> None:
        """Hosts until SIGTERM or Ctrl-C, then ends in good order.

        In another thread than the main one, which alone is told of signals, it hosts until the
        process ends: make that a daemon thread, or `run` the worker in a loop that can be stopped.
        """
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        is_main = threading.current_thread() is threading.main_thread()
        heard = (signal.SIGTERM, signal.SIGINT) if is_main else ()
        for number in heard:
            loop.add_signal_handler(number, asked.set)
        async with self:
            print("; ".join(self._offers()), flush=True)  # noqa: T201
            over = asyncio.create_task(self.wait())
            stop = asyncio.create_task(asked.wait())
            await asyncio.wait([over, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            # A second signal ends the process at once.
            for number in heard:
                loop.remove_signal_handler(number)
            if over.done():
                await over
            over.cancel()
            print(f"ending: {len(self._executions)} run(s) to finish", flush=True)  # noqa: T201

    def _offers(self) -> list[str]:
        hosted = sorted(f"{name}@{version}" for name, version in self._executions.hosted)
        kinds = {"hosting": hosted, "offering": sorted(self._tasks)}
        return [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # What the service says. Called in the thread of `_io`, done in the worker's loop.

    def _receive(self, response: pb.ConnectResponse) -> None:
        self._in_loop(self._executions.hear, response)

    def _forget_all_soon(self) -> None:
        self._in_loop(self._executions.forget_all)

    def _in_loop(self, function: Callable[..., None], *args: Any) -> None:
        try:
            if self._calls_here is not None:
                self._calls_here.make(function, *args)
        except RuntimeError:
            # The loop is closed: its runs go elsewhere.
            if self._session is not None:
                self._session.leave()

    def _send(self, message: pb.ConnectRequest) -> None:
        if self._session is not None and self._calls_in_io is not None:
            self._calls_in_io.make(self._session.send, message)


def _refuse_others(value: Any, kind: type, what: str) -> None:
    if not isinstance(getattr(value, "definition", None), kind):
        name = getattr(value, "__name__", type(value).__name__)
        raise TypeError(f"`{name}` is not {what}: decorate the function")


def _settle(end: concurrent.futures.Future[None], running: asyncio.Task[None]) -> None:
    error = None if running.cancelled() else running.exception()
    if error is None:
        end.set_result(None)
    else:
        end.set_exception(error)
