"""`entrypoint` and `task`: what makes durable programs of functions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from weft.func import _checks
from weft.func._calls import TaskCall, scope_of
from weft.func._definition import EntrypointDefinition, TaskDefinition
from weft.func._future import TaskFuture
from weft.func.program import Program
from weft.func.types import CachePolicy, Final, RetryPolicies

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")
S = TypeVar("S")


class Task(Generic[P, R]):
    """A function whose results are recorded. Calling it gives a future of its result."""

    def __init__(self, definition: TaskDefinition, key: str | None = None) -> None:
        self.definition = definition
        """What is called."""
        self.name = definition.name
        """The name that is recorded with each call."""
        self._key = key

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]:
        """Calls it: at once, once for this place in the run, whatever happens to the run."""
        scope = scope_of(f"task `{self.name}` was called")
        return TaskCall(scope, self.definition, args, kwargs, self._key).future

    def with_key(self, key: str) -> Task[P, R]:
        """The task for a call that is known by a key, not by its place.

        ``lookup.with_key("7")(7)`` may change places with other calls that are made together with
        it, and get others before it, without a new version of the entrypoint. A key names one call
        of those that the entrypoint, or a task, makes itself: a second one fails with
        ``DUPLICATE_KEY``.

        Args:
            key: Of 1 to 256 bytes, the same in every replay.
        """
        return Task(self.definition, _checks.name("key", key))


class TaskDecorator(Protocol):
    """What makes tasks of functions."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    retry_policy: RetryPolicies = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
) -> TaskDecorator: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicies = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
) -> Any:
    """Makes a task of a function.

    Args:
        function: The function, blocking or asynchronous.
        name: Recorded with each call; the function's name if left out. Renaming a task makes
            unfinished runs that called it mismatch.
        retry_policy: When it is tried again; the entrypoint's policy if left out.
        cache_policy: With whom its results are shared; the entrypoint's policy if left out.
        timeout: Longest time of an attempt, in seconds; of asynchronous functions only.
        description: What it does, where a `Worker` offers it; the function's docstring if left out.
        input_schema: JSON Schema of the object of its arguments, where a `Worker` offers it; made
            from the annotations if left out.
    """

    def decorate(function: Callable[..., Any]) -> Task[..., Any]:
        return Task(
            TaskDefinition(
                function,
                name=name,
                retry_policy=retry_policy,
                cache_policy=cache_policy,
                timeout=timeout,
                description=description,
                input_schema=input_schema,
            )
        )

    return decorate if function is None else decorate(function)


class entrypoint:  # noqa: N801
    """Makes an entrypoint of a function of one input.

    The function is given what it has parameters for: ``previous``, ``config``, ``store``,
    ``writer``, ``runtime``. It must do the same whenever it is executed: what comes from outside
    belongs into tasks.
    """

    class final(Final[V, S]):  # noqa: N801
        """Returned to give caller and next run different values: ``final(value=…, save=…)``.

        As an annotation: ``-> entrypoint.final[int, str]``.
        """

    def __init__(
        self,
        checkpointer: Any = None,
        store: Any = None,
        cache: Any = None,
        context_schema: type | None = None,
        *,
        name: str | None = None,
        version: str = "1",
        accepts: Sequence[str] = (),
        retry_policy: RetryPolicies = None,
        cache_policy: CachePolicy | None = None,
        timeout: float | timedelta | None = None,
        input_schema: Mapping[str, Any] | None = None,
        strict: bool = False,
        workflow: str | None = None,
    ) -> None:
        """Says how it is run.

        Args:
            checkpointer: Taken for programs of LangGraph: the service keeps threads.
            store: What is injected as ``store``, such as `weft.store.WeftStore`.
            cache: Taken for programs of LangGraph: the service keeps cached results.
            context_schema: The type of what runs are called with as ``context=``.
            name: The name that runs are started by; the function's name if left out.
            version: Runs stay with the version they started with.
            accepts: Older versions whose runs this code can replay too.
            retry_policy: When the entrypoint, and tasks without a policy, are tried again.
            cache_policy: With whom its output, and results of tasks without a policy, are shared.
            timeout: Longest time that a run executes, rests excluded.
            input_schema: JSON Schema of the input; the service refuses runs that do not fit.
            strict: Whether a recorded call that is made again with another argument pauses its
                run; else its recorded result stands, and a warning is streamed.
            workflow: Address of workflow-service; else ``WEFT_WORKFLOW_URL`` or the local default.
        """
        del checkpointer, cache
        self._store = store
        self._name = name
        self._version = version
        self._accepts = accepts
        self._retry_policy = retry_policy
        self._cache_policy = cache_policy
        if timeout is not None:
            seconds = _checks.seconds("timeout", timeout, zero=False)
            timeout = timedelta(seconds=seconds)
        self._timeout = timeout
        self._context_schema, self._input_schema = context_schema, input_schema
        self._strict = strict
        self._workflow = workflow

    def __call__(self, function: Callable[..., Any]) -> Program:
        """Makes an entrypoint of ``function``."""
        definition = EntrypointDefinition(
            function,
            name=self._name,
            version=self._version,
            accepts=self._accepts,
            store=self._store,
            retry_policy=self._retry_policy,
            cache_policy=self._cache_policy,
            context_schema=self._context_schema,
            input_schema=self._input_schema,
            strict=self._strict,
        )
        return Program(definition, self._workflow, self._timeout)
