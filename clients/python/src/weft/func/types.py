"""What programs say and are told: policies, commands, questions, states."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from weft.client.values import Interrupt
from weft.func import _checks
from weft.workflow.v1 import worker_pb2 as pb

logger = logging.getLogger(__name__)

C = TypeVar("C")
V = TypeVar("V")
S = TypeVar("S")

#: How long "for ever" is, for the service's cache.
FOR_EVER = timedelta(days=36_500)

#: What writes to a run's custom stream.
StreamWriter = Callable[[Any], None]


def default_retry_on(error: BaseException) -> bool:
    """Whether another attempt may mend an error: not one of the program itself."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    program = (
        ValueError,
        TypeError,
        ArithmeticError,
        ImportError,
        LookupError,
        NameError,
        SyntaxError,
        RuntimeError,
        ReferenceError,
        StopIteration,
        StopAsyncIteration,
        OSError,
    )
    return not isinstance(error, program)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a failed task is tried again. The service applies it.

    Up to half of each delay is left off at random, whatever ``jitter`` says.
    """

    initial_interval: float | timedelta = 0.5
    """Seconds before the second attempt, or a timedelta."""
    backoff_factor: float = 2.0
    """What the delay is multiplied with for each further attempt."""
    max_interval: float | timedelta = 128.0
    """Longest delay, in seconds or as a timedelta."""
    max_attempts: int = 3
    """Attempts in all, the first one included."""
    jitter: bool = True
    """Taken for programs of LangGraph."""
    retry_on: (
        type[BaseException] | Sequence[type[BaseException]] | Callable[[BaseException], bool]
    ) = default_retry_on
    """Which errors another attempt may mend."""

    def __post_init__(self) -> None:
        """Refuses what the service would refuse, or could not do."""
        _checks.seconds("initial_interval", self.initial_interval, zero=True)
        _checks.factor("backoff_factor", self.backoff_factor)
        _checks.seconds("max_interval", self.max_interval, zero=True)
        _checks.count("max_attempts", self.max_attempts, least=1)
        _checks.instance("jitter", self.jitter, bool)
        kinds = self.retry_on if isinstance(self.retry_on, Sequence) else (self.retry_on,)
        is_callable = callable(self.retry_on) and not isinstance(self.retry_on, type)
        if not (is_callable or (kinds and all(_is_error(kind) for kind in kinds))):
            what = "must be a type of exceptions, a sequence of them, or a function of an exception"
            raise TypeError(f"`retry_on` {what}, not `{self.retry_on!r}`")

    def message(self) -> pb.RetryPolicy:
        """The policy as the service is told it."""
        policy = pb.RetryPolicy(max_attempts=self.max_attempts, factor=self.backoff_factor)
        policy.initial_delay.FromTimedelta(_span(self.initial_interval))
        policy.max_delay.FromTimedelta(_span(self.max_interval))
        return policy

    def applies_to(self, error: BaseException) -> bool:
        """Whether another attempt may mend this error."""
        try:
            if isinstance(self.retry_on, type):
                return isinstance(error, self.retry_on)
            if isinstance(self.retry_on, Sequence):
                return isinstance(error, tuple(self.retry_on))
            return bool(self.retry_on(error))
        except Exception:
            # What cannot tell asks for no other attempt: the error itself is what its caller gets.
            logger.exception("`retry_on` of a policy cannot tell whether to try again")
            return False


@dataclass(frozen=True)
class CachePolicy:
    """Shares a result with other calls of its task, also those of other runs.

    That of an entrypoint holds for its tasks, and, without a ``key_func``, for what it returns.
    """

    key_func: Callable[..., str | bytes] | None = None
    """Key of the result, made of the arguments; ``None`` for all of them."""
    ttl: float | timedelta | None = None
    """Seconds that the result is kept, or a timedelta; ``None`` for ever."""

    def __post_init__(self) -> None:
        """Refuses what the service would refuse, or could not do."""
        if self.key_func is not None and not callable(self.key_func):
            raise TypeError(
                f"`key_func` must be a function of the arguments, not {self.key_func!r}"
            )
        if self.ttl is not None:
            _checks.seconds("ttl", self.ttl, zero=False)

    @property
    def lifetime(self) -> timedelta:
        """How long the result is kept."""
        return FOR_EVER if self.ttl is None else _span(self.ttl)


#: The first one that applies to an error decides.
RetryPolicies = RetryPolicy | Sequence[RetryPolicy] | None


def policy_for(error: BaseException, *policies: RetryPolicies) -> RetryPolicy | None:
    """The policy that decides about an error: of the first of ``policies`` that is set."""
    for given in policies:
        if given:
            listed = [given] if isinstance(given, RetryPolicy) else given
            return next((one for one in listed if one.applies_to(error)), listed[0])
    return None


def checked_retry_policies(given: Any) -> RetryPolicies:
    """What is given as ``retry_policy=``."""
    if given is None or isinstance(given, RetryPolicy):
        return given
    # LangGraph's own policy is a tuple.
    if type(given) in (list, tuple) and all(isinstance(one, RetryPolicy) for one in given):
        return tuple(given)
    what = "must be a `weft.func.RetryPolicy`, or a sequence of them"
    raise TypeError(
        f"`retry_policy` {what}, not a `{type(given).__module__}.{type(given).__name__}`"
    )


def checked_cache_policy(given: Any) -> CachePolicy | None:
    """What is given as ``cache_policy=``."""
    if given is None or isinstance(given, CachePolicy):
        return given
    what = "must be a `weft.func.CachePolicy`"
    raise TypeError(
        f"`cache_policy` {what}, not a `{type(given).__module__}.{type(given).__name__}`"
    )


def _span(seconds: float | timedelta) -> timedelta:
    return seconds if isinstance(seconds, timedelta) else timedelta(seconds=float(seconds))


def _is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


@dataclass(frozen=True)
class Command:
    """Goes on with the thread's run, given in place of an input.

    One that failed or is paused is tried again. If the last one succeeded, there is nothing to
    answer, and its output is returned.
    """

    resume: Any = None
    """The answer to the only open question, or answers by the ids of their interrupts.

    A dict with a key that is no open question's id is one answer as a whole: where somebody else
    may have answered meanwhile, ``client.runs.resume(…, answers=…)`` is refused instead.
    """


@dataclass(frozen=True)
class Final(Generic[V, S]):
    """What an entrypoint returns when caller and next run are to get different values."""

    value: V
    """For the caller."""
    save: S
    """For the next run of the thread, as its ``previous``."""


@dataclass(frozen=True)
class Runtime(Generic[C]):
    """Where code runs."""

    run_id: str
    """The run."""
    thread_id: str
    """Thread of the run."""
    task_id: str
    """Call that runs, the same in every replay; empty in the entrypoint itself."""
    _attempt: int
    previous: Any
    """What the thread's last run saved."""
    store: Any
    """The entrypoint's store."""
    stream_writer: StreamWriter
    """Writes to the run's custom stream."""
    context: C
    """What the run was called with as ``context=``."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt of a task since the run was last handed to a worker.

        An entrypoint has no such number: its code is executed again after answers, retries and
        crashes alike, and has to do the same each time. There it raises a ``RuntimeError``.
        """
        if not self.task_id:
            raise RuntimeError(
                "an entrypoint has no attempt number: a retry replays it, and it must do what it "
                "did before; what is to differ from attempt to attempt belongs into a task"
            )
        return self._attempt

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt of a call, and never that of another call.

        Pass it on to make an effect happen once.
        """
        return f"{self.run_id}/{self.task_id}"


@dataclass(frozen=True)
class StateTask:
    """An unfinished task of a state."""

    id: str
    """Call of the task."""
    name: str
    """Its name."""
    interrupts: tuple[Interrupt, ...] = ()
    """What it asks."""
    error: str | None = None
    """Why it failed."""


@dataclass(frozen=True)
class StateSnapshot:
    """The state of a thread, now or at a checkpoint."""

    values: Any
    """What the entrypoint returned; ``{}`` for a thread that is not there."""
    next: tuple[str, ...]
    """The entrypoint, if a run of it is unfinished."""
    config: Mapping[str, Any]
    """What leads back to this state."""
    metadata: Mapping[str, Any] | None
    """Who wrote it, and of which run."""
    created_at: str | None
    """When it was written, RFC 3339."""
    parent_config: Mapping[str, Any] | None
    """What leads to the state before."""
    tasks: tuple[StateTask, ...] = ()
    """What is unfinished."""
    interrupts: tuple[Interrupt, ...] = ()
    """Questions that wait for answers."""
    saved: Any = field(default=None)
    """What the next run will be given as ``previous``."""
