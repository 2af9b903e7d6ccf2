"""A worker for tests that end it: tasks leave notes in a folder, and wait for its gate."""

import asyncio
import os
import sys
import time
from pathlib import Path

from weft.func import Worker, entrypoint, get_stream_writer, interrupt, task

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else ".")


def note(text: str) -> None:
    with (FOLDER / "notes").open("a") as notes:
        notes.write(f"{text}\n")


def pass_gate() -> str:
    while not (FOLDER / "gate").exists():
        time.sleep(0.01)
    return "opened"


@task
def first() -> str:
    note("first")
    get_stream_writer()("first is done")
    return "first"


@task
def gated() -> str:
    note("gated")
    return pass_gate()


@task
async def async_gated() -> str:
    note("gated")
    return await asyncio.to_thread(pass_gate)


@task
def last() -> str:
    note("last")
    get_stream_writer()("last is done")
    return "last"


@task
def pass_on(data: str) -> str:
    """Passes something on."""
    note(str(os.getpid()))
    pass_gate()
    return data


@entrypoint()
def blocking(_: object) -> list[str]:
    return [first().result(), gated().result(), last().result()]


@entrypoint()
async def asynchronous(_: object) -> list[str]:
    return [await first(), await async_gated(), await last()]


@entrypoint()
def asking(_: object) -> list[str]:
    return [first().result(), interrupt("go on?"), last().result()]


if __name__ == "__main__":
    Worker(blocking, asynchronous, asking, tasks=[pass_on]).serve()
