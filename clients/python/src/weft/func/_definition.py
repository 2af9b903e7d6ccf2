"""What `entrypoint` and `task` make of functions."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from weft._payload import dumps
from weft.func import _checks, _codec, _schema
from weft.func._injected import INJECTED, Function
from weft.func.failures import Failure
from weft.func.types import (
    CachePolicy,
    RetryPolicies,
    RetryPolicy,
    checked_cache_policy,
    checked_retry_policies,
    policy_for,
)
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from weft.func._execution import Execution
    from weft.func._scope import Scope


#: Longest key of a cached result.
MAX_CACHE_KEY_BYTES = 1024


class Code(Protocol):
    """What an execution executes."""

    is_async: bool
    store: Any
    retry_policy: RetryPolicies
    cache_policy: CachePolicy | None

    def bound(self, scope: Scope) -> Callable[[], Any]:
        """The function with what the run gives it."""

    def policy_for(self, error: BaseException) -> RetryPolicy | None:
        """The policy that decides about an error."""

    def context(self, value: Any) -> Any:
        """What a run was called with, as the code expects it."""


class TaskDefinition:
    """A function whose results are recorded."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        retry_policy: RetryPolicies,
        cache_policy: CachePolicy | None,
        timeout: float | timedelta | None,
        description: str | None = None,
        input_schema: Mapping[str, Any] | None = None,
    ) -> None:
        self._function = Function(function)
        self.name = _checks.name("name", _name(function) if name is None else name)
        self.is_async = self._function.is_async
        if description is not None:
            description = _checks.instance("description", description, str)
        self._description = description
        self._input_schema = _schema.checked("input_schema", input_schema)
        self._retry_policy = checked_retry_policies(retry_policy)
        self._cache_policy = checked_cache_policy(cache_policy)
        if timeout is not None:
            timeout = _checks.seconds("timeout", timeout, zero=False)
        self._timeout = timeout
        if self._timeout is not None and not self.is_async:
            raise ValueError(f"task `{self.name}`: `timeout` needs an asynchronous function")

    def bound(
        self, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[], Any]:
        """The function with its arguments."""

        def bound() -> Any:
            injected = self._function.injections(scope, args, kwargs)
            return self._function.call(*args, **kwargs, **injected)

        if self._timeout is None:
            return bound
        return functools.partial(_within, self._timeout, bound)

    def policy_for(self, error: BaseException, execution: Execution) -> RetryPolicy | None:
        """The policy that decides about an error."""
        return policy_for(error, self._retry_policy, execution.definition.retry_policy)

    def own_policy_for(self, error: BaseException) -> RetryPolicy | None:
        """The policy that decides about an error where no entrypoint of the worker calls."""
        return policy_for(error, self._retry_policy)

    def offered(self) -> pb.HostedTask:
        """What the service is told of it where a worker offers it."""
        description = self._description
        if description is None:
            description = inspect.getdoc(self._function.call) or ""
        schema = self._input_schema
        if schema is None:
            given = self._function.signature.parameters.values()
            wanted = [one for one in given if one.name not in self._function.injected]
            schema = _schema.of_parameters(self._function.call, wanted)
        task = pb.HostedTask(name=self.name, description=description)
        task.input_schema.json_text = dumps(schema)
        return task

    def offered_to(self, scope: Scope, text: str) -> Callable[[], Any]:
        """The function with the arguments that somebody else calls it with, by name."""

        def bound() -> Any:
            value = _codec.decode(text)
            args, kwargs = ((), value) if isinstance(value, dict) else ((value,), {})
            function = self._function.call
            kwargs = {
                name: _conformed(one, _type_of(function, name)) for name, one in kwargs.items()
            }
            return self.bound(scope, args, kwargs)()

        return bound

    def cache(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], execution: Execution
    ) -> pb.CachePolicy | None:
        """How the result of a call is shared, if it is."""
        policy = self._cache_policy or execution.definition.cache_policy
        if policy is None:
            return None
        if policy.key_func is None:
            key: Any = _codec.hashed(_codec.encode_arguments(args, kwargs))
        else:
            key = policy.key_func(*args, **kwargs)
        cache = pb.CachePolicy(key=self._cache_key(key))
        cache.ttl.FromTimedelta(policy.lifetime)
        return cache

    def _cache_key(self, key: Any) -> str:
        """A key as the service takes it."""
        if not isinstance(key, str | bytes):
            what = f"`key_func` of task `{self.name}` must return a string or bytes"
            raise TypeError(f"{what}, not a `{type(key).__name__}`")
        text = key.hex() if isinstance(key, bytes) else key
        raw = text.encode("utf-8", "surrogatepass")
        fits = 1 <= len(raw) <= MAX_CACHE_KEY_BYTES and raw.decode(errors="replace") == text
        return text if fits else hashlib.sha256(raw).hexdigest()


class EntrypointDefinition:
    """A function that runs execute."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        version: str,
        accepts: Sequence[str],
        store: Any,
        retry_policy: RetryPolicies,
        cache_policy: CachePolicy | None,
        context_schema: type | None = None,
        input_schema: Mapping[str, Any] | None = None,
        strict: bool = False,
    ) -> None:
        self._function = Function(function)
        self.name = _checks.name("name", _name(function) if name is None else name)
        self._strict = _checks.instance("strict", strict, bool)
        self.version = _checks.name("version", version)
        self._context_schema = context_schema
        if context_schema is not None:
            _codec.register_hint(context_schema)
        self._input_schema = _schema.checked("input_schema", input_schema)
        self.accepts = _checks.versions("accepts", accepts)
        self.is_async = self._function.is_async
        self.store = store
        self.retry_policy = checked_retry_policies(retry_policy)
        self.cache_policy = checked_cache_policy(cache_policy)
        self.description = (inspect.getdoc(function) or "").partition("\n\n")[0]
        parameters = list(self._function.signature.parameters.values())
        if not parameters or parameters[0].name in self._function.injected:
            raise ValueError(
                f"entrypoint `{self.name}` must have at least one parameter: its input"
            )
        for parameter in parameters[1:]:
            if parameter.name not in INJECTED and parameter.default is inspect.Parameter.empty:
                raise TypeError(
                    f"entrypoint `{self.name}` gets one input: nothing is known of its parameter "
                    f"`{parameter.name}`"
                )
        self._input_type = _type_of(function, parameters[0].name)

    def bound(self, scope: Scope) -> Callable[[], Any]:
        """The function with what the run gives it."""

        def bound() -> Any:
            value = _codec.decode(scope.execution.start.input.json_text)
            return self.call(scope, _conformed(value, self._input_type))

        return bound

    def call(self, scope: Scope, value: Any) -> Any:
        """Calls the function in a scope."""
        return self._function.call(value, **self._function.injections(scope, (value,), {}))

    def policy_for(self, error: BaseException) -> RetryPolicy | None:
        """The policy that decides about an error."""
        return policy_for(error, self.retry_policy)

    def context(self, value: Any) -> Any:
        """What a run was called with, as the code expects it."""
        return _conformed(value, self._context_schema)

    def hosted(self) -> pb.HostedEntrypoint:
        """What the service is told of it."""
        hosted = pb.HostedEntrypoint(
            name=self.name,
            version=self.version,
            accepts=self.accepts,
            description=self.description,
            strict=self._strict,
        )
        if self._input_schema is not None:
            hosted.input_schema.json_text = dumps(self._input_schema)
        policy = self.cache_policy
        # The service makes the key; where the program does, it is that of a task.
        if policy is not None and policy.key_func is None:
            hosted.output_ttl.FromTimedelta(policy.lifetime)
        return hosted


async def _within(seconds: float, function: Callable[[], Any]) -> Any:
    try:
        return await asyncio.wait_for(function(), seconds)
    except asyncio.TimeoutError:
        what = f"an attempt took longer than {seconds} s"
        raise Failure("TASK_TIMEOUT", what, retryable=True) from None


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise ValueError("a function without a name needs `name=`")
    return name


def _type_of(function: Callable[..., Any], parameter: str) -> Any:
    try:
        return typing.get_type_hints(function).get(parameter)
    except (NameError, TypeError, AttributeError):
        return None


def _conformed(value: Any, kind: Any) -> Any:
    """An object that other languages sent, as the dataclass or model that the function expects."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and not isinstance(value, kind):
        return kind(value)
    if isinstance(value, dict) and isinstance(kind, type):
        if dataclasses.is_dataclass(kind):
            return kind(**value)
        if hasattr(kind, "model_validate"):
            return kind.model_validate(value)
    return value
