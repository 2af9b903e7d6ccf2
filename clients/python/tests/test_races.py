"""Code that waits for several calls at once does the same in every replay."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import FIRST_COMPLETED, as_completed, wait
from typing import Any

from engine import PATIENCE, Engine, failed

from weft.func import (
    entrypoint,
    task,
)


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


async def test_blocking_code_can_wait_for_the_first_of_several() -> None:
    gates = {name: threading.Event() for name in "abc"}

    @task
    def gated(name: str) -> str:
        gates[name].wait(PATIENCE)
        return name

    @task
    def seen(name: str) -> str:
        return name

    @entrypoint()
    def by_as_completed(names: list[str]) -> list[str]:
        racing = as_completed([gated(name) for name in names])
        return [seen(first.result()).result() for first in racing]

    @entrypoint()
    def by_wait(names: list[str]) -> list[str]:
        order: list[str] = []
        left: Any = {gated(name) for name in names}
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            # A set has no order.
            order += [seen(name).result() for name in sorted(first.result() for first in done)]
        return order

    @entrypoint()
    def by_wait_for_all(names: list[str]) -> list[str]:
        all_of_them = [gated(name) for name in names]
        assert not wait(all_of_them, timeout=0.001).done
        seen("begun").result()
        done, left = wait(all_of_them)
        assert not left
        return [*sorted((one.result() for one in done), reverse=True)]

    for program in (by_as_completed, by_wait, by_wait_for_all):
        for gate in gates.values():
            gate.clear()
        engine = Engine(program, ["a", "b", "c"])
        running = asyncio.create_task(engine.output())
        if program is by_wait_for_all:
            while not engine.journal:
                await asyncio.sleep(0)
        for name in ("c", "a", "b"):
            gates[name].set()
            while not any(name in entry.outcome.value.json_text for entry in engine.journal):
                await asyncio.sleep(0)
        order = ["c", "b", "a"] if program is by_wait_for_all else ["c", "a", "b"]
        assert await running == order
        if program is by_wait_for_all:
            continue
        for length in range(len(engine.journal) + 1):
            again = Engine(program, ["a", "b", "c"])
            again.run_id, again.journal = engine.run_id, engine.journal[:length]
            assert sorted(await again.output()) == ["a", "b", "c"]
        for _ in range(3):
            assert await engine.output() == ["c", "a", "b"]


async def test_blocking_code_that_waits_is_cancelled_and_ended() -> None:
    inside = threading.Event()

    @task
    async def endless() -> None:
        inside.set()
        await asyncio.Event().wait()

    @entrypoint()
    def workflow(_: Any) -> None:
        for first in as_completed([endless(), endless()]):
            first.result()

    engine = Engine(workflow)
    running = asyncio.create_task(engine.execute())
    while not inside.is_set():
        await asyncio.sleep(0)
    engine.execution.cancel("enough")
    assert failed(await running).reason == "CANCELLED"


async def test_asynchronous_code_cannot_block_its_loop_by_waiting() -> None:
    gate = asyncio.Event()

    @task
    async def gated() -> None:
        await gate.wait()

    @entrypoint()
    async def workflow(_: Any) -> None:
        call = gated()
        try:
            wait([call])
        finally:
            gate.set()

    assert "would block the event loop" in failed(await Engine(workflow).execute()).message
