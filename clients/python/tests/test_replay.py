"""What an execution of a run does with a journal, for blocking and for asynchronous code."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from engine import Engine, failed, paused

from weft.func import (
    CachePolicy,
    Program,
    entrypoint,
    task,
)


def counted(calls: list[Any]) -> Any:
    @task
    def add(a: int, b: int) -> int:
        calls.append((a, b))
        return a + b

    return add


def both(calls: list[Any]) -> list[Program]:
    """The same program, blocking and asynchronous."""
    add = counted(calls)

    @task
    async def double(value: int) -> int:
        calls.append(value)
        return 2 * value

    @entrypoint()
    def blocking(value: int) -> int:
        first = add(value, 1).result()
        others = [add(first, 10), double(first)]
        return sum(other.result() for other in others)

    @entrypoint()
    async def asynchronous(value: int) -> int:
        first = await add(value, 1)
        return sum(await asyncio.gather(add(first, 10), double(first)))

    return [blocking, asynchronous]


async def test_results_are_recorded_under_their_place_and_never_made_again() -> None:
    calls: list[Any] = []
    for program in both(calls):
        calls.clear()
        engine = Engine(program, 1)
        assert await engine.output() == 16
        assert {entry.call.id: entry.call.task for entry in engine.journal} == {
            "0": "add",
            "1": "add",
            "2": "double",
        }
        assert len(calls) == 3
        assert await engine.output() == 16
        assert len(calls) == 3, "a replay runs nothing"


async def test_a_crash_repeats_only_what_was_not_recorded() -> None:
    calls: list[Any] = []
    for program in both(calls):
        engine = Engine(program, 1)
        assert await engine.execute(records=1) is None
        calls.clear()
        assert await engine.output() == 16
        assert (1, 1) not in calls


async def test_a_race_has_the_same_winner_in_every_replay() -> None:
    gates = {name: asyncio.Event() for name in "abc"}

    @task
    async def gated(name: str) -> str:
        await gates[name].wait()
        return name

    @task
    def seen(name: str) -> str:
        return name

    @entrypoint()
    async def race(names: list[str]) -> list[str]:
        racing = asyncio.as_completed([gated(name) for name in names])
        return [await seen(await first) for first in racing]

    engine = Engine(race, ["a", "b", "c"])
    running = asyncio.create_task(engine.output())
    for name in ("c", "a", "b"):
        gates[name].set()
        while not any(name in entry.outcome.value.json_text for entry in engine.journal):
            await asyncio.sleep(0)
    assert await running == ["c", "a", "b"]
    places = [(entry.call.id, entry.outcome.value.json_text) for entry in engine.journal]
    for _ in range(5):
        assert await engine.output() == ["c", "a", "b"]
    for length in range(len(engine.journal)):
        again = Engine(race, ["a", "b", "c"])
        again.run_id, again.journal = engine.run_id, engine.journal[:length]
        await again.output()
        # What was recorded before the crash stands at its place.
        assert places[:length] == [
            (entry.call.id, entry.outcome.value.json_text) for entry in again.journal[:length]
        ]


async def test_branches_make_their_calls_in_the_same_order_in_every_replay() -> None:
    reached = asyncio.Event()

    @task
    async def quick() -> None:
        pass

    @task
    async def slow() -> None:
        await reached.wait()

    @task(name="after quick")
    async def after_quick() -> None:
        reached.set()

    @task(name="after slow")
    async def after_slow() -> None:
        pass

    async def winding() -> None:
        await quick()
        # Many steps of the loop, which the other branch must not overtake.
        for _ in range(50):
            await asyncio.sleep(0)
        await after_quick()

    async def straight() -> None:
        await slow()
        await after_slow()

    @entrypoint()
    async def workflow(_: Any) -> None:
        await asyncio.gather(winding(), straight())

    engine = Engine(workflow)
    await engine.output()
    assert {entry.call.id: entry.call.task for entry in engine.journal} == {
        "0": "quick",
        "1": "slow",
        "2": "after quick",
        "3": "after slow",
    }
    # Recorded right after one another: nothing but the order keeps them apart.
    engine.journal.sort(key=lambda entry: entry.call.id)
    for length in range(len(engine.journal) + 1):
        again = Engine(workflow)
        again.run_id, again.journal = engine.run_id, engine.journal[:length]
        await again.output()


async def test_blocking_code_gets_the_next_result_only_when_it_waits() -> None:
    gate = threading.Event()

    @task
    def quick() -> None:
        pass

    @task
    def slow() -> None:
        gate.wait(20)

    @task
    def say(text: str) -> str:
        return text

    @entrypoint()
    def workflow(_: Any) -> str:
        one, other = quick(), slow()
        one.result()
        is_early = other.done()
        gate.set()
        other.result()
        return say("early" if is_early else "late").result()

    engine = Engine(workflow)
    assert await engine.output() == "late"
    engine.journal.pop()
    for _ in range(10):
        again = Engine(workflow)
        again.journal = engine.journal[:]
        assert await again.output() == "late"


async def test_code_that_changed_is_a_mismatch_that_names_both() -> None:
    calls: list[Any] = []
    engine = Engine(both(calls)[0], 1)
    await engine.output()

    @task
    def subtract(a: int, b: int) -> int:
        return a - b

    @entrypoint()
    def renamed(value: int) -> int:
        return subtract(value, 1).result()

    engine.program = renamed
    failure = paused(await engine.execute())
    assert failure.reason == "NON_DETERMINISTIC"
    assert "`add`" in failure.message
    assert "`subtract`" in failure.message
    assert (failure.metadata["recorded_task"], failure.metadata["task"]) == ("add", "subtract")


async def test_calls_that_are_not_made_again_are_a_mismatch() -> None:
    @entrypoint()
    def shorter(value: int) -> int:
        return value

    for program in both([]):
        engine = Engine(program, 1)
        await engine.output()
        engine.program = shorter
        finish = await engine.execute()
        assert "3 recorded call(s) were not made again" in paused(finish).message
        assert finish.replayed_count == 0


async def test_another_argument_is_a_warning_or_in_strict_runs_a_mismatch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = both([])[1]
    engine = Engine(program, 1)
    await engine.output()
    engine.input = 2
    assert await engine.output() == 16
    assert "another argument" in caplog.text
    engine.more = {"strict": True}
    assert "another argument" in paused(await engine.execute()).message


async def test_cached_results_are_shared_with_other_runs() -> None:
    calls: list[int] = []

    @task(cache_policy=CachePolicy(ttl=60))
    def costly(value: int) -> int:
        calls.append(value)
        return value * value

    @entrypoint()
    def workflow(value: int) -> int:
        return int(costly(value).result())

    first, second = Engine(workflow, 3), Engine(workflow, 3)
    second.cache = first.cache
    assert await first.output() == 9
    assert await second.output() == 9
    assert calls == [3]
    second.input, second.journal = 4, []
    assert await second.output() == 16


async def test_tasks_call_tasks_and_entrypoints_call_entrypoints() -> None:
    calls: list[Any] = []
    add = counted(calls)

    @task
    def outer(value: int) -> int:
        return int(add(value, 1).result() + add(value, 2).result())

    @entrypoint()
    async def child(value: int, *, previous: Any) -> Any:
        assert previous is None
        return entrypoint.final(value=await outer(value), save="not seen")

    @entrypoint()
    async def parent(value: int) -> Any:
        return [await child.ainvoke(value), await outer(10)]

    engine = Engine(parent, 1)
    assert await engine.execute(records=2) is None
    calls.clear()
    assert await engine.output() == [5, 23]
    assert calls == [(10, 1), (10, 2)]
    ids = [entry.call.id for entry in engine.journal]
    assert ids == ["0/0/0", "0/0/1", "0/0", "0", "1/0", "1/1", "1"]
    assert await engine.output() == [5, 23]


async def test_what_is_not_awaited_is_recorded_before_the_run_ends() -> None:
    add = counted([])

    @entrypoint()
    def workflow(_: Any) -> str:
        add(1, 2)
        return "done"

    engine = Engine(workflow)
    assert await engine.output() == "done"
    assert len(engine.journal) == 1
    assert await engine.output() == "done"


async def test_calls_from_threads_of_the_code_are_refused() -> None:
    add = counted([])

    @entrypoint()
    async def workflow(_: Any) -> int:
        return await asyncio.to_thread(lambda: add(1, 2).result())

    failure = failed(await Engine(workflow).execute())
    assert "thread" in failure.message
