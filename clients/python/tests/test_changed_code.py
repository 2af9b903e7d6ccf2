"""Code that is changed under runs that are not finished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from engine import Engine, failed, paused
from services import Cluster

from weft.client import AsyncClient, RunState
from weft.func import Worker, entrypoint, interrupt, task


@task
def echo(value: Any) -> Any:
    return value


@entrypoint()
def in_order(_: Any) -> list[Any]:
    calls = [echo.with_key(key)(key.upper()) for key in ("a", "b/%")]
    return [call.result() for call in calls]


async def test_calls_with_keys_may_change_places_and_get_new_ones_between_them() -> None:
    engine = Engine(in_order)
    assert await engine.output() == ["A", "B/%"]
    assert {entry.call.id for entry in engine.journal} == {":a", ":b%2F%25"}

    @entrypoint()
    async def swapped(_: Any) -> list[Any]:
        calls = [echo.with_key("b/%")("B/%"), echo("new"), echo.with_key("a")("A")]
        return await asyncio.gather(*calls)

    engine.program = swapped
    assert await engine.output() == ["B/%", "new", "A"]
    assert len(engine.journal) == 3, "recorded calls are not made again"
    assert engine.journal[-1].call.id == "0", "a call with a key takes no number"


async def test_calls_without_keys_are_told_by_their_places_alone() -> None:
    def program(*values: str) -> Any:
        @entrypoint()
        def workflow(_: Any) -> list[Any]:
            return [call.result() for call in [echo(value) for value in values]]

        return workflow

    engine = Engine(program("A", "B"), strict=True)
    await engine.output()
    engine.program = program("B", "A")
    assert "another argument" in paused(await engine.execute()).message


async def test_a_key_that_calls_another_task_now_is_a_mismatch() -> None:
    engine = Engine(in_order)
    await engine.output()

    @task
    def other(value: Any) -> Any:
        return value

    @entrypoint()
    def changed(_: Any) -> Any:
        return other.with_key("a")("A").result()

    engine.program = changed
    assert "`other`" in paused(await engine.execute()).message


async def test_a_key_names_one_call_of_each_caller() -> None:
    @task
    def outer(value: str) -> Any:
        return echo.with_key("a")(value).result()

    @entrypoint()
    def workflow(twice: bool) -> list[Any]:
        calls = [outer.with_key("a")("1"), outer("2"), echo.with_key("0")("3")]
        if twice:
            echo.with_key("a")("4")
        return [call.result() for call in calls]

    engine = Engine(workflow, False)
    assert await engine.output() == ["1", "2", "3"]
    assert await engine.output() == ["1", "2", "3"]
    ids = {entry.call.id for entry in engine.journal}
    assert ids == {":a", ":a/:a", "0", "0/:a", ":0"}
    assert failed(await Engine(workflow, True).execute()).reason == "DUPLICATE_KEY"


def test_a_key_that_cannot_be_recorded_is_refused() -> None:
    for key in ("", "x" * 257, "half \ud800"):
        with pytest.raises(ValueError, match="`key`"):
            echo.with_key(key)


@pytest.mark.parametrize("strict", [True, False])
async def test_another_argument_pauses_the_runs_of_strict_entrypoints_only(
    cluster: Cluster, asynchronous: AsyncClient, unique: str, strict: bool
) -> None:
    price = 1

    @entrypoint(name=unique, strict=strict)
    async def workflow(_: Any) -> list[Any]:
        # What changes between executions, as an edited program does.
        return [await echo(price), interrupt("sure?")]

    async with Worker(workflow, workflow=cluster.workflow.address):
        run = await asynchronous.runs.invoke(unique)
        assert run.state is RunState.INTERRUPTED
        price = 2
        await asynchronous.runs.resume(run.id, "yes")
        run = await asynchronous.runs.wait(run.id)
    if strict:
        assert run.state is RunState.PAUSED
        assert run.error is not None
        assert run.error.reason == "NON_DETERMINISTIC"
        assert "another argument" in run.error.message
    else:
        assert run.result() == [1, "yes"]
