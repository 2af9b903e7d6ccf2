"""Where the code of a program runs that hosts itself: scripts, notebooks, services with a loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from services import PATIENCE, Cluster, environment

from weft.client import AsyncClient
from weft.errors import InvalidArgument
from weft.func import Worker, _hosting, entrypoint, task


async def test_a_notebook_mixes_blocking_and_asynchronous_calls(
    cluster: Cluster, unique: str
) -> None:
    # As in a notebook, the loop runs while cells call; a blocking call stops it for so long.
    loops: list[asyncio.AbstractEventLoop] = []

    @task
    async def add_one(number: int) -> int:
        loops.append(asyncio.get_running_loop())
        return number + 1

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    async def workflow(number: int) -> int:
        return await add_one(number)

    here = asyncio.get_running_loop()
    for number in range(3):
        assert await workflow.ainvoke(number) == number + 1
        assert loops.pop() is here, "asynchronous code shares the notebook's loop"
        assert workflow.invoke(number) == number + 1
        assert list(workflow.stream(number, stream_mode="values")) == [number + 1]
        assert here not in loops
        loops.clear()


async def test_a_call_that_would_wait_for_itself_is_refused(cluster: Cluster, unique: str) -> None:
    @entrypoint(name=unique, workflow=cluster.workflow.address)
    async def workflow(number: int) -> int:
        return number

    async with Worker(workflow, workflow=cluster.workflow.address):
        with pytest.raises(RuntimeError, match="await `ainvoke`"):
            workflow.invoke(1)
        assert await workflow.ainvoke(1) == 1
        # A thread of its own does not hold the loop up.
        assert await asyncio.to_thread(workflow.invoke, 2) == 2


async def test_blocking_code_does_not_hold_up_the_loop_of_its_worker(
    cluster: Cluster, unique: str
) -> None:
    gate = threading.Event()

    @task
    def wait() -> str:
        assert gate.wait(PATIENCE)
        return threading.current_thread().name

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(_: Any) -> str:
        return wait().result()

    running = asyncio.create_task(workflow.ainvoke("go"))
    await asyncio.sleep(0)
    gate.set()
    assert await running == "weft-wait"


async def test_an_input_that_does_not_fit_the_schema_is_refused(
    cluster: Cluster, asynchronous: AsyncClient, unique: str
) -> None:
    schema = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}

    @entrypoint(name=unique, input_schema=schema, workflow=cluster.workflow.address)
    async def workflow(trip: dict[str, int]) -> int:
        return trip["days"]

    assert await workflow.ainvoke({"days": 2}) == 2
    with pytest.raises(InvalidArgument) as refused:
        await workflow.ainvoke({"days": "two"})
    (violation,) = refused.value.violations
    assert violation.field.endswith("input.days")
    (found,) = [one for one in await asynchronous.entrypoints() if one.name == unique]
    assert found.input_schema == schema


SCRIPT = """
import asyncio, sys
from weft.func import entrypoint, task

@task
def double(number):
    return 2 * number

@entrypoint(name=sys.argv[1])
def workflow(number):
    return double(number).result()

print(workflow.invoke(4))

async def main():
    print(await workflow.ainvoke(5))

asyncio.run(main())
print(workflow.invoke(6))
"""


def test_a_script_ends_by_itself(cluster: Cluster, tmp_path: Path, unique: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), unique]
    said = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**cluster.variables),
    )
    assert said.stdout.split() == ["8", "10", "12"]
    assert said.stderr == ""


SERVING = """
import sys, threading
from weft.client import Client
from weft.func import Worker, entrypoint

@entrypoint(name=sys.argv[1])
def workflow(number):
    return 2 * number

threading.Thread(target=Worker(workflow).serve, daemon=True).start()
with Client() as client:
    while sys.argv[1] not in [one.name for one in client.entrypoints()]:
        pass
    print(client.runs.invoke(sys.argv[1], 4, wait_timeout=30).result(), flush=True)
"""


def test_a_worker_serves_in_a_thread_of_a_script_which_ends_by_itself(
    cluster: Cluster, tmp_path: Path, unique: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SERVING)
    said = subprocess.run(
        [sys.executable, "-W", "error", str(script), unique],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**cluster.variables),
    )
    assert (said.stdout.splitlines()[-1], said.stderr) == ("8", "")


async def test_a_program_whose_worker_has_ended_is_hosted_again_by_the_next_call(
    cluster: Cluster, unique: str
) -> None:
    @entrypoint(name=unique, workflow=cluster.workflow.address)
    async def workflow(number: int) -> int:
        return number

    assert await workflow.ainvoke(1) == 1
    hosted = _hosting._workers[asyncio.get_running_loop()]
    ((_, starting),) = (one for one in hosted.values() if one[0] is workflow)
    # As when the service does not take it any more.
    await starting.result().leave()

    async def forgotten() -> None:
        while hosted:
            await asyncio.sleep(0)

    await asyncio.wait_for(forgotten(), PATIENCE)
    assert await asyncio.wait_for(workflow.ainvoke(2), PATIENCE) == 2
