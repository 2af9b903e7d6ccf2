"""The executions of a worker: begun, fed and ended as the service says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from weft.func._execution import Execution
from weft.func._offered import OfferedExecution
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from weft.func._definition import EntrypointDefinition, TaskDefinition


class Executions:
    """What a worker executes. Everything happens in its loop."""

    def __init__(
        self,
        entrypoints: Iterable[EntrypointDefinition],
        tasks: Mapping[str, TaskDefinition],
        send: Callable[[pb.ConnectRequest], None],
    ) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The worker's loop, once it has one."""
        self.hosted = {
            (definition.name, version): definition
            for definition in entrypoints
            for version in (definition.version, *definition.accepts)
        }
        """What is executed of the runs of which entrypoint and version."""
        self._tasks = tasks
        self._send = send
        self._executions: dict[int, Execution] = {}
        self._starting: dict[int, pb.StartRun] = {}

    def __len__(self) -> int:
        return len(self._executions)

    def hear(self, response: pb.ConnectResponse) -> None:
        """Does what the service says about an execution."""
        number = response.execution_id
        execution = self._executions.get(number)
        match response.WhichOneof("message"):
            case "start_run":
                self._starting[number] = response.start_run
                self._start_if_whole(number)
            case "run_task":
                self._run_task(number, response.run_task)
            case "journal_chunk" if number in self._starting:
                self._starting[number].journal.extend(response.journal_chunk.entries)
                self._start_if_whole(number)
            case "ack" if execution is not None:
                execution.acknowledge(response.ack.call_id, response.ack.outcome)
            case "retry" if execution is not None:
                delay = response.retry.delay.ToTimedelta().total_seconds()
                execution.retry(response.retry.call_id, delay)
            case "cancel" if execution is not None:
                execution.cancel(response.cancel.reason)
            case "fenced":
                self._starting.pop(number, None)
                if execution is not None:
                    execution.end()
            case _:
                # About an execution that has ended.
                pass

    def forget_all(self) -> None:
        """Ends all: what they do no longer counts."""
        self._starting.clear()
        for execution in list(self._executions.values()):
            execution.end()

    def _start_if_whole(self, number: int) -> None:
        start = self._starting[number]
        if len(start.journal) < start.journal_length:
            return
        del self._starting[number]
        definition = self.hosted.get((start.entrypoint, start.version))
        if definition is None or self.loop is None:
            failure = pb.Failure(
                reason="NO_SUCH_ENTRYPOINT",
                message=f"this worker does not host {start.entrypoint}@{start.version}",
            )
            finish = pb.Finish(mismatch=failure)
            self._send(pb.ConnectRequest(execution_id=number, finish=finish))
            return
        execution = Execution(number, start, definition, self._send, self.loop, self._ended)
        self._executions[number] = execution
        execution.run()

    def _run_task(self, number: int, run: pb.RunTask) -> None:
        task = self._tasks.get(run.task)
        if task is None or self.loop is None:
            done = pb.Done()
            done.outcome.failure.reason = "NO_SUCH_TASK"
            done.outcome.failure.message = f"this worker does not offer the task `{run.task}`"
            self._send(pb.ConnectRequest(execution_id=number, done=done))
            return
        execution = OfferedExecution(number, run, task, self._send, self.loop, self._ended)
        self._executions[number] = execution
        execution.run()

    def _ended(self, execution: Execution) -> None:
        self._executions.pop(execution.id, None)
