"""Tasks that a worker offers on their own: each attempt is an execution without a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.func import _codec, _last_words
from weft.func._execution import Execution
from weft.func._runner import guarded
from weft.func._scope import Scope
from weft.func.failures import ExecutionEnded, retryable, to_message
from weft.func.types import CachePolicy, RetryPolicies, RetryPolicy
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from weft.func._definition import TaskDefinition


class _Code:
    """A task in the place of an entrypoint."""

    store: Any = None
    retry_policy: RetryPolicies = None
    cache_policy: CachePolicy | None = None

    def __init__(self, task: TaskDefinition) -> None:
        self._task = task
        self.is_async = task.is_async

    def bound(self, scope: Scope) -> Callable[[], Any]:
        return self._task.offered_to(scope, scope.execution.start.input.json_text)

    def policy_for(self, error: BaseException) -> RetryPolicy | None:
        return self._task.own_policy_for(error)

    def context(self, value: Any) -> Any:
        return value


class OfferedExecution(Execution):
    """One attempt of a task that a run elsewhere calls."""

    makes_calls = False

    def __init__(
        self,
        execution_id: int,
        run: pb.RunTask,
        task: TaskDefinition,
        send: Callable[[pb.ConnectRequest], None],
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[Execution], None] = lambda _: None,
    ) -> None:
        start = pb.StartRun(
            run_id=run.run_id,
            thread_id=run.thread_id,
            entrypoint=run.task,
            input=run.input,
            config=run.config,
        )
        super().__init__(execution_id, start, _Code(task), send, loop, ended)
        self._call_id, self._attempt = run.call_id, run.attempt

    @guarded
    def run(self) -> None:
        """Starts the task."""
        in_thread = not self.definition.is_async
        name = self.start.entrypoint
        scope = Scope(self, self._call_id, name, self._attempt, in_thread=in_thread)
        self.run_code(scope, self.definition.bound(scope), self._body_ended)

    def look_again(self) -> None:
        """There is nothing that its code could wait for."""

    def _body_ended(self, outcome: Callable[[], Any]) -> None:
        done = pb.Done()
        try:
            text = _codec.encode(outcome(), f"the result of task `{self.start.entrypoint}`")
            done.outcome.value.json_text = text
        except ExecutionEnded:
            return
        except BaseException as error:
            policy = self.definition.policy_for(error)
            again = retryable(error, policy)
            done.outcome.failure.CopyFrom(self._failure(error, retryable=again))
            if policy is not None:
                done.retry.CopyFrom(policy.message())
        self._finish_task(done)

    def break_down(self, error: BaseException) -> None:
        """Ends the attempt with a failure of the worker itself."""
        if not self.has_ended:
            try:
                done = pb.Done()
                done.outcome.failure.CopyFrom(_last_words.of_worker(error))
                self._finish_task(done)
            finally:
                self.end()

    def _failure(self, error: BaseException, *, retryable: bool) -> pb.Failure:
        return to_message(error, self._call_id, self.start.entrypoint, retryable=retryable)

    def _finish_task(self, done: pb.Done) -> None:
        self.send(done=done)
        self.end()
