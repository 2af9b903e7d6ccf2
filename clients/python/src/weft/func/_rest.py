"""Tells when an event loop has nothing left to do but wait."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

#: Passes of a loop that does not show what is ready. Enough for the callbacks that joins, races and
#: timeouts put between a result and the code that waits for it.
BLIND_PASSES = 16


class RestWatch:
    """Calls back once a loop has done all that is ready.

    An outcome is given to code only then, so that code which races outcomes does the same in every
    replay: it has come to rest after the outcome before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: list[Callable[[], None]] = []
        self._blind_passes = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> RestWatch:
        """The watch of a loop: all executions in it share one."""
        watch = _watches.get(loop)
        if watch is None:
            watch = _watches[loop] = cls(loop)
        return watch

    def when_at_rest(self, callback: Callable[[], None]) -> None:
        """Calls back in the loop. To be called in the loop."""
        if not self._callbacks:
            self._blind_passes = 0
            self._loop.call_soon(self._probe)
        self._callbacks.append(callback)

    def _probe(self) -> None:
        # asyncio's own loops keep what is ready here; others, such as uvloop, do not show it.
        ready = getattr(self._loop, "_ready", None)
        self._blind_passes += 1
        if ready or (ready is None and self._blind_passes < BLIND_PASSES):
            self._loop.call_soon(self._probe)
            return
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, RestWatch] = (
    weakref.WeakKeyDictionary()
)
