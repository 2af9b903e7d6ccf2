"""`langgraph_peer.py sqlite FOLDER`, `langgraph_peer.py postgres PROGRAMS FOLDER`: LangGraph's program for
`make bench-peers`, on its saver for SQLite, or for a PostgreSQL that it starts. It says how results are kept,
and then answers each line of load with what the callers saw. It ends with its input.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.pregel import Pregel

# JSON text of the input, and of what a task returns, in bytes.
INPUT_BYTES = 256
RESULT_BYTES = 256

PAUSE_SECONDS = 0.1
TRIES = 600


@task
async def step(number: int) -> str:
    return "x" * (RESULT_BYTES - 2)


def program(saver: BaseCheckpointSaver) -> Pregel:
    @entrypoint(checkpointer=saver)
    async def sequence(arguments: tuple[int, str]) -> int:
        tasks, _padding = arguments
        for number in range(tasks):
            await step(number)
        return tasks

    return sequence


async def run(sequence: Pregel, tasks: int) -> None:
    """One run, on a thread of its own."""
    padding = "x" * (INPUT_BYTES - len(f'[{tasks},""]'))
    config = {"configurable": {"thread_id": str(uuid.uuid4())}}
    done = await sequence.ainvoke((tasks, padding), config, durability="sync")
    if done != tasks:
        raise RuntimeError(f"{done} tasks in place of {tasks}")


async def play(sequence: Pregel, load: dict) -> dict:
    """Callers, each of which starts a run when its last one has ended."""
    latencies = []
    begin = time.perf_counter()

    async def caller() -> None:
        while (called := time.perf_counter()) - begin < load["seconds"]:
            await run(sequence, load["tasks"])
            latencies.append(time.perf_counter() - called)

    await asyncio.gather(*(caller() for _ in range(load["callers"])))
    return {"seconds": time.perf_counter() - begin, "latencies": latencies}


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[tuple[BaseCheckpointSaver, str]]:
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        await saver.setup()
        settings = []
        for pragma in ["journal_mode", "synchronous"]:
            async with saver.conn.execute(f"PRAGMA {pragma}") as rows:
                settings.append(f"{pragma}={(await rows.fetchone())[0]}")
        yield saver, f"SQLite: {', '.join(settings)} (2 is FULL)"


@asynccontextmanager
async def on_postgres(programs: Path, folder: Path) -> AsyncIterator[tuple[BaseCheckpointSaver, str]]:
    # Reached through a socket in the folder, and by nothing else.
    address = f"host={folder} user=postgres dbname=postgres"
    # PostgreSQL refuses to be root.
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-instructions"]
    subprocess.run(initdb, user=user, cwd=folder, stdout=sys.stderr, check=True)
    serve = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="]
    server = subprocess.Popen(serve, user=user, cwd=folder, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        ready = [programs / "pg_isready", "-q", "-h", folder, "-U", "postgres"]
        for _ in range(TRIES):
            if subprocess.run(ready).returncode == 0:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        # One connection: the saver never uses two at a time, also of a pool.
        async with AsyncPostgresSaver.from_conn_string(address) as saver:
            await saver.setup()
            settings = []
            for setting in ["server_version", "fsync", "synchronous_commit"]:
                rows = await saver.conn.execute(f"SHOW {setting}")
                settings.append(f"{setting}={(await rows.fetchone())[setting]}")
            yield saver, f"PostgreSQL: {', '.join(settings)}"
    finally:
        server.terminate()
        server.wait()


async def main() -> None:
    match sys.argv[1:]:
        case ["sqlite", folder]:
            saver = on_sqlite(Path(folder))
        case ["postgres", programs, folder]:
            saver = on_postgres(Path(programs), Path(folder))
        case _:
            sys.exit(__doc__)
    async with saver as (saver, settings):
        sequence = program(saver)
        print(f'langgraph {version("langgraph")}, durability="sync", {settings}', flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await play(sequence, json.loads(line))), flush=True)


asyncio.run(main())
