"""The functional API: durable entrypoints made of tasks, in the shapes of LangGraph's.

A program moves over by importing ``entrypoint`` and ``task`` from here. Its runs are executed by
this process, or by any `Worker` that hosts the entrypoint, and recorded by workflow-service: after
a crash the entrypoint is executed again from its start, and recorded tasks return what they
returned before, without running.
"""

from typing import Any, TypeVar

from weft.client.values import Interrupt
from weft.func import _calls, _injected, _repeatable
from weft.func._codec import serializable
from weft.func._future import TaskFuture
from weft.func._streams import MessageChunk
from weft.func.decorators import Task, entrypoint, task
from weft.func.failures import Cancelled, Failure, NotSerializable, TaskFailed
from weft.func.messages import add_messages, ask_model
from weft.func.program import Program
from weft.func.types import (
    CachePolicy,
    Command,
    RetryPolicy,
    Runtime,
    StateSnapshot,
    StreamWriter,
    default_retry_on,
)
from weft.func.worker import Worker

C = TypeVar("C")

interrupt = _calls.interrupt
now = _repeatable.now
random = _repeatable.derived_random
sleep = _repeatable.sleep
target = _calls.target
uuid = _repeatable.derived_uuid


def get_runtime(context_schema: type[C] | None = None) -> Runtime[C]:
    """Where the code that runs runs, with the idempotency key of its call.

    ``context_schema`` says for type checkers what its ``context`` is.
    """
    del context_schema
    return _injected.runtime(_calls.scope_of("`get_runtime`"))


def get_config() -> dict[str, Any]:
    """The settings of the run that runs."""
    return _injected.config(_calls.scope_of("`get_config`"))


def get_stream_writer() -> StreamWriter:
    """What writes to the custom stream of the run that runs."""
    return _injected.runtime(_calls.scope_of("`get_stream_writer`")).stream_writer


def get_store() -> Any:
    """The store of the entrypoint that runs."""
    return _injected.runtime(_calls.scope_of("`get_store`")).store


__all__ = [
    "CachePolicy",
    "Cancelled",
    "Command",
    "Failure",
    "Interrupt",
    "MessageChunk",
    "NotSerializable",
    "Program",
    "RetryPolicy",
    "Runtime",
    "StateSnapshot",
    "StreamWriter",
    "Task",
    "TaskFailed",
    "TaskFuture",
    "Worker",
    "add_messages",
    "ask_model",
    "default_retry_on",
    "entrypoint",
    "get_config",
    "get_runtime",
    "get_store",
    "get_stream_writer",
    "interrupt",
    "now",
    "random",
    "serializable",
    "sleep",
    "target",
    "task",
    "uuid",
]
