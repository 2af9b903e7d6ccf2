"""`worker.py URL`: the worker process in Python of `make bench-worker`. It ends with its input."""

import asyncio
import sys

from weft.func import Worker, entrypoint, task

#: What a task returns: as many bytes of JSON as in `../sequence.rs`.
RESULT_BYTES = 254


@task
async def step(number: int) -> str:
    return "x" * RESULT_BYTES


@entrypoint()
async def sequence(arguments: list) -> int:
    tasks, _padding = arguments
    for number in range(tasks):
        await step(number)
    return tasks


@entrypoint()
async def parallel(arguments: list) -> int:
    tasks, _padding = arguments
    await asyncio.gather(*(step(number) for number in range(tasks)))
    return tasks


async def main() -> None:
    async with Worker(sequence, parallel, workflow=sys.argv[1]):
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
