"""Implicit hosting: a script or a notebook executes the runs that it starts.

The first call of an entrypoint that no `Worker` of this process hosts starts a worker for it:
asynchronous calls in their own event loop, blocking ones in a loop in the background.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING

from weft import _io
from weft._channel import DEFAULT_TIMEOUT
from weft.func.worker import Worker

if TYPE_CHECKING:
    from weft.func.program import Program


class _ImplicitWorker(Worker):
    _on_purpose = False


_background: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()
_workers: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[tuple[str, str], tuple[Program, asyncio.Task[Worker]]]
] = weakref.WeakKeyDictionary()
_keepers: set[asyncio.Task[None]] = set()


def is_wanted(program: Program) -> bool:
    """Whether calls of an entrypoint are to host it."""
    off = os.environ.get("WEFT_IMPLICIT_HOSTING", "").lower() in ("0", "off", "false", "no")
    return not program.hosts and not off


def refuse_to_block(program: Program, call: str) -> None:
    """Refuses a blocking call from a loop that executes the program's runs: it would never end.

    What the loop hosts only because it called the program before is let go of instead.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if loop in program.hosts:
        raise RuntimeError(
            f"`{program.name}.{call}` would block the event loop that a `Worker` executes its runs "
            f"in: await `a{call}`"
        )
    hosted = _workers.get(loop, {})
    known, starting = hosted.pop(
        (program.definition.name, program.definition.version), (None, None)
    )
    if known is not None and starting is not None and starting.done():
        with contextlib.suppress(Exception):
            starting.result().leave_at_once()


async def host(program: Program, workflow: str | None) -> None:
    """Hosts an entrypoint in the running loop, unless it is hosted there."""
    loop = asyncio.get_running_loop()
    hosted = _workers.setdefault(loop, {})
    key = (program.definition.name, program.definition.version)
    known, starting = hosted.get(key, (None, None))
    if starting is None or known is not program:
        # A definition that replaces another one, as in a notebook's cell that is run again.
        former = starting
        starting = loop.create_task(_started(program, workflow, former))
        hosted[key] = (program, starting)
    try:
        await asyncio.shield(starting)
    except BaseException:
        if hosted.get(key) == (program, starting) and starting.done():
            del hosted[key]
        raise


async def _started(
    program: Program, workflow: str | None, former: asyncio.Task[Worker] | None
) -> Worker:
    if former is not None:
        with contextlib.suppress(Exception):
            await (await former).stop()
    worker = _ImplicitWorker(program, workflow=workflow, drain_timeout=1.0)
    await worker.start(timeout=DEFAULT_TIMEOUT)
    keeper = asyncio.get_running_loop().create_task(_kept(worker, program))
    _keepers.add(keeper)
    keeper.add_done_callback(_keepers.discard)
    return worker


async def _kept(worker: Worker, program: Program) -> None:
    """Ends the worker with its loop, which cancels this."""
    try:
        await worker.wait()
    finally:
        _forget_ended(worker, program)
        await worker.leave()


def _forget_ended(worker: Worker, program: Program) -> None:
    """Lets the next call of a program that nobody hosts any more start another worker."""
    hosted = _workers.get(asyncio.get_running_loop(), {})
    key = (program.definition.name, program.definition.version)
    known, starting = hosted.get(key, (None, None))
    if known is program and starting is not None and starting.done():
        with contextlib.suppress(Exception):
            if starting.result() is worker:
                del hosted[key]


def host_in_background(program: Program, workflow: str | None) -> None:
    """Hosts an entrypoint in a loop of its own, for blocking callers."""
    global _background  # noqa: PLW0603
    with _lock:
        if _background is None or _background.is_closed():
            _background = asyncio.new_event_loop()
            thread = threading.Thread(target=_background.run_forever, name="weft-code", daemon=True)
            thread.start()
            atexit.register(leave_background)
    asyncio.run_coroutine_threadsafe(host(program, workflow), _background).result()


def leave_background() -> None:
    """Ends what blocking callers host: what is unfinished need not wait for a lost worker."""
    loop = _background
    if loop is None or _io.is_current():
        return

    async def leave() -> None:
        keepers = list(_keepers)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        _workers.pop(asyncio.get_running_loop(), None)

    with contextlib.suppress(Exception):
        asyncio.run_coroutine_threadsafe(leave(), loop).result(timeout=2.0)


def _forget() -> None:
    global _background, _lock
    _background, _lock = None, threading.Lock()
    _workers.clear()
    _keepers.clear()


os.register_at_fork(after_in_child=_forget)
