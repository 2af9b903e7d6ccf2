"""Calls: from the place in the journal to the recorded outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weft.func import _codec
from weft.func._future import TaskFuture, current_scope
from weft.func._scope import Scope
from weft.func.failures import (
    CANCELLED,
    Asking,
    Cancelled,
    ExecutionEnded,
    from_message,
    retryable,
    to_message,
)
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from weft.func._definition import TaskDefinition
    from weft.func._execution import Execution


def scope_of(what: str) -> Scope:
    """Where the code that runs makes its calls from."""
    scope = current_scope.get()
    if scope is None:
        raise RuntimeError(f"{what} outside of an entrypoint that runs")
    if scope.execution.has_ended:
        raise ExecutionEnded
    if scope.is_asking:
        raise Asking
    return scope


class TaskCall:
    """A call of a task, with all of its attempts."""

    def __init__(
        self,
        scope: Scope,
        definition: TaskDefinition,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        key: str | None = None,
    ) -> None:
        self._execution = scope.execution
        self._definition = definition
        self._args, self._kwargs = args, kwargs
        self._input = _codec.encode_arguments(args, kwargs)
        self._call = pb.Call(
            id=scope.next_call_id(key),
            kind=pb.Call.KIND_TASK,
            task=definition.name,
            input_hash=_codec.hashed(self._input),
        )
        self._cache = definition.cache(args, kwargs, self._execution)
        self._attempt = 0
        self.future: TaskFuture[Any] = TaskFuture()
        self._execution.in_loop(self._make)

    def _make(self) -> None:
        execution = self._execution
        if not opened(execution, self._call, self.future):
            return
        if execution.replay.recorded(self._call):
            execution.replay.wait(self._call.id, self._receive)
            execution.look_again()
        elif execution.cancelled is not None:
            execution.resolve(self.future, error=Cancelled(execution.cancelled))
        elif self._cache is not None:
            self._wait_for_service()
            execution.send(lookup=pb.Lookup(call=self._call, key=self._cache.key))
        else:
            self._start()

    def _start(self) -> None:
        execution = self._execution
        execution.pauses.pop(self._call.id, None)
        self._attempt += 1
        started = pb.TaskStarted(attempt=self._attempt)
        started.input.json_text = _codec.shown(self._input)
        execution.send(
            emit=pb.Emit(call_id=self._call.id, task=self._definition.name, task_started=started)
        )
        scope = Scope(
            execution,
            self._call.id,
            self._definition.name,
            self._attempt,
            in_thread=not self._definition.is_async,
        )
        execution.attempts[self._call.id] = scope
        function = self._definition.bound(scope, self._args, self._kwargs)
        execution.run_code(scope, function, self._attempt_ended)

    def _attempt_ended(self, outcome: Callable[[], Any]) -> None:
        execution, call = self._execution, self._call
        scope = execution.attempts[call.id]
        record = pb.Record(call=call, attempt=self._attempt)
        try:
            text = _codec.encode(outcome(), f"the result of task `{call.task}`")
            record.outcome.value.json_text = text
        except ExecutionEnded:
            # It asked: it runs again once there is an answer.
            scope.is_asking = True
            return
        except BaseException as error:
            if execution.cancelled is not None:
                del execution.attempts[call.id]
                execution.resolve(self.future, error=Cancelled(execution.cancelled))
                return
            policy = self._definition.policy_for(error, execution)
            failure = to_message(error, call.id, call.task, retryable=retryable(error, policy))
            record.outcome.failure.CopyFrom(failure)
            if policy is not None:
                record.retry.CopyFrom(policy.message())
        else:
            if self._cache is not None:
                record.cache.CopyFrom(self._cache)
        del execution.attempts[call.id]
        self._wait_for_service()
        execution.send(record=record)

    def _wait_for_service(self) -> None:
        self._execution.unacknowledged.add(self._call.id)
        self._execution.retries[self._call.id] = self._try_after
        self._execution.replay.wait(self._call.id, self._receive)

    def _try_after(self, seconds: float) -> None:
        execution = self._execution
        execution.replay.forget(self._call.id)
        if execution.cancelled is not None:
            execution.resolve(self.future, error=Cancelled(execution.cancelled))
        elif seconds > 0:
            execution.pauses[self._call.id] = execution.later(seconds, self._start)
        else:
            self._start()

    def _receive(self, outcome: pb.Outcome) -> None:
        receive(self._execution, self.future, outcome)


def interrupt(value: Any) -> Any:
    """Asks a question; the answer, once there is one. Until then ends the code that asks."""
    scope = scope_of("`interrupt`")
    execution = scope.execution
    text = _codec.encode(value, "the question")
    call = pb.Call(
        id=scope.next_call_id(),
        kind=pb.Call.KIND_INTERRUPT,
        task="interrupt",
        input_hash=_codec.hashed(text),
    )

    def ask() -> pb.Outcome:
        answer = execution.replay.answer(call)
        execution.look_again()
        if execution.replay.mismatch is not None:
            raise ExecutionEnded
        if answer is not None:
            return answer
        if execution.cancelled is not None:
            raise Cancelled(execution.cancelled)
        question = pb.Question(call=call, asked_by=scope.task)
        question.value.json_text = text
        execution.questions[call.id] = question
        scope.is_asking = True
        raise Asking

    outcome = execution.asked_in_loop(ask)
    if outcome.HasField("failure"):
        raise from_message(outcome.failure)
    return _codec.decode(outcome.value.json_text)


def write(scope: Scope, value: Any) -> None:
    """Writes to the run's custom stream."""
    if scope.execution.has_ended:
        raise ExecutionEnded
    emit = pb.Emit(call_id=scope.call_id, task=scope.task)
    emit.custom.json_text = _codec.encode(value, "what is written")
    scope.execution.in_loop(lambda: scope.execution.send(emit=emit))


def target(name: str, value: Any) -> TaskFuture[Any]:
    """Has the service do something, such as ``llm/chat``, and record what comes of it."""
    scope = scope_of(f"`{name}`")
    execution = scope.execution
    text = _codec.encode(value, "the argument")
    call = pb.Call(
        id=scope.next_call_id(),
        kind=pb.Call.KIND_TARGET,
        task=name,
        input_hash=_codec.hashed(text),
    )
    future: TaskFuture[Any] = TaskFuture()

    def make() -> None:
        if opened(execution, call, future):
            if not execution.replay.recorded(call):
                execution.unacknowledged.add(call.id)
                delegate = pb.Delegate(call=call)
                delegate.input.json_text = text
                execution.send(delegate=delegate)
            execution.replay.wait(call.id, lambda outcome: receive(execution, future, outcome))
            execution.look_again()

    execution.in_loop(make)
    return future


def opened(execution: Execution, call: pb.Call, future: TaskFuture[Any]) -> bool:
    if execution.has_ended:
        future.set_exception(ExecutionEnded())
        return False
    execution.open(call.id, future)
    return True


def receive(
    execution: Execution,
    future: TaskFuture[Any],
    outcome: pb.Outcome,
    read: Callable[[Any], Any] = lambda value: value,
) -> None:
    """Gives code a recorded outcome: read from what is recorded, live as in every replay."""
    if outcome.HasField("failure"):
        error: BaseException = from_message(outcome.failure)
        if execution.cancelled is not None and outcome.failure.reason == CANCELLED:
            # What the service does for the code, and stopped doing.
            error = Cancelled(execution.cancelled)
        execution.resolve(future, error=error)
        return
    try:
        value = read(_codec.decode(outcome.value.json_text))
    except Exception as error:
        execution.resolve(future, error=error)
    else:
        execution.resolve(future, value)
