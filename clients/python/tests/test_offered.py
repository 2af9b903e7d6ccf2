"""Tasks that a worker offers to the runs of others."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from services import PATIENCE, Cluster, environment, first_line, until

from weft.client import AsyncClient, Client, RunState
from weft.errors import RunFailed
from weft.func import (
    Failure,
    RetryPolicy,
    Runtime,
    TaskFailed,
    Worker,
    entrypoint,
    get_runtime,
    interrupt,
    now,
    target,
    task,
)
from weft.func.decorators import Task

PROGRAM = Path(__file__).with_name("steps.py")


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Address:
    city: str
    lines: list[str] = dataclasses.field(default_factory=list)


def caller(name: str, cluster: Cluster, offered: str, given: Any) -> Any:
    """An entrypoint that calls a task on offer, and returns what came of it."""

    @entrypoint(name=name, workflow=cluster.workflow.address)
    async def call(_: Any) -> Any:
        try:
            return await target(f"task/{offered}", given)
        except TaskFailed as failed:
            return {"failed": failed.reason, "message": failed.message}

    return call


async def came_of(cluster: Cluster, unique: str, offered: Task[..., Any], given: Any) -> Any:
    """What a run elsewhere gets of a task."""
    address = cluster.workflow.address
    async with Worker(tasks=[offered], workflow=address):
        return await caller(unique, cluster, offered.name, given).ainvoke("go")


async def test_a_task_is_called_by_name_with_what_its_annotations_say(
    cluster: Cluster, asynchronous: AsyncClient, unique: str
) -> None:
    @task(name=unique)
    def ship(
        to: Address,
        size: Annotated[Size, "How large."] = Size.SMALL,
        *,
        config: Mapping[str, Any],
    ) -> Any:
        """Ships something.

        Takes a day.
        """
        runtime: Runtime[Any] = get_runtime()
        assert config["configurable"]["thread_id"] == runtime.thread_id
        return [to.city, size.name, runtime.idempotency_key, runtime.attempt]

    async with Worker(tasks=[ship], workflow=cluster.workflow.address):
        (offered,) = [one for one in await asynchronous.tasks() if one.name == unique]
        assert offered.description == "Ships something.\n\nTakes a day."
        assert offered.worker_count == 1
        address = {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "lines": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
            "additionalProperties": False,
        }
        assert offered.input_schema == {
            "type": "object",
            "properties": {
                "to": address,
                "size": {"enum": ["s", "l"], "description": "How large."},
            },
            "required": ["to"],
            "additionalProperties": False,
        }
        call = caller(f"call-{unique}", cluster, unique, {"to": {"city": "Rome"}, "size": "l"})
        city, size, key, attempt = await call.ainvoke("go")
        assert (city, size, attempt) == ("Rome", "LARGE", 1)
        (run,) = [run async for run in asynchronous.runs.list(entrypoint=f"call-{unique}")]
        assert key == f"{run.id}/0"
    assert unique not in [one.name for one in await asynchronous.tasks()]


async def test_what_does_not_fit_is_refused_before_a_worker_sees_it(
    cluster: Cluster, unique: str
) -> None:
    @task(name=unique)
    async def add(number: int) -> int:
        raise AssertionError("it was called")

    came = await came_of(cluster, f"call-{unique}", add, {"number": "one"})
    assert came["failed"] == "INVALID_ARGUMENT"
    assert "input.number" in came["message"]


async def test_a_task_is_tried_again_by_its_own_policy(cluster: Cluster, unique: str) -> None:
    attempts = []

    @task(name=unique, retry_policy=RetryPolicy(initial_interval=0.01, max_attempts=3))
    async def falter() -> int:
        attempts.append(get_runtime().attempt)
        if len(attempts) < 3:
            raise ConnectionError("away")
        raise Failure("GONE", "for good")

    came = await came_of(cluster, f"call-{unique}", falter, {})
    assert came == {"failed": "GONE", "message": "for good"}
    assert attempts == [1, 2, 3]


async def test_a_task_on_offer_has_nothing_to_record_calls_in(
    cluster: Cluster, unique: str
) -> None:
    @task
    async def inner() -> None: ...

    @task(name=unique)
    async def outer(what: Literal["task", "target", "interrupt", "now"]) -> Any:
        match what:
            case "task":
                return await inner()
            case "target":
                return await target("llm/chat", {})
            case "interrupt":
                return interrupt("well?")
            case "now":
                return await now()

    async with Worker(tasks=[outer], workflow=cluster.workflow.address):
        for what in ("task", "target", "interrupt", "now"):
            call = caller(f"call-{what}-{unique}", cluster, unique, {"what": what})
            came = await call.ainvoke("go")
            assert "makes no calls" in came["message"], came


async def test_a_cancelled_run_takes_its_task_back(
    cluster: Cluster, asynchronous: AsyncClient, unique: str
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @task(name=unique)
    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Worker(tasks=[hang], workflow=cluster.workflow.address):
        call = caller(f"call-{unique}", cluster, unique, {})
        async with Worker(call, workflow=cluster.workflow.address):
            run = await asynchronous.runs.start(call.name)
            await asyncio.wait_for(began.wait(), PATIENCE)
            await asynchronous.runs.cancel(run.id)
            await asyncio.wait_for(ended.wait(), PATIENCE)
            run = await asynchronous.runs.wait(run.id, timeout=PATIENCE)
            assert run.state is RunState.CANCELLED


def test_an_agent_has_a_task_as_a_tool(cluster: Cluster, client: Client, unique: str) -> None:
    noted: list[str] = []

    @task(name=unique)
    def note(data: str) -> str:
        """Notes something."""
        noted.append(data)
        return "noted"

    # The offline model calls a tool of this name, if it has one, when it is asked to remember.
    tool = {"task": unique, "name": "remember", "approve": True}

    async def serve() -> None:
        async with Worker(tasks=[note], workflow=cluster.workflow.address):
            said = "Remember: my name is Bob"
            async with AsyncClient(**cluster.addresses) as asynchronous:
                runs = asynchronous.runs
                run = await runs.invoke("agent", said, config={"tools": [tool]})
                (question,) = run.interrupts
                assert question.value["arguments"] == {"data": said}
                edited = {"decision": "edit", "arguments": {"data": "Bob"}}
                await runs.resume(run.id, edited)
                run = await runs.wait(run.id, timeout=PATIENCE)
                assert "Bob" in run.result()["content"]

    asyncio.run(serve())
    assert noted == ["Bob"]


def test_a_killed_worker_s_task_is_done_by_another_one(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "steps"
    folder.mkdir()
    processes = []
    for _ in range(2):
        command = [sys.executable, str(PROGRAM), str(folder)]
        variables = environment(**own_cluster.variables)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
        assert "; offering pass_on" in first_line(process)
        processes.append(process)
    with Client(**own_cluster.addresses) as client:
        tool = {"task": "pass_on", "name": "remember"}
        config = {"tools": [tool]}
        run = client.runs.start("agent", "Remember: my name is Bob", config=config)

        def read() -> list[str]:
            notes = folder / "notes"
            return notes.read_text().split() if notes.exists() else []

        (first,) = until(read, "the task")
        killed, survivor = sorted(processes, key=lambda one: str(one.pid) != first)
        killed.kill()
        killed.wait(PATIENCE)
        again = until(lambda: len(read()) == 2 and read(), "the task, again")
        assert again == [str(killed.pid), str(survivor.pid)]
        (folder / "gate").touch()
        done = client.runs.wait(run.id, timeout=PATIENCE)
        assert done.state is RunState.SUCCEEDED
        survivor.terminate()
        assert survivor.wait(PATIENCE) == 0
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


def test_a_tool_that_nobody_offers_fails_the_run_by_its_name(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    settings = tmp_path / "weft.toml"
    settings.write_text('task_wait = "100ms"\n')
    own_cluster.workflow.stop()
    own_cluster.workflow.use(settings)
    own_cluster.workflow.start()
    with Client(**own_cluster.addresses) as client:
        run = client.runs.invoke("agent", "hello", config={"tools": ["task/nowhere"]})
        with pytest.raises(RunFailed, match="`nowhere`"):
            run.result()


def test_a_worker_needs_something_to_do() -> None:
    with pytest.raises(ValueError, match="a task to offer"):
        Worker()
