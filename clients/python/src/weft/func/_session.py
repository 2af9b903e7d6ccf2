"""A worker's session with the service: one stream, and the streams that replace it when it drops.

Everything here happens in the thread of `weft._io`, so that heartbeats are answered whatever code
does. See the rules at the head of ``proto/weft/workflow/v1/worker.proto``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

import weft
from weft._channel import Pauses, Service, service_error
from weft.workflow.v1 import worker_pb2 as pb
from weft.workflow.v1 import worker_pb2_grpc

if TYPE_CHECKING:
    from weft.workflow.v1.worker_pb2_grpc import WorkerServiceAsyncStub

logger = logging.getLogger("weft.worker")

#: Ends of a stream after which there is no point in another one.
_FINAL = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
)
#: Seconds that the service has to end a stream that this side has closed.
LEAVE_TIMEOUT = 2.0
#: Bytes of events that may wait to be sent, roughly. Further ones are lost, so that they never hold
#: code or results up, and readers are told how many.
MAX_WAITING_EVENTS = 4 * 1024 * 1024
#: Messages that are sent again if the stream drops before the service has received them.
_NUMBERED = ("capacity", "record", "lookup", "delegate", "suspend", "finish", "done")


def _weight(message: pb.ConnectRequest) -> int:
    """Bytes that a message takes while it waits, roughly."""
    return message.ByteSize() + 256


def _new_session_id() -> str:
    return str(uuid.uuid4())


class Session:
    """The worker's end of the protocol, below executions."""

    def __init__(
        self,
        service: Service,
        entrypoints: Sequence[pb.HostedEntrypoint],
        tasks: Sequence[pb.HostedTask],
        max_runs: int,
        max_tasks: int,
        receive: Callable[[pb.ConnectResponse], None],
        forget_all: Callable[[], None],
    ) -> None:
        self._service = service
        self._hello = pb.Hello(
            protocol=1,
            worker_name=f"{socket.gethostname()}/{os.getpid()}",
            session_id=_new_session_id(),
            entrypoints=entrypoints,
            max_runs=max_runs,
            tasks=tasks,
            max_tasks=max_tasks if tasks else 0,
            client=f"weft-python/{weft.__version__}",
        )
        self._receive = receive
        self._forget_all = forget_all
        self._sequence = 0
        self._received = 0
        # Sent and not received by the service as far as is known, the oldest first.
        self._unreceived: deque[pb.ConnectRequest] = deque()
        self._outbox: deque[pb.ConnectRequest] = deque()
        self._something_to_send = asyncio.Event()
        self._events_waiting = 0
        self._events_lost: Counter[int] = Counter()
        """By execution, since it was last told."""
        self._leaving = False
        self._is_connected = True
        self._lease: float = 15.0
        self._heard_at = 0.0
        """When the service said something last, by the clock of the loop."""
        self._executions: set[int] = set()
        """Those that are not fenced."""
        self._is_idle = asyncio.Event()
        self.welcome = asyncio.Event()
        """Set once the service has said Welcome."""

    def send(self, message: pb.ConnectRequest) -> None:
        """Sends a message, now or on the next stream."""
        kind = message.WhichOneof("message")
        if kind == "emit" and self._events_waiting >= MAX_WAITING_EVENTS:
            if message.execution_id in self._executions:
                self._events_lost[message.execution_id] += 1
            return
        if lost := self._events_lost.pop(message.execution_id, 0):
            gap = pb.Emit(dropped_count=lost)
            self._put(pb.ConnectRequest(execution_id=message.execution_id, emit=gap))
        if kind in _NUMBERED:
            if message.execution_id and message.execution_id not in self._executions:
                return
            self._sequence += 1
            message.sequence = self._sequence
            self._unreceived.append(message)
        self._put(message)

    def _put(self, message: pb.ConnectRequest) -> None:
        if message.HasField("emit"):
            self._events_waiting += _weight(message)
        self._outbox.append(message)
        self._something_to_send.set()

    async def drain(self) -> None:
        """Asks for nothing further, and waits until the service has the last word of each."""
        # Also on streams to come.
        self._hello.max_runs = self._hello.max_tasks = 0
        self.send(pb.ConnectRequest(capacity=pb.Capacity(max_runs=0, max_tasks=0)))
        while self._executions:
            self._is_idle.clear()
            await self._is_idle.wait()

    def leave(self) -> None:
        """Closes this side of the stream once all is sent: what is not finished goes elsewhere."""
        self._leaving = True
        self._something_to_send.set()

    async def run(self) -> None:
        """Keeps a stream open until `leave`. Raises what makes another one pointless."""
        pauses = Pauses()
        while not self._leaving:
            try:
                await self._stream(pauses)
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL:
                    self._forget()
                    raise service_error(error) from None
                if error.code() is grpc.StatusCode.ABORTED:
                    # The session is over. With the same id, two copies of a process would take it
                    # from each other for ever.
                    self._hello.session_id = _new_session_id()
                self._lost(str(error.details()))
            except asyncio.TimeoutError:
                self._lost(f"it was not heard for {self._lease} s")
            if not self._leaving:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._left(), pauses.next())
        self._forget()

    def _forget(self) -> None:
        """None of the executions counts any more."""
        self._executions.clear()
        self._events_lost.clear()
        self._is_idle.set()
        self._forget_all()

    def _lost(self, why: str) -> None:
        # Once, and not for each try that fails after it.
        level = logging.WARNING if self._is_connected and not self._leaving else logging.DEBUG
        self._is_connected = False
        logger.log(level, "workflow-service is lost, and will be looked for: %s", why)

    async def _left(self) -> None:
        while not self._leaving:
            self._something_to_send.clear()
            await self._something_to_send.wait()

    async def _stream(self, pauses: Pauses) -> None:
        stub: WorkerServiceAsyncStub = worker_pb2_grpc.WorkerServiceStub(self._service.channel())
        call: Any = stub.Connect()
        tasks: list[asyncio.Task[None]] = []
        try:
            await call.write(pb.ConnectRequest(hello=self._hello, received=self._received))
            first = await asyncio.wait_for(call.read(), self._lease)
            if first is grpc.aio.EOF:
                return
            self._welcomed(first)
            pauses.reset()
            reader = asyncio.create_task(self._read(call))
            silence = asyncio.create_task(self._silence())
            tasks = [reader, asyncio.create_task(self._write(call)), silence]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if silence.done():
                raise asyncio.TimeoutError
            # If this side is closed or broken, the other one has a moment to say why.
            await asyncio.wait([reader], timeout=LEAVE_TIMEOUT)
            if reader.done():
                await reader
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            call.cancel()

    async def _read(self, call: Any) -> None:
        loop = asyncio.get_running_loop()
        while True:
            response = await call.read()
            if response is grpc.aio.EOF:
                return
            self._heard_at = loop.time()
            self._heard(response)

    async def _silence(self) -> None:
        """Lasts until the service has said nothing for as long as its lease."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        left = self._lease
        while left > 0:
            await asyncio.sleep(left)
            left = self._heard_at + self._lease - loop.time()

    def _welcomed(self, response: pb.ConnectResponse) -> None:
        self._is_connected = True
        welcome = response.welcome
        self._lease = max(welcome.lease.ToTimedelta().total_seconds(), 1.0)
        self._outbox.clear()
        self._events_waiting = 0
        if welcome.resumed:
            self._note_received(response.received)
            self._outbox.extend(self._unreceived)
        else:
            self._forget()
            self._unreceived.clear()
            self._sequence = self._received = 0
        self._something_to_send.set()
        self.welcome.set()

    def _heard(self, response: pb.ConnectResponse) -> None:
        self._note_received(response.received)
        if response.sequence:
            if response.sequence <= self._received:
                return
            self._received = response.sequence
        match response.WhichOneof("message"):
            case "ping":
                heartbeat = pb.Heartbeat(execution_ids=sorted(self._executions))
                self.send(pb.ConnectRequest(heartbeat=heartbeat))
                return
            case "start_run" | "run_task":
                self._executions.add(response.execution_id)
            case "fenced":
                self._executions.discard(response.execution_id)
                self._events_lost.pop(response.execution_id, None)
                if not self._executions:
                    self._is_idle.set()
            case _:
                pass
        self._receive(response)

    def _note_received(self, sequence: int) -> None:
        while self._unreceived and self._unreceived[0].sequence <= sequence:
            self._unreceived.popleft()

    async def _write(self, call: Any) -> None:
        while True:
            while self._outbox:
                message = self._outbox.popleft()
                if message.HasField("emit"):
                    self._events_waiting -= _weight(message)
                message.received = self._received
                await call.write(message)
            if self._leaving:
                await call.done_writing()
                return
            self._something_to_send.clear()
            await self._something_to_send.wait()
