"""What an execution ends with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from weft.func import _codec
from weft.func.failures import Failure, to_message
from weft.func.types import Final, RetryPolicy
from weft.workflow.v1 import worker_pb2 as pb

W = TypeVar("W", pb.Finish, pb.Suspend)

#: Most bytes of several values in one message, which itself may have 17 MiB: two of 8 MiB fit.
MAX_TOGETHER_BYTES = 17 * 1024 * 1024 - 64 * 1024


def returned(value: Any, entrypoint: str) -> pb.Finish:
    """The entrypoint returned."""
    finish = pb.Finish()
    output = f"the output of `{entrypoint}`"
    if isinstance(value, Final):
        finish.returned.value.json_text = _codec.encode(value.value, output)
        saved = f"what `{entrypoint}` saves"
        finish.returned.saved.json_text = _codec.encode(value.save, saved)
    else:
        finish.returned.value.json_text = _codec.encode(value, output)
    return _sendable(finish, "what is returned and what is saved")


def failed(failure: pb.Failure, policy: RetryPolicy | None = None) -> pb.Finish:
    """The entrypoint failed."""
    finish = pb.Finish(failed=pb.Failed(failure=failure))
    if policy is not None:
        finish.failed.retry.CopyFrom(policy.message())
    return finish


def suspended(questions: Iterable[pb.Question]) -> pb.Suspend:
    """The code waits for answers, or for timers."""
    return _sendable(pb.Suspend(questions=questions), "the questions of this run")


def of_worker(error: BaseException) -> pb.Failure:
    """Why the worker itself could not go on."""
    failure = to_message(error, "", "", retryable=False)
    if not isinstance(error, Failure):
        failure.reason = "WORKER_FAILED"
    return failure


def _sendable(message: W, what: str) -> W:
    size = message.ByteSize()
    if size > MAX_TOGETHER_BYTES:
        why = f"{what} have {size} bytes together, at most {MAX_TOGETHER_BYTES} can be sent"
        raise Failure("PAYLOAD_TOO_LARGE", why)
    return message
