"""Calls between the loop that talks to services and the others."""

from __future__ import annotations

import asyncio

import pytest

from weft import _io


async def test_calls_into_another_loop_keep_their_order_and_one_that_fails_stops_none() -> None:
    loop = asyncio.get_running_loop()
    failures: list[BaseException | None] = []
    loop.set_exception_handler(lambda _, context: failures.append(context.get("exception")))
    made: list[int] = []
    everything = asyncio.Event()
    calls = _io.Calls(loop)

    def note(number: int) -> None:
        made.append(number)
        if number % 100 == 50:
            raise ValueError

    def call_from_elsewhere() -> None:
        for number in range(1000):
            calls.make(note, number)
        calls.make(everything.set)

    await asyncio.to_thread(call_from_elsewhere)
    await everything.wait()
    assert made == list(range(1000))
    assert [type(failure) for failure in failures] == [ValueError] * 10


def test_a_call_into_a_loop_that_is_closed_is_an_error() -> None:
    loop = asyncio.new_event_loop()
    calls = _io.Calls(loop)
    calls.make(print)
    loop.close()
    with pytest.raises(RuntimeError):
        calls.make(print)
