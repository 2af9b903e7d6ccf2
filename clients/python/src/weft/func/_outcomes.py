"""What code came to: a function that returns what it returned, or raises what it raised."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


def of(function: Callable[[], R]) -> Callable[[], R]:
    """What a function comes to."""
    try:
        value = function()
    except BaseException as error:
        return raising(error)
    return lambda: value


async def awaited(function: Callable[[], Coroutine[Any, Any, R]]) -> Callable[[], R]:
    """What an asynchronous function comes to, also if it cannot even be called."""
    try:
        value = await function()
    except BaseException as error:
        return raising(error)
    return lambda: value


def raising(error: BaseException) -> Callable[[], Any]:
    """The outcome of code that raised an error."""

    def outcome() -> Any:
        raise error

    return outcome
