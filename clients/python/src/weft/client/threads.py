"""Threads: what runs leave for the runs after them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from weft._channel import Service
from weft._io import in_io, iterated_in_io
from weft._payload import TEXT, encode
from weft.client import _decode
from weft.client.values import Checkpoint, Thread, ThreadState
from weft.workflow.v1 import workflow_pb2 as pb
from weft.workflow.v1 import workflow_pb2_grpc

if TYPE_CHECKING:
    from weft.workflow.v1.workflow_pb2_grpc import ThreadServiceAsyncStub


class AsyncThreads:
    """Threads and their checkpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _stub(self) -> ThreadServiceAsyncStub:
        return workflow_pb2_grpc.ThreadServiceStub(self._service.channel())

    @in_io
    async def get(self, thread_id: str, *, checkpoint_id: str = "") -> Thread:
        """Returns the state of a thread, now or at a checkpoint."""
        request = pb.GetThreadRequest(
            thread_id=thread_id, checkpoint_id=checkpoint_id, payload_form=TEXT
        )
        response = await self._service.call(self._stub().GetThread, request)
        return _decode.thread(response.thread)

    @iterated_in_io
    async def list(
        self, *, states: Sequence[ThreadState] = (), page_size: int = 0
    ) -> AsyncIterator[Thread]:
        """Yields threads without their payloads, the last updated first."""
        request = pb.ListThreadsRequest(
            states=[pb.Thread.State.Value(f"STATE_{state.value}") for state in states],
            page_size=page_size,
        )
        while True:
            response = await self._service.call(self._stub().ListThreads, request)
            for thread in response.threads:
                yield _decode.thread(thread)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    @in_io
    async def update(
        self, thread_id: str, value: Any, *, checkpoint_id: str = "", saved: Any = ...
    ) -> Checkpoint:
        """Writes a checkpoint by hand.

        The next run is given ``saved`` as ``previous``, or ``value`` if that is left out.
        """
        request = pb.UpdateThreadRequest(
            thread_id=thread_id, checkpoint_id=checkpoint_id, value=encode(value)
        )
        if saved is not ...:
            request.saved.CopyFrom(encode(saved))
        # A repeat would write a second checkpoint.
        response = await self._service.call(self._stub().UpdateThread, request, repeatable=False)
        return _decode.checkpoint(response.checkpoint)

    @iterated_in_io
    async def checkpoints(self, thread_id: str, *, page_size: int = 0) -> AsyncIterator[Checkpoint]:
        """Yields the checkpoints of a thread, newest first, from as many pages as are asked for."""
        request = pb.ListCheckpointsRequest(
            thread_id=thread_id, page_size=page_size, payload_form=TEXT
        )
        while True:
            response = await self._service.call(self._stub().ListCheckpoints, request)
            for checkpoint in response.checkpoints:
                yield _decode.checkpoint(checkpoint)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    @in_io
    async def fork(
        self, thread_id: str, *, checkpoint_id: str = "", new_thread_id: str = ""
    ) -> Thread:
        """Copies a thread, up to a checkpoint, into a new one."""
        request = pb.ForkThreadRequest(
            thread_id=thread_id, checkpoint_id=checkpoint_id, new_thread_id=new_thread_id
        )
        response = await self._service.call(self._stub().ForkThread, request, repeatable=False)
        return _decode.thread(response.thread)

    @in_io
    async def prune(self, thread_id: str, *, keep_checkpoints: int) -> tuple[int, int]:
        """Drops all but the newest checkpoints; returns how many, and of how many runs."""
        request = pb.PruneThreadRequest(thread_id=thread_id, keep_checkpoints=keep_checkpoints)
        response = await self._service.call(self._stub().PruneThread, request)
        return response.checkpoint_count, response.run_count

    @in_io
    async def delete(self, thread_id: str) -> None:
        """Removes a thread with its runs and checkpoints."""
        request = pb.DeleteThreadRequest(thread_id=thread_id)
        await self._service.call(self._stub().DeleteThread, request)
