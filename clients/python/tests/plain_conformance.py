"""What every worker can do, hosted by `examples/worker-python`; see `worker-conformance`."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "worker-python"))
plain: Any = importlib.import_module("worker")


async def echo(value: Any, _key: str, _attempt: int) -> Any:
    return value


async def unsteady(attempts: int, _key: str, attempt: int) -> int:
    if attempt < attempts:
        raise plain.Failure("UNSTEADY", "not yet", retryable=True)
    return attempt


async def refuse(reason: str, _key: str, _attempt: int) -> None:
    raise plain.Failure(reason, "as it was told")


async def execute(run: Any, step: dict[str, Any]) -> Any:
    ((what, value),) = step.items()
    match what:
        case "echo":
            return await run.call(echo, value)
        case "retry":
            return await run.call(unsteady, value, attempts=5)
        case "catch":
            try:
                await run.call(refuse, value)
            except plain.Failure as failure:
                return failure.told.reason
        case "both":
            calls = [run.call(echo, one) for one in value]
            return [await first for first in asyncio.as_completed(calls)]
        case "ask":
            return await run.interrupt(value)
    raise ValueError(f"there is no step `{what}`")


async def conformance(run: Any) -> list[Any]:
    run.save = json.loads(run.start.previous.json_text or "0") + len(run.input)
    return [await execute(run, step) for step in run.input]


if __name__ == "__main__":
    url = os.environ["WEFT_WORKFLOW_URL"]
    asyncio.run(plain.serve(url.removeprefix("http://"), {"conformance": conformance}))
