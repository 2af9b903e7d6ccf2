"""Failures: recorded, so that they are the same exceptions in every replay."""

from __future__ import annotations

import functools
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TypeVar

from weft._payload import dumps, sendable
from weft.errors import RunFailed, WeftError
from weft.func import _checks
from weft.func.types import RetryPolicy, default_retry_on
from weft.workflow.v1 import worker_pb2 as pb

logger = logging.getLogger("weft.worker")

B = TypeVar("B", bound=Exception)

#: Longest message and traceback that are recorded, in characters.
MAX_TEXT = 4096
#: Longest message, and value of metadata, of a failure that a program makes itself, in characters.
MAX_OWN_TEXT = 64 * 1024
#: Most metadata of one.
MAX_METADATA_BYTES = 1024 * 1024
#: Where a recorded error keeps its text.
_TEXT = "_weft_text"
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
        self.reason = _checks.name("reason", reason)
        self.message = message
        self.retryable = retryable
        if retry_after is not None:
            retry_after = _checks.seconds("retry_after", retry_after, zero=True)
        self.retry_after = retry_after
        self.metadata = {str(key): str(value) for key, value in (metadata or {}).items()}
        self.task = ""
        self.task_id = ""


class TaskFailed(Failure):
    """A call failed, now or when it was recorded.

    It is an instance of the exception type that the task raised, too, so that ``except ValueError``
    catches a recorded ``ValueError``.
    """

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        retryable: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        # Not that of the type that was raised, which may be made in another way.
        Failure.__init__(self, reason, message, retryable=retryable, metadata=metadata)


class NotSerializable(Failure, TypeError):
    """A value cannot be recorded or sent; ``metadata["path"]`` says what in it, e.g. ``$.a[3]``."""

    def __init__(self, what: str, path: str, why: str) -> None:
        """Says why.

        Args:
            what: The value.
            path: What in it.
            why: What is the matter with that.
        """
        message = f"{what} cannot be recorded: {path} {why}"
        Failure.__init__(self, "NOT_SERIALIZABLE", message, metadata={"path": path})


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
        return bool(getattr(error, "retryable", False))
    return policy.applies_to(error)


def to_message(error: BaseException, call_id: str, task: str, *, retryable: bool) -> pb.Failure:
    """What is recorded of an error."""
    failure = pb.Failure(call_id=call_id, task=task)
    if isinstance(error, Cancelled):
        failure.reason, failure.message = CANCELLED, _text_of(error)
        return failure
    failure.retryable = retryable
    if isinstance(error, Failure):
        try:
            failure.MergeFrom(_told(error))
        except Exception:
            # Of a type that leaves out, or changed, what is told: it is an error like any other.
            logger.exception("a `Failure` does not say what it should")
        else:
            return failure
    kind = type(error)
    failure.reason = "TASK_FAILED" if call_id else "ENTRYPOINT_FAILED"
    text = _text_of(error)
    failure.message = sendable(f"{kind.__name__}: {text}")[:MAX_TEXT]
    failure.metadata["exception"] = _name_of(kind)
    failure.metadata["message"] = text[:MAX_TEXT]
    if error.args != (text,) and (args := _args_of(error)):
        failure.metadata["args"] = args
    frames = traceback.format_tb(error.__traceback__)
    failure.metadata["traceback"] = sendable("".join(frames)[-MAX_TEXT:])
    return failure


def _args_of(error: BaseException) -> str:
    """What an error was made of, as JSON; empty if it is not made of plain data, or of much."""
    try:
        args = dumps(error.args)
        is_plain = json.loads(args) == list(error.args)
    except Exception:
        return ""
    return args if is_plain and args == sendable(args) and len(args) <= MAX_TEXT else ""


def _told(error: Failure) -> pb.Failure:
    """What a failure says of itself."""
    told = pb.Failure(reason=_checks.name("reason", error.reason))
    told.message = sendable(str(error.message))[:MAX_OWN_TEXT]
    for key, value in error.metadata.items():
        told.metadata[sendable(str(key))[:MAX_TEXT]] = sendable(str(value))[:MAX_OWN_TEXT]
    if told.ByteSize() > MAX_METADATA_BYTES:
        told.ClearField("metadata")
        told.metadata["omitted"] = f"the metadata, of more than {MAX_METADATA_BYTES} bytes"
    if type(error) not in (Failure, TaskFailed) and "exception" not in told.metadata:
        told.metadata["exception"] = _name_of(type(error))
    if error.task_id:
        told.call_id, told.task = error.task_id, error.task
    if error.retry_after is not None:
        seconds = _checks.seconds("retry_after", error.retry_after, zero=True)
        told.retry_after.FromNanoseconds(int(seconds * 1e9))
    return told


def _name_of(kind: type) -> str:
    return sendable(f"{kind.__module__}:{kind.__qualname__}")


def _text_of(error: BaseException) -> str:
    try:
        return sendable(str(error))
    except Exception as why:
        return f"(its text cannot be had: {type(why).__name__})"


def from_message(failure: pb.Failure) -> Failure:
    """The exception of a recorded failure."""
    told: dict[str, Any] = {"retryable": failure.retryable, "metadata": failure.metadata}
    reason = failure.reason or "UNKNOWN"
    try:
        error = _kind(TaskFailed, failure.metadata)(reason, failure.message, **told)
        _restore(error, failure.metadata)
    except Exception:
        # A type that cannot be made like this is not caught by its name.
        error = TaskFailed(reason, failure.message, **told)
    error.task, error.task_id = failure.task, failure.call_id
    return error


def of_run(failed: RunFailed) -> RunFailed:
    """The failure of a run, as an instance of the type of what its code raised, too."""
    told = failed.run.error
    if told is None:
        return failed
    try:
        error = _kind(RunFailed, told.metadata)(str(failed), failed.run)
    except Exception:
        # A type that cannot be made like this is not caught by its name.
        return failed
    if isinstance(error, Failure):
        error.message, error.retryable, error.retry_after = told.message, False, None
        error.task, error.task_id = told.task, ""
    if _restore(error, told.metadata):
        trace = told.metadata.get("traceback", "")
        # Shown below the text from Python 3.11 on.
        vars(error)["__notes__"] = [f"{failed}\n{trace}".rstrip()]
    return error


def _restore(error: Exception, metadata: Mapping[str, str]) -> bool:
    """Gives an error the text and the arguments that it had, if they were recorded."""
    if "message" not in metadata:
        return False
    vars(error)[_TEXT] = metadata["message"]
    try:
        error.args = tuple(json.loads(metadata["args"]))
    except (KeyError, ValueError, TypeError):
        error.args = (metadata["message"],)
    return True


def _recorded_text(error: Exception) -> str:
    return str(vars(error).get(_TEXT, Exception.__str__(error)))


def _kind(base: type[B], metadata: Mapping[str, str]) -> type[B]:
    """An error, as an instance of the recorded type if this program has loaded it."""
    module, _, path = metadata.get("exception", "").partition(":")
    found: Any = sys.modules.get(module) if path else None
    for part in path.split("."):
        found = getattr(found, part, None)
    is_exception = isinstance(found, type) and issubclass(found, Exception)
    if not is_exception:
        return base
    combined: type[B] = _combined((base, found))
    return combined


@functools.lru_cache(maxsize=256)
def _combined(bases: tuple[Any, Any]) -> Any:
    base, kind = bases
    if issubclass(base, kind):
        return base
    # The text of a recorded error is known; what else its type makes one of need not be there.
    texts = {"__str__": _recorded_text, "__repr__": Exception.__repr__}
    namespace = {**texts, "__doc__": base.__doc__}
    try:
        return type(kind.__name__, bases, namespace)
    except TypeError:
        return base
