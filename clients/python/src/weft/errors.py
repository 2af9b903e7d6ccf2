"""What this package raises. All of it is a `WeftError`, but `weft.func.Cancelled`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.client.values import Run


class WeftError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    """Path of the field, e.g. ``filter`` or ``input[0].role``."""
    description: str
    """What is wrong with it and what to do."""


class ServiceError(WeftError):
    """A service refused a call or could not answer it.

    The subclass says which gRPC code it answered with; ``reason`` is what programs should look at.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if reason else message)
        self.message = message
        """Sentence for people."""
        self.code = code
        """Name of the gRPC code, e.g. ``NOT_FOUND``."""
        self.reason = reason
        """Stable UPPER_SNAKE_CASE reason, e.g. ``RUN_NOT_FOUND``; empty if no service answered."""
        self.domain = domain
        """Service that gives the reason, e.g. ``memory.weft.dev``."""
        self.metadata = dict(metadata or {})
        """Details for programs."""
        self.violations = tuple(violations)
        """All fields that are wrong; of `InvalidArgument` only."""
        self.retry_after = retry_after
        """Seconds after which another try makes sense, if the service said so."""


class InvalidArgument(ServiceError, ValueError):
    """A field of the request is wrong; ``violations`` says which."""


class NotFound(ServiceError):
    """What the request names is not there."""


class AlreadyExists(ServiceError):
    """What the request wants to create is there already."""


class Aborted(ServiceError):
    """Somebody else was faster: an etag does not match, or a thread is busy."""


class FailedPrecondition(ServiceError):
    """The request does not fit the state of what it names."""


class PermissionDenied(ServiceError):
    """The caller may not do that."""


class Unauthenticated(ServiceError):
    """The service does not know the caller."""


class ResourceExhausted(ServiceError):
    """A limit of the service is reached, or a message is too large."""


class DeadlineExceeded(ServiceError):
    """The answer did not come in time."""


class Unavailable(ServiceError):
    """The service is away, starting or shutting down."""


BY_CODE: Mapping[str, type[ServiceError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "OUT_OF_RANGE": InvalidArgument,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "ABORTED": Aborted,
    "FAILED_PRECONDITION": FailedPrecondition,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": Unauthenticated,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAVAILABLE": Unavailable,
}


class RunError(WeftError):
    """A run did not come to an output."""

    def __init__(self, message: str, run: Run) -> None:
        # Not `super()`: a failure may have the type of what the run's code raised, too.
        Exception.__init__(self, message)
        self.run = run
        """The run, as it rests."""

    @property
    def reason(self) -> str:
        """Stable UPPER_SNAKE_CASE reason, e.g. ``TASK_TIMEOUT``."""
        return self.run.error.reason if self.run.error else ""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Details for programs."""
        return self.run.error.metadata if self.run.error else {}


class RunFailed(RunError):
    """The run ended with an error."""


class RunPaused(RunError):
    """The run cannot go on until someone acts; ``reason`` says why, e.g. ``NON_DETERMINISTIC``."""


class RunCancelled(RunError):
    """The run was stopped on request."""


class RunInterrupted(RunError):
    """The run waits for an answer; ``run.interrupts`` holds the questions."""


class EmptyInput(WeftError):
    """There is no input, and no unfinished run to go on with."""
