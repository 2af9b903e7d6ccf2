"""Time, ids and chance of a run, and code that sleeps."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import timedelta
from typing import Any

import pytest
from engine import Engine, failed

from weft.func import entrypoint, now, random, sleep, task, uuid


async def test_what_is_derived_or_recorded_is_the_same_in_every_replay() -> None:
    @entrypoint()
    async def workflow(_: Any) -> Any:
        moment = await now()
        await sleep(0.01)
        return [str(moment), str(uuid()), str(uuid()), random(), str(await now() > moment)]

    engine = Engine(workflow)
    first = await engine.output()
    assert first[1] != first[2]
    assert first[-1] == "True"
    assert await engine.output() == first
    assert [entry.call.task for entry in engine.journal] == ["now", "sleep", "wake", "now"]


async def test_a_long_sleep_gives_the_worker_back() -> None:
    @entrypoint()
    def workflow(_: Any) -> str:
        sleep(3600)
        return "awake"

    engine = Engine(workflow)
    suspend = await engine.execute()
    assert suspend.wake_time.ToSeconds() > time.time() + 3000
    (entry,) = engine.journal
    entry.outcome.value.json_text = str(int(time.time() * 1e6))
    assert await engine.output() == "awake"


async def test_blocking_code_sleeps_by_the_call() -> None:
    @task
    def napping() -> bool:
        began = time.monotonic()
        sleep(0.02)
        return time.monotonic() - began >= 0.02

    @entrypoint()
    def workflow(_: Any) -> list[Any]:
        began = time.monotonic()
        slept = sleep(timedelta(milliseconds=20))
        return [time.monotonic() - began >= 0.02, slept.result(), napping().result()]

    engine = Engine(workflow)
    assert await engine.output() == [True, None, True]
    places = {entry.call.id: entry.call.task for entry in engine.journal}
    assert places["0"] == "sleep"
    assert places["1"] == "wake"
    assert places["2/0"] == "sleep"


async def test_asynchronous_code_awaits_in_any_way() -> None:
    @entrypoint()
    async def workflow(_: Any) -> bool:
        began = time.monotonic()
        await sleep(0.01)
        await asyncio.gather(sleep(0.02), sleep(0.01))
        await asyncio.wait_for(sleep(0.01), 10)
        done, _pending = await asyncio.wait([asyncio.ensure_future(sleep(0.01))])
        return len(done) == 1 and time.monotonic() - began >= 0.05

    assert await Engine(workflow).output() is True


async def test_asynchronous_code_that_forgets_to_await_fails() -> None:
    @task
    async def napping() -> str:
        sleep(timedelta(minutes=1))
        return "rested"

    @entrypoint()
    async def forgetful(_: Any) -> str:
        sleep(5)
        return "rested"

    @entrypoint()
    async def calling(_: Any) -> str:
        return await napping()

    for program, call, name in ((forgetful, "sleep(5)", ""), (calling, "sleep(60)", "napping")):
        failure = failed(await Engine(program).execute())
        assert f"`{call}` was not awaited" in failure.message
        assert failure.task == name


CENTURY = timedelta(days=36525)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (None, TypeError),
        ("x", TypeError),
        ("5", TypeError),
        ([1], TypeError),
        (True, TypeError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (-1, ValueError),
        (-0.5, ValueError),
        (1e12, ValueError),
        (10**400, ValueError),
        (CENTURY + timedelta(seconds=1), ValueError),
        (timedelta(seconds=-1), ValueError),
    ],
)
async def test_a_time_that_cannot_be_slept_is_an_error_of_the_call(
    wrong: Any, error: type[Exception]
) -> None:
    @entrypoint()
    def blocking(_: Any) -> str:
        with pytest.raises(error, match="`seconds`"):
            sleep(wrong)
        return "refused"

    @entrypoint()
    async def asynchronous(_: Any) -> str:
        with pytest.raises(error, match="`seconds`"):
            await sleep(wrong)
        return "refused"

    for program in (blocking, asynchronous):
        engine = Engine(program)
        assert await engine.output() == "refused"
        assert engine.journal == []


async def test_the_longest_sleep_is_a_hundred_years() -> None:
    @entrypoint()
    def workflow(_: Any) -> None:
        sleep(CENTURY)

    suspend = await Engine(workflow).execute()
    assert suspend.wake_time.ToSeconds() > time.time() + CENTURY.total_seconds() - 60
