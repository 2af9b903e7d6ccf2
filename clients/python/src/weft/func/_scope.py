"""Where calls are made from: the entrypoint's code, or an attempt of a task."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from weft.func.failures import Failure

if TYPE_CHECKING:
    from weft.func._execution import Execution
    from weft.func._future import TaskFuture


class Awaited(Protocol):
    """What blocking code waits for."""

    def done(self) -> bool:
        """Whether there is nothing to wait for any more."""


class Scope:
    """Code of one execution that counts its own calls.

    Blocking code has a thread of its own. Asynchronous code runs in the execution's loop.
    """

    def __init__(
        self, execution: Execution, call_id: str, task: str, attempt: int, *, in_thread: bool
    ) -> None:
        self.execution = execution
        self.call_id = call_id
        """The call that runs here; empty for the entrypoint."""
        self.task = task
        """Name of the task; empty for the entrypoint."""
        self.attempt = attempt
        """1 for the first attempt."""
        self.in_thread = in_thread
        """Whether this is blocking code."""
        self.thread: threading.Thread | None = None
        """The thread that it runs in."""
        self.is_busy = False
        """Whether blocking code may still do something with what it was given last."""
        self.waits = 0
        """Results that the code waits for."""
        self.is_asking = False
        """Whether it cannot go on before its question is answered."""
        self.to_await: dict[TaskFuture[Any], str] = {}
        """What asynchronous code has asked for and must not forget to await, by its calls."""
        self._blocked_on: Awaited | None = None
        self._next_order = 0
        self._keys: set[str] = set()
        self._next_value = 0

    @property
    def is_idle(self) -> bool:
        """Whether the code can do nothing before something that it waits for happens."""
        return self.is_asking or self.waits > 0

    def next_call_id(self, key: str | None = None) -> str:
        """Id of the next call that is made from here; one with a key takes no number."""
        if not self.execution.makes_calls:
            raise RuntimeError(
                f"task `{self.task}` makes no calls here: a worker offers it on its own, and only "
                "calls of entrypoints, and of tasks that they call themselves, are recorded"
            )
        if threading.current_thread() is not self.thread:
            raise RuntimeError(
                "a call from a thread that the code started itself: which call is which cannot be "
                "told in a replay; make a task of what is to run in a thread"
            )
        place = str(self._next_order) if key is None else self._keyed(key)
        self._next_order += key is None
        return f"{self.call_id}/{place}" if self.call_id else place

    def _keyed(self, key: str) -> str:
        if key in self._keys:
            what = f"the key `{key}` stands for another call already; a key names one call"
            raise Failure("DUPLICATE_KEY", what)
        self._keys.add(key)
        return ":" + key.replace("%", "%25").replace("/", "%2F")

    def next_value(self) -> str:
        """Name of the next value that is derived here, unique in the run."""
        order, self._next_value = self._next_value, self._next_value + 1
        return f"{self.call_id}#{order}"

    def refuse_forgotten(self) -> None:
        """Refuses to end code that has not waited for what it meant to wait for."""
        for call in self.to_await.values():
            raise RuntimeError(f"`{call}` was not awaited: in asynchronous code, `await` it")

    @contextlib.contextmanager
    def blocked(self, future: Awaited) -> Iterator[None]:
        """While blocking code waits for a result, or for one of several."""
        if not self.in_thread:
            raise RuntimeError("`.result()` would block the event loop: `await` the call instead")
        self.execution.in_loop(self._block, future)
        try:
            yield
        finally:
            # Also when waiting has taken too long.
            self.execution.in_loop(self.resume, future)

    def _block(self, future: Awaited) -> None:
        if future.done():
            self.is_busy = True
            return
        self._blocked_on = future
        self.waits += 1
        self.is_busy = False
        self.execution.look_again()

    def resume(self, future: Awaited) -> None:
        """Blocking code that waits for a result is about to get it. In the loop."""
        if self._blocked_on is future:
            self._blocked_on = None
            self.waits -= 1
            self.is_busy = True

    @contextlib.contextmanager
    def awaiting(self) -> Iterator[None]:
        """While asynchronous code awaits a result."""
        self.waits += 1
        self.execution.look_again()
        try:
            yield
        finally:
            self.waits -= 1
