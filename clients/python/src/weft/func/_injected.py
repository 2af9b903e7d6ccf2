"""What functions of programs are given beside their arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weft.func import _calls, _codec
from weft.func.types import Runtime

if TYPE_CHECKING:
    from weft.func._scope import Scope

#: Parameters that are given what they are named after, unless the caller gives them.
INJECTED = ("config", "previous", "runtime", "store", "writer")

#: Where a run's config has what it was called with beside its settings.
CARRIED = {"context": "__context__", "metadata": "__metadata__", "tags": "__tags__"}


class Function:
    """A function with the parameters that it wants injected."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise NotImplementedError(
                f"`{name}` is a generator, which cannot be an entrypoint or a task: return a list, "
                "and stream what it is made of with `get_stream_writer`"
            )
        self.call = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature = inspect.signature(function)
        parameters = self.signature.parameters.values()
        positional_only = inspect.Parameter.POSITIONAL_ONLY
        self.injected = tuple(
            one.name for one in parameters if one.name in INJECTED and one.kind != positional_only
        )
        _codec.register_annotations(function)

    def injections(
        self, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """What is injected beside these arguments."""
        if not self.injected:
            return {}
        given = self.signature.bind_partial(*args, **kwargs).arguments
        wanted = [name for name in self.injected if name not in given]
        return {name: _injection(name, scope) for name in wanted}


def runtime(scope: Scope) -> Runtime[Any]:
    """Where the code of a scope runs."""
    start, definition = scope.execution.start, scope.execution.definition
    return Runtime(
        run_id=start.run_id,
        thread_id=start.thread_id,
        task_id=scope.call_id,
        _attempt=scope.attempt,
        previous=_injection("previous", scope),
        store=definition.store,
        stream_writer=_injection("writer", scope),
        context=definition.context(_settings(scope).get(CARRIED["context"])),
    )


def config(scope: Scope) -> dict[str, Any]:
    """The settings of the run, as programs of LangGraph know them."""
    given, start = _settings(scope), scope.execution.start
    carried = {name: given.pop(key, None) for name, key in CARRIED.items()}
    told: dict[str, Any] = {
        "configurable": {**given, "thread_id": start.thread_id},
        "metadata": {**(carried["metadata"] or {}), "run_id": start.run_id},
    }
    return told if carried["tags"] is None else {**told, "tags": carried["tags"]}


def _settings(scope: Scope) -> dict[str, Any]:
    settings: dict[str, Any] = _codec.decode(scope.execution.start.config.json_text or "{}")
    return settings


def _injection(name: str, scope: Scope) -> Any:
    start = scope.execution.start
    match name:
        case "previous":
            # What a nested entrypoint's own thread would have saved; it has none.
            has_previous = start.HasField("previous") and not scope.call_id
            return _codec.decode(start.previous.json_text) if has_previous else None
        case "config":
            return config(scope)
        case "store":
            return scope.execution.definition.store
        case "writer":
            return functools.partial(_calls.write, scope)
        case _:
            return runtime(scope)
