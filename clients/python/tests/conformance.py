"""What every worker can do, for `worker-conformance`; see the head of its `main.rs`."""

from __future__ import annotations

import asyncio
from typing import Any

from weft.func import (
    Failure,
    RetryPolicy,
    TaskFailed,
    Worker,
    entrypoint,
    get_runtime,
    get_stream_writer,
    interrupt,
    task,
)


@task
async def echo(value: Any) -> Any:
    return value


@task(retry_policy=RetryPolicy(initial_interval=0.01, backoff_factor=1, max_attempts=5))
def unsteady(attempts: int) -> int:
    attempt = get_runtime().attempt
    if attempt < attempts:
        raise Failure("UNSTEADY", "not yet", retryable=True)
    return attempt


@task
def refuse(reason: str) -> None:
    raise Failure(reason, "as it was told")


@task
async def tell(value: Any, writes: str) -> Any:
    """Tells what it is told, and its key."""
    if writes:
        get_stream_writer()(writes)
    return value, get_runtime().idempotency_key


@task(retry_policy=RetryPolicy(initial_interval=0.01, backoff_factor=1, max_attempts=5))
def falter(attempts: int) -> int:
    """Fails until an attempt."""
    attempt = get_runtime().attempt
    if attempt < attempts:
        raise Failure("UNSTEADY", "not yet", retryable=True)
    return attempt


@task
async def hang() -> None:
    """Never ends."""
    await asyncio.Event().wait()


async def execute(step: dict[str, Any]) -> Any:
    ((what, value),) = step.items()
    match what:
        case "echo":
            return await echo(value)
        case "retry":
            return await unsteady(value)
        case "catch":
            try:
                await refuse(value)
            except TaskFailed as failed:
                return failed.reason
        case "both":
            return [await first for first in asyncio.as_completed([echo(one) for one in value])]
        case "ask":
            return interrupt(value)
    raise ValueError(f"there is no step `{what}`")


@entrypoint()
async def conformance(steps: list[dict[str, Any]], *, previous: int | None) -> Any:
    results = [await execute(step) for step in steps]
    return entrypoint.final(value=results, save=(previous or 0) + len(steps))


if __name__ == "__main__":
    Worker(conformance, tasks=[tell, falter, hang]).serve()
