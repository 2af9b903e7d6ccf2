"""Runs: starting them, following them, answering what they ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc.aio
from typing_extensions import Unpack

from weft._channel import RECONNECT_TIMEOUT, Pauses, Service, service_error
from weft._io import in_io, iterated_in_io
from weft._payload import TEXT, encode
from weft.client import _decode
from weft.client.events import Event, StreamMode
from weft.client.starting import StartOptions, start_request
from weft.client.values import Run, RunState
from weft.errors import DeadlineExceeded
from weft.workflow.v1 import workflow_pb2 as pb
from weft.workflow.v1 import workflow_pb2_grpc

if TYPE_CHECKING:
    from weft.workflow.v1.workflow_pb2_grpc import WorkflowServiceAsyncStub

#: Seconds that one call waits; then it is repeated. Shorter than what proxies cut.
WAIT_SLICE = 50.0
#: What a stream that broke off, rather than being refused, ends with.
_BROKEN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN")


class AsyncRuns:
    """Runs of entrypoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _stub(self) -> WorkflowServiceAsyncStub:
        return workflow_pb2_grpc.WorkflowServiceStub(self._service.channel())

    @in_io
    async def start(
        self,
        entrypoint: str,
        input: Any = None,  # noqa: A002
        **options: Unpack[StartOptions],
    ) -> Run:
        """Records a run of ``entrypoint`` with ``input`` and returns without waiting for it."""
        request = start_request(entrypoint, input, options)
        response = await self._service.call(self._stub().StartRun, request)
        return _decode.run(response.run)

    @in_io
    async def invoke(
        self,
        entrypoint: str,
        input: Any = None,  # noqa: A002
        *,
        wait_timeout: float | None = None,
        **options: Unpack[StartOptions],
    ) -> Run:
        """Starts a run and returns it once it rests, or as it is after ``wait_timeout`` seconds.

        Takes what `start` takes. `Run.result` of what it returns is the output.
        """
        request = pb.InvokeRunRequest(
            start=start_request(entrypoint, input, options), payload_form=TEXT
        )
        seconds = WAIT_SLICE if wait_timeout is None else min(wait_timeout, WAIT_SLICE)
        began = time.monotonic()
        response = await self._service.call(self._stub().InvokeRun, request, timeout=seconds)
        run = _decode.run(response.run)
        if run.state.rests:
            return run
        rest = None if wait_timeout is None else wait_timeout - (time.monotonic() - began)
        return run if rest is not None and rest <= 0 else await self.wait(run.id, timeout=rest)

    @in_io
    async def wait(self, run_id: str, *, timeout: float | None = None) -> Run:
        """Returns a run once it rests, or as it is after ``timeout`` seconds.

        Goes on waiting while the service is restarted.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # Long enough for the service to be restarted, unless the caller waits for less.
            seconds = RECONNECT_TIMEOUT
            if deadline is not None:
                seconds = min(seconds, max(deadline - time.monotonic(), 0.1))
            request = pb.WaitRunRequest(run_id=run_id, payload_form=TEXT)
            try:
                response = await self._service.call(self._stub().WaitRun, request, timeout=seconds)
                run = _decode.run(response.run)
            except DeadlineExceeded:
                run = await self.get(run_id)
            if run.state.rests or (deadline is not None and time.monotonic() >= deadline):
                return run

    @iterated_in_io
    async def stream(
        self,
        entrypoint: str,
        input: Any = None,  # noqa: A002
        *,
        modes: Iterable[StreamMode | str] = (),
        **options: Unpack[StartOptions],
    ) -> AsyncIterator[Event]:
        """Starts a run and yields its events until it rests.

        Takes what `start` takes. A connection that is dropped is made again, and the stream goes
        on after the last event that was yielded.
        """
        request = pb.StreamRunRequest(start=start_request(entrypoint, input, options))
        async for event in self._follow(request, modes):
            yield event

    @iterated_in_io
    async def join(
        self,
        run_id: str,
        *,
        modes: Iterable[StreamMode | str] = (),
        after_sequence: int = 0,
    ) -> AsyncIterator[Event]:
        """Yields the events of a run after ``after_sequence``, until it rests."""
        request = pb.StreamRunRequest(run_id=run_id, after_sequence=after_sequence)
        async for event in self._follow(request, modes):
            yield event

    async def _follow(
        self, request: pb.StreamRunRequest, modes: Iterable[StreamMode | str]
    ) -> AsyncIterator[Event]:
        request.payload_form = TEXT
        for mode in modes:
            name = f"STREAM_MODE_{StreamMode(mode).name}"
            request.modes.append(pb.StreamMode.Value(name))
        pauses = Pauses()
        last_heard = time.monotonic()
        while True:
            stream = self._stub().StreamRun(request)
            try:
                async for response in stream:
                    event = _decode.event(response.event)
                    # From here on a repeat joins the run after this event.
                    request.run_id = event.run_id
                    request.after_sequence = event.sequence
                    pauses.reset()
                    yield event
                    last_heard = time.monotonic()
            except grpc.aio.AioRpcError as error:
                told = service_error(error)
            else:
                return
            finally:
                stream.cancel()
            broke_off = told.code == "UNAVAILABLE" or (told.code in _BROKEN and not told.reason)
            pause = pauses.next(told.retry_after)
            if not broke_off or time.monotonic() + pause > last_heard + RECONNECT_TIMEOUT:
                raise told
            await asyncio.sleep(pause)

    @in_io
    async def get(self, run_id: str) -> Run:
        """Returns one run."""
        request = pb.GetRunRequest(run_id=run_id, payload_form=TEXT)
        response = await self._service.call(self._stub().GetRun, request)
        return _decode.run(response.run)

    @iterated_in_io
    async def list(
        self,
        *,
        thread_id: str = "",
        entrypoint: str = "",
        states: Sequence[RunState] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
    ) -> AsyncIterator[Run]:
        """Yields runs without their payloads, newest first, from as many pages as are asked for."""
        request = pb.ListRunsRequest(
            thread_id=thread_id,
            entrypoint=entrypoint,
            states=[pb.Run.State.Value(f"STATE_{state.value}") for state in states],
            labels=labels or {},
            page_size=page_size,
        )
        while True:
            response = await self._service.call(self._stub().ListRuns, request)
            for run in response.runs:
                yield _decode.run(run)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    @in_io
    async def resume(
        self, run_id: str, answer: Any = None, *, answers: Mapping[str, Any] | None = None
    ) -> Run:
        """Answers the only open question of a run, or some by the ids of their interrupts.

        ``None`` is an answer. Returns without waiting for the run. Several callers can answer at
        the same time: a run that goes on with one answer takes those to its other questions, too.
        Of two answers to one question the second is refused: ``NotFound`` with the reason
        INTERRUPT_NOT_FOUND, or ``FailedPrecondition`` with RUN_STATE if nothing is open any more.
        """
        request = pb.ResumeRunRequest(run_id=run_id)
        if answers is None:
            request.answer.CopyFrom(encode(answer, "the answer"))
        else:
            for interrupt_id, one in answers.items():
                request.answers.by_interrupt_id[interrupt_id].CopyFrom(
                    encode(one, f"the answer to {interrupt_id}")
                )
        # A repeat would be refused: the first call may have answered.
        response = await self._service.call(self._stub().ResumeRun, request, repeatable=False)
        return _decode.run(response.run)

    @in_io
    async def retry(self, run_id: str, *, version: str = "", branch: bool = False) -> Run:
        """Runs a FAILED, CANCELLED or PAUSED run again; what succeeded is not repeated.

        If its thread has a newer checkpoint than the one its results follow from, it goes on
        only as a ``branch``: what it saves becomes the newest one.
        """
        request = pb.RetryRunRequest(run_id=run_id, version=version, branch=branch)
        response = await self._service.call(self._stub().RetryRun, request, repeatable=False)
        return _decode.run(response.run)

    @in_io
    async def cancel(self, run_id: str, *, reason: str = "") -> Run:
        """Asks a run to stop. Returns without waiting for it."""
        request = pb.CancelRunRequest(run_id=run_id, reason=reason)
        response = await self._service.call(self._stub().CancelRun, request, repeatable=False)
        return _decode.run(response.run)
