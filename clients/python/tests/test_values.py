"""Values that cannot be recorded or shown: their code is told, and its worker goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine import Engine, failed

from weft.func import entrypoint, get_stream_writer, task

LARGE = "x" * (9 * 1024 * 1024)
HALF_OF_A_PAIR = "\ud800"


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (LARGE, "PAYLOAD_TOO_LARGE", "9437186 bytes"),
        (HALF_OF_A_PAIR, "TASK_FAILED", "surrogates not allowed"),
        (object(), "TASK_FAILED", "`builtins:object` is not JSON"),
    ],
)
async def test_a_result_that_cannot_be_recorded_is_a_failure_of_its_task(
    value: Any, reason: str, said: str
) -> None:
    @task
    def make() -> Any:
        return value

    @entrypoint()
    def workflow(_: Any) -> Any:
        return make().result()

    failure = failed(await Engine(workflow).execute())
    assert (failure.reason, failure.task) == (reason, "make")
    assert "the result of task `make`" in failure.message
    assert said in failure.message


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (LARGE, "PAYLOAD_TOO_LARGE"),
        (HALF_OF_A_PAIR, "ENTRYPOINT_FAILED"),
        (object(), "ENTRYPOINT_FAILED"),
    ],
)
async def test_an_output_that_cannot_be_recorded_fails_its_run(value: Any, reason: str) -> None:
    @entrypoint()
    def workflow(which: str) -> Any:
        value_, save = (value, 1) if which == "value" else (1, value)
        return entrypoint.final(value=value_, save=save)

    for which, what in (("value", "the output"), ("save", "the saved value")):
        failure = failed(await Engine(workflow, which).execute())
        assert failure.reason == reason
        assert what in failure.message


async def test_an_argument_can_be_anything_and_is_shown_as_far_as_it_can_be() -> None:
    ring: list[Any] = []
    ring.append(ring)

    @task
    def size(value: Any) -> int:
        return len(value)

    @entrypoint()
    def workflow(_: Any) -> list[int]:
        return [size(value).result() for value in (HALF_OF_A_PAIR, LARGE, ring)]

    engine = Engine(workflow)
    assert await engine.output() == [1, len(LARGE), 1]
    shown = [json.loads(emit.task_started.input.json_text) for emit in engine.emitted]
    assert [one["__weft__"] for one in shown] == ["opaque"] * 3
    assert await engine.output() == [1, len(LARGE), 1], "and replays"


async def test_what_cannot_be_written_to_a_stream_is_an_error_where_it_is_written() -> None:
    @entrypoint()
    def workflow(_: Any) -> str:
        try:
            get_stream_writer()(HALF_OF_A_PAIR)
        except TypeError as error:
            return str(error)
        return "written"

    assert "what is written cannot be recorded" in await Engine(workflow).output()
