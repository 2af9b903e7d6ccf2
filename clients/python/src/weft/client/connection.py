"""The clients: everything that both services can do, asynchronous and blocking."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from weft._channel import Service
from weft._io import blocking, in_io, iterating
from weft.client import _decode
from weft.client.memory import AsyncMemory
from weft.client.runs import AsyncRuns
from weft.client.threads import AsyncThreads
from weft.client.values import Entrypoint, OfferedTask
from weft.workflow.v1 import workflow_pb2 as pb
from weft.workflow.v1 import workflow_pb2_grpc

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncClient:
    """Both services, for asynchronous code. Usable from any event loop.

    Connects on first use. Addresses are ``host:port`` or ``http(s)://host:port``; those left out
    are taken from ``WEFT_WORKFLOW_URL`` and ``WEFT_MEMORY_URL``, else the local defaults.
    """

    def __init__(self, workflow: str | None = None, memory: str | None = None) -> None:
        self._workflow = Service(workflow, "WEFT_WORKFLOW_URL", "127.0.0.1:50052")
        self._memory = Service(memory, "WEFT_MEMORY_URL", "127.0.0.1:50051")
        self.runs = AsyncRuns(self._workflow)
        """Runs: start, wait for, follow, answer, retry and cancel them."""
        self.threads = AsyncThreads(self._workflow)
        """Threads: what runs leave for the runs after them."""
        self.memory = AsyncMemory(self._memory)
        """Items that outlive threads."""

    @in_io
    async def entrypoints(self) -> tuple[Entrypoint, ...]:
        """Returns the entrypoints that can be run, by name."""
        stub = workflow_pb2_grpc.WorkflowServiceStub(self._workflow.channel())
        response = await self._workflow.call(stub.ListEntrypoints, pb.ListEntrypointsRequest())
        return tuple(_decode.entrypoint(one) for one in response.entrypoints)

    @in_io
    async def tasks(self) -> tuple[OfferedTask, ...]:
        """Returns the tasks that connected workers offer, by name."""
        stub = workflow_pb2_grpc.WorkflowServiceStub(self._workflow.channel())
        response = await self._workflow.call(stub.ListTasks, pb.ListTasksRequest())
        return tuple(_decode.task(one) for one in response.tasks)

    async def close(self) -> None:
        """Closes the connections."""
        await self._workflow.close()
        await self._memory.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Runs:
    """Runs of entrypoints; see `AsyncRuns`."""

    def __init__(self, asynchronous: AsyncRuns) -> None:
        self._async = asynchronous

    start = blocking(AsyncRuns.start)
    invoke = blocking(AsyncRuns.invoke)
    wait = blocking(AsyncRuns.wait)
    stream = iterating(AsyncRuns.stream)
    join = iterating(AsyncRuns.join)
    get = blocking(AsyncRuns.get)
    list = iterating(AsyncRuns.list)
    resume = blocking(AsyncRuns.resume)
    retry = blocking(AsyncRuns.retry)
    cancel = blocking(AsyncRuns.cancel)


class Threads:
    """Threads and their checkpoints; see `AsyncThreads`."""

    def __init__(self, asynchronous: AsyncThreads) -> None:
        self._async = asynchronous

    get = blocking(AsyncThreads.get)
    list = iterating(AsyncThreads.list)
    update = blocking(AsyncThreads.update)
    checkpoints = iterating(AsyncThreads.checkpoints)
    fork = blocking(AsyncThreads.fork)
    prune = blocking(AsyncThreads.prune)
    delete = blocking(AsyncThreads.delete)


class Memory:
    """Items that outlive threads; see `AsyncMemory`."""

    def __init__(self, asynchronous: AsyncMemory) -> None:
        self._async = asynchronous

    put = blocking(AsyncMemory.put)
    get = blocking(AsyncMemory.get)
    delete = blocking(AsyncMemory.delete)
    search = blocking(AsyncMemory.search)
    list = iterating(AsyncMemory.list)
    count = blocking(AsyncMemory.count)
    namespaces = blocking(AsyncMemory.namespaces)
    delete_namespace = blocking(AsyncMemory.delete_namespace)
    batch = blocking(AsyncMemory.batch)


class Client:
    """Both services, for blocking code. Takes what `AsyncClient` takes."""

    def __init__(self, workflow: str | None = None, memory: str | None = None) -> None:
        self._async = AsyncClient(workflow, memory)
        self.runs = Runs(self._async.runs)
        """Runs: start, wait for, follow, answer, retry and cancel them."""
        self.threads = Threads(self._async.threads)
        """Threads: what runs leave for the runs after them."""
        self.memory = Memory(self._async.memory)
        """Items that outlive threads."""

    entrypoints = blocking(AsyncClient.entrypoints)
    tasks = blocking(AsyncClient.tasks)
    close = blocking(AsyncClient.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
