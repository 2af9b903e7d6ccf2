"""Runs that are to stop, and executions that no longer count."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from engine import Engine, failed
from services import PATIENCE, Cluster

from weft.client import Client, RunState
from weft.errors import RunCancelled
from weft.func import Cancelled, Worker, entrypoint, sleep, target, task
from weft.workflow.v1 import worker_pb2 as pb


async def test_a_cancelled_run_stops_at_its_next_call() -> None:
    started = asyncio.Event()
    stopped: list[str] = []

    @task
    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("task")

    @entrypoint()
    async def workflow(_: Any) -> None:
        try:
            await endless()
        finally:
            stopped.append("entrypoint")

    engine = Engine(workflow)
    running = asyncio.create_task(engine.execute())
    await started.wait()
    engine.execution.cancel("enough")
    failure = failed(await running)
    assert (failure.reason, failure.message) == ("CANCELLED", "enough")
    assert sorted(stopped) == ["entrypoint", "task"]
    assert engine.journal == []


async def test_a_fenced_execution_ends_its_code_without_a_word() -> None:
    inside, ended = threading.Event(), threading.Event()

    @task
    async def endless() -> None:
        inside.set()
        await asyncio.Event().wait()

    @entrypoint()
    def workflow(_: Any) -> None:
        try:
            endless().result()
        finally:
            ended.set()

    engine = Engine(workflow)
    running = asyncio.create_task(engine.execute())
    while not inside.is_set():
        await asyncio.sleep(0)
    engine.execution.end()
    assert await asyncio.to_thread(ended.wait, 20)
    running.cancel()


def broad(stopped: list[str], started: asyncio.Event) -> list[Callable[..., Any]]:
    """Code that catches every exception, and cleans up."""

    @task
    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("task")

    @task
    def waiting() -> str:
        try:
            return str(endless().result())
        except Exception:
            return "went on"
        finally:
            stopped.append("inner")

    def blocking(_: Any) -> str:
        try:
            waiting().result()
        except Exception:
            return "went on"
        finally:
            stopped.append("entrypoint")
        return "went on"

    async def asynchronous(_: Any) -> str:
        try:
            await asyncio.gather(waiting(), sleep(1000))
        except Exception:
            return "went on"
        finally:
            stopped.append("entrypoint")
        return "went on"

    return [blocking, asynchronous]


@pytest.mark.parametrize("place", [0, 1])
async def test_catching_every_exception_does_not_hold_a_cancel_up_and_all_is_cleaned_up(
    place: int,
) -> None:
    started = asyncio.Event()
    stopped: list[str] = []
    engine = Engine(entrypoint()(broad(stopped, started)[place]))
    running = asyncio.create_task(engine.execute())
    await started.wait()
    engine.execution.cancel("enough")
    failure = failed(await running)
    assert (failure.reason, failure.message) == ("CANCELLED", "enough")
    assert sorted(stopped) == ["entrypoint", "inner", "task"]
    assert [entry.call.task for entry in engine.journal] in ([], ["sleep"])


async def test_code_that_insists_gets_no_further_than_its_next_call() -> None:
    asked = asyncio.Event()
    seen: list[str] = []

    @task
    async def endless() -> None:
        asked.set()
        await asyncio.Event().wait()

    @entrypoint()
    def workflow(_: Any) -> str:
        for _attempt in range(2):
            try:
                endless().result()
            except Cancelled as cancelled:
                seen.append(cancelled.message)
        endless().result()
        return "went on"

    engine = Engine(workflow)
    running = asyncio.create_task(engine.execute())
    await asked.wait()
    engine.execution.cancel("enough")
    assert failed(await running).reason == "CANCELLED"
    assert seen == ["enough", "enough"]


async def test_what_the_service_stopped_doing_for_a_cancelled_run_is_its_cancel() -> None:
    @entrypoint()
    def workflow(_: Any) -> str:
        try:
            return str(target("llm/chat", {}).result())
        except Exception:
            return "went on"

    engine = Engine(workflow)
    running = asyncio.create_task(engine.execute())
    delegated = await engine.delegated.get()
    engine.execution.cancel("enough")
    stopped = pb.Outcome(failure=pb.Failure(reason="CANCELLED", message="enough"))
    engine.execution.acknowledge(delegated.call.id, stopped)
    assert failed(await running).reason == "CANCELLED"


async def test_a_cancelled_run_is_cancelled_whatever_its_code_catches(
    cluster: Cluster, client: Client, unique: str
) -> None:
    started = asyncio.Event()
    stopped: list[str] = []
    _, catching = broad(stopped, started)
    program = entrypoint(name=unique)(catching)
    async with Worker(program, workflow=cluster.workflow.address):
        run = await asyncio.to_thread(client.runs.start, unique)
        await started.wait()
        await asyncio.to_thread(client.runs.cancel, run.id, reason="enough")
        ended = await asyncio.to_thread(client.runs.wait, run.id, timeout=PATIENCE)
    assert ended.state is RunState.CANCELLED
    with pytest.raises(RunCancelled):
        ended.result()
    assert sorted(stopped) == ["entrypoint", "inner", "task"]
