"""Runs the code of an execution, in its event loop and in threads, and what it leads to.

Whatever the worker itself does about an execution happens in the loop, under a guard: if that
fails, so does the execution, since nothing else would end it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from weft.func import _langchain, _outcomes
from weft.func._future import current_scope
from weft.func._scope import Scope
from weft.func.failures import ExecutionEnded

logger = logging.getLogger("weft.worker")

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound="Runner")


def guarded(
    method: Callable[Concatenate[E, P], None],
) -> Callable[Concatenate[E, P], None]:
    """A method whose own failure ends the execution: nothing else would."""

    @functools.wraps(method)
    def called(execution: E, /, *args: P.args, **kwargs: P.kwargs) -> None:
        execution.guard(method, execution, *args, **kwargs)

    return called


class Runner:
    """What an execution runs its code with."""

    #: Whether there is a journal that calls are recorded in.
    makes_calls = True

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self.loop = loop
        self.has_ended = False
        """Whether nothing that the code does counts any longer."""
        self._scopes: dict[Scope, asyncio.Task[Any] | None] = {}
        """Where code runs; its task, if it is asynchronous."""

    def look_again(self) -> None:
        """Looks what is to be done once code has come to rest."""
        raise NotImplementedError

    def break_down(self, error: BaseException) -> None:
        """Ends the execution with a failure of the worker itself."""
        raise NotImplementedError

    def run_code(
        self, scope: Scope, function: Callable[[], Any], ended: Callable[[Callable[[], Any]], None]
    ) -> None:
        """Runs code in a scope. ``ended`` is called in the loop with what has its result."""
        context = contextvars.copy_context()
        context.run(current_scope.set, scope)
        if self.makes_calls:
            context.run(_langchain.listen, scope)
        self._scopes[scope] = None

        def end(outcome: Callable[[], Any]) -> None:
            self._scopes.pop(scope, None)
            if not self.has_ended:
                ended(outcome)
                self.look_again()

        if scope.in_thread:

            def in_thread() -> None:
                outcome = _outcomes.of(lambda: context.run(function))
                # Once its loop is closed nobody waits for the outcome.
                with contextlib.suppress(ExecutionEnded):
                    self.in_loop(end, outcome)

            name = f"weft-{scope.task or self._name}"
            scope.thread = threading.Thread(target=in_thread, name=name, daemon=True)
            try:
                scope.thread.start()
            except RuntimeError as error:
                # The system has no more threads.
                end(_outcomes.raising(error))
        else:

            async def whole() -> Any:
                value = await function()
                scope.refuse_forgotten()
                return value

            async def in_loop() -> None:
                outcome = await _outcomes.awaited(whole)
                self.guard(end, outcome)

            scope.thread = threading.current_thread()
            self._scopes[scope] = context.run(self.loop.create_task, in_loop())

    def in_loop(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls a function in the loop: at once if that is where it is called."""
        if _running_loop() is self.loop:
            self.guard(function, *args)
            return
        try:
            self.loop.call_soon_threadsafe(self.guard, function, *args)
        except RuntimeError:
            # The loop is closed, and with it the execution.
            raise ExecutionEnded from None

    def later(self, seconds: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        """Calls a function in the loop after some seconds."""
        return self.loop.call_later(seconds, self.guard, function)

    def guard(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls a function of the worker, in the loop.

        If it fails, so does the execution: what it did not get done would be waited for for ever.
        """
        try:
            function(*args, **kwargs)
        except (ExecutionEnded, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            logger.exception("the worker itself failed")
            self.break_down(error)

    def asked_in_loop(self, function: Callable[[], R]) -> R:
        """Calls a function in the loop and waits for what it returns."""
        if _running_loop() is self.loop:
            return function()
        answer: concurrent.futures.Future[Callable[[], R]] = concurrent.futures.Future()
        self.in_loop(lambda: answer.set_result(_outcomes.of(function)))
        return answer.result()()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
