"""Failures: recorded, so that they are the same exceptions in every replay."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from weft.errors import WeftError
from weft.func.types import RetryPolicy, default_retry_on
from weft.workflow.v1 import worker_pb2 as pb

#: Longest message and traceback that are recorded, in characters.
MAX_TEXT = 4096
#: Reason of what fails because its run is to stop.
CANCELLED = "CANCELLED"


class Failure(WeftError):
    """Fails a task or an entrypoint with a reason of the program's own."""

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Says why.

        Args:
            reason: UPPER_SNAKE_CASE, for programs.
            message: Sentence for people.
            retryable: Whether another attempt may succeed; a retry policy says how many there are.
            retry_after: Seconds until another attempt makes sense.
            metadata: Details for programs.
        """
        # Not `super()`: a `TaskFailed` has bases that are made otherwise.
        Exception.__init__(self, f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
        self.task = ""
        self.task_id = ""


class TaskFailed(Failure):
    """A call failed, now or when it was recorded.

    It is an instance of the exception type that the task raised, too, so that ``except ValueError``
    catches a recorded ``ValueError``.
    """


class Cancelled(BaseException):
    """The run was cancelled: its calls fail from now on.

    No `Exception`, as ``asyncio.CancelledError`` is none: ``except Exception`` does not hold the
    end of a run up. What must be cleaned up stands in ``finally``.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message
        """Sentence for people: who cancelled it, or why."""


class ExecutionEnded(BaseException):
    """Ends code whose execution is over: what it does no longer counts."""


class Asking(ExecutionEnded):
    """Ends code that cannot go on before its question is answered."""


def retryable(error: BaseException, policy: RetryPolicy | None) -> bool:
    """Whether another attempt may mend an error, as its policy or the error itself says."""
    if policy is None or not isinstance(error, Exception):
        return False
    if isinstance(error, Failure) and policy.retry_on is default_retry_on:
        return error.retryable
    return policy.applies_to(error)


def to_message(error: BaseException, call_id: str, task: str, *, retryable: bool) -> pb.Failure:
    """What is recorded of an error."""
    failure = pb.Failure(call_id=call_id, task=task)
    if isinstance(error, Cancelled):
        failure.reason, failure.message = CANCELLED, _text_of(error)
        return failure
    if isinstance(error, Failure):
        failure.reason, failure.message = error.reason, error.message
        failure.retryable = retryable
        failure.metadata.update(error.metadata)
        if error.task_id:
            failure.call_id, failure.task = error.task_id, error.task
        if error.retry_after is not None:
            failure.retry_after.FromNanoseconds(int(error.retry_after * 1e9))
        return failure
    kind = type(error)
    failure.reason = "TASK_FAILED" if call_id else "ENTRYPOINT_FAILED"
    text = _text_of(error)
    failure.message = f"{kind.__name__}: {text}"[:MAX_TEXT]
    failure.retryable = retryable
    failure.metadata["exception"] = f"{kind.__module__}:{kind.__qualname__}"
    failure.metadata["message"] = text[:MAX_TEXT]
    frames = traceback.format_tb(error.__traceback__)
    failure.metadata["traceback"] = _sendable("".join(frames)[-MAX_TEXT:])
    return failure


def _text_of(error: BaseException) -> str:
    try:
        return _sendable(str(error))
    except Exception as why:
        return f"(its text cannot be had: {type(why).__name__})"


def _sendable(text: str) -> str:
    """Text without halves of surrogate pairs, which cannot be sent."""
    return text.encode("utf-8", "replace").decode()


def from_message(failure: pb.Failure) -> Failure:
    """The exception of a recorded failure."""
    told: dict[str, Any] = {"retryable": failure.retryable, "metadata": failure.metadata}
    try:
        error = _kind(failure)(failure.reason, failure.message, **told)
        if "message" in failure.metadata:
            error.args = (failure.metadata["message"],)
    except Exception:
        # A type that cannot be made like this is not caught by its name.
        error = TaskFailed(failure.reason, failure.message, **told)
    error.task, error.task_id = failure.task, failure.call_id
    return error


def _kind(failure: pb.Failure) -> type[Failure]:
    """`TaskFailed`, as an instance of the recorded type if this program has loaded it."""
    module, _, path = failure.metadata.get("exception", "").partition(":")
    found: Any = sys.modules.get(module) if path else None
    for part in path.split("."):
        found = getattr(found, part, None)
    is_exception = isinstance(found, type) and issubclass(found, Exception)
    return _combined(found) if is_exception else TaskFailed


@functools.lru_cache(maxsize=256)
def _combined(kind: Any) -> type[TaskFailed]:
    if issubclass(TaskFailed, kind):
        return TaskFailed
    namespace = {"__str__": Exception.__str__, "__doc__": TaskFailed.__doc__}
    try:
        return type(kind.__name__, (TaskFailed, kind), namespace)
    except TypeError:
        return TaskFailed
