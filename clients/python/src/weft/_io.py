"""The one thread in which this process talks to services.

gRPC's connections belong to an event loop. They all live in the loop of this thread, so that
clients work from any loop and from none, and so that code which blocks its own loop does not keep a
worker from answering heartbeats.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Concatenate, TypeVar

from typing_extensions import ParamSpec

P = ParamSpec("P")
R = TypeVar("R")
Self = TypeVar("Self")


class _IoThread:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="weft-io", daemon=True)
        self.thread.start()


_lock = threading.Lock()
_io: _IoThread | None = None


def loop() -> asyncio.AbstractEventLoop:
    """The loop of the thread, which is started on first use."""
    global _io  # noqa: PLW0603
    with _lock:
        if _io is None:
            _io = _IoThread()
        return _io.loop


def _forget() -> None:
    global _io, _lock
    _io, _lock = None, threading.Lock()


# The thread does not exist in a forked child.
os.register_at_fork(after_in_child=_forget)


def is_current() -> bool:
    """Whether the caller is in the thread."""
    return _io is not None and threading.current_thread() is _io.thread


def wait(coroutine: Coroutine[Any, Any, R]) -> R:
    """Runs a coroutine in the thread and waits for it."""
    if is_current():
        coroutine.close()
        raise RuntimeError("a blocking call from the thread that would have to answer it")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop())
    try:
        return future.result()
    except BaseException:
        # Also Ctrl-C: what nobody waits for any more is not to go on.
        future.cancel()
        raise


async def call(coroutine: Coroutine[Any, Any, R]) -> R:
    """Runs a coroutine in the thread and awaits it; cancelling the caller cancels it."""
    if is_current():
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop()))


class Calls:
    """Calls functions in the loop of another thread, in order. The loop is woken once for all calls
    that wait for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_woken = False

    def make(self, function: Callable[..., None], *args: Any) -> None:
        """Calls a function soon. Raises a `RuntimeError` if the loop is closed."""
        self._waiting.append(functools.partial(function, *args))
        # Set back before what waits is looked at: nothing waits for a loop that is not woken.
        if not self._is_woken or self._loop.is_closed():
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._catch_up)

    def _catch_up(self) -> None:
        self._is_woken = False
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            # One of them failed.
            if self._waiting:
                self._loop.call_soon(self._catch_up)


def in_io(
    method: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Runs a coroutine function in the thread, whatever loop it is awaited in."""

    @functools.wraps(method)
    async def called(*args: P.args, **kwargs: P.kwargs) -> R:
        return await call(method(*args, **kwargs))

    return called


def iterated_in_io(method: Callable[P, AsyncIterator[R]]) -> Callable[P, AsyncIterator[R]]:
    """Runs an asynchronous generator function in the thread, whatever loop it is iterated in."""

    @functools.wraps(method)
    async def iterated(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        items = method(*args, **kwargs)
        try:
            while True:
                try:
                    yield await call(_next(items))
                except _End:
                    return
        finally:
            await call(_close(items))

    return iterated


def blocking(
    method: Callable[Concatenate[Any, P], Awaitable[R]],
) -> Callable[Concatenate[Any, P], R]:
    """The blocking twin of a method: of an object whose ``_async`` has that method."""

    @functools.wraps(method)
    def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return wait(_awaited(method(self._async, *args, **kwargs)))

    return called


def iterating(
    method: Callable[Concatenate[Any, P], AsyncIterator[R]],
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    """The blocking twin of a method that is an asynchronous generator."""

    @functools.wraps(method)
    def iterated(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        items = method(self._async, *args, **kwargs)
        try:
            while True:
                try:
                    yield wait(_next(items))
                except _End:
                    return
        finally:
            wait(_close(items))

    return iterated


class _End(Exception):
    """An iteration is over; a future cannot hold ``StopAsyncIteration``."""


async def _next(items: AsyncIterator[R]) -> R:
    try:
        return await items.__anext__()
    except StopAsyncIteration:
        raise _End from None


async def _close(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()


async def _awaited(awaitable: Awaitable[R]) -> R:
    return await awaitable
