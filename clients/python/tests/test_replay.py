"""What an execution of a run does with a journal, for blocking and for asynchronous code."""

from __future__ import annotations

import asyncio
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
    warned = [one for one in engine.emitted if one.HasField("warning")]
    assert [(one.call_id, one.task) for one in warned] == [("0", "add")]
    assert warned[0].warning.reason == "INPUT_CHANGED"
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
