"""The result of a call, for blocking and for asynchronous code."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from weft.func._scope import Scope

R = TypeVar("R")

#: Where the code that runs makes its calls from.
current_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar(
    "weft_scope", default=None
)


class _Waiters(list[Any]):
    """Those who wait for a future, not by itself: code rests while they wait."""

    def append(self, waiter: Any) -> None:
        scope = current_scope.get()
        if scope is not None and not isinstance(waiter.event, _Event):
            waiter.event = _Event(scope)
        super().append(waiter)


class _Event(threading.Event):
    """An event that the code of a scope waits for."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self._scope = scope

    def done(self) -> bool:
        return self.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if self.is_set():
            return True
        with self._scope.blocked(self):
            return super().wait(timeout)

    def set(self) -> None:
        self._scope.resume(self)
        super().set()


class TaskFuture(concurrent.futures.Future[R]):
    """A result that is recorded before it is seen: ``.result()`` or ``await``.

    Of several futures, those that code waits for are seen in the same order in every replay: with
    ``.result()`` and ``await``, and in ``gather``, ``wait`` and ``as_completed``, those of
    `asyncio` as those of `concurrent.futures`. What ``wait`` returns are sets: they have no order.
    """

    def __init__(self) -> None:
        super().__init__()
        # What `wait` and `as_completed` of `concurrent.futures` are told by.
        self._waiters: list[Any] = _Waiters()

    def result(self, timeout: float | None = None) -> R:
        """Waits for the result."""
        scope = current_scope.get()
        if scope is None or self.done():
            return super().result(timeout)
        with scope.blocked(self):
            return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end of the call; why it failed, if it did."""
        scope = current_scope.get()
        if scope is None or self.done():
            return super().exception(timeout)
        with scope.blocked(self):
            return super().exception(timeout)

    def __await__(self) -> Generator[Any, None, R]:
        scope = current_scope.get()
        if scope is not None:
            scope.to_await.pop(self, None)
        if not self.done():
            # Cancelling who awaits does not cancel the call: it is recorded all the same.
            waiter = asyncio.shield(asyncio.wrap_future(self))
            if scope is None:
                yield from waiter.__await__()
            else:
                with scope.awaiting():
                    yield from waiter.__await__()
        return super().result()
