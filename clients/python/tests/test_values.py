"""Values that cannot be recorded or shown: their code is told, and its worker goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from engine import Engine, failed
from services import Cluster

from weft.client import AsyncClient
from weft.func import NotSerializable, entrypoint, get_stream_writer, interrupt, target, task

LARGE = "x" * (9 * 1024 * 1024)
HALF_OF_A_PAIR = "\ud800"


def ring() -> list[Any]:
    """A value that contains itself."""
    made: list[Any] = []
    made.append({"again": made})
    return made


class Odd(Mapping[str, Any]):
    """What cannot be looked into."""

    def __getitem__(self, key: str) -> Any:
        raise LookupError(key)

    def __iter__(self) -> Iterator[str]:
        raise ArithmeticError("no keys")

    def __len__(self) -> int:
        return 1


@dataclasses.dataclass
class Part:
    """Something with a name that may be anything."""

    name: Any


UNKEPT = [
    (HALF_OF_A_PAIR, "$", "has half of a surrogate pair"),
    ({"a": [1, 2, 3, HALF_OF_A_PAIR]}, "$.a[3]", "has half of a surrogate pair"),
    ({HALF_OF_A_PAIR: 1}, r"$['\ud800']", "has half of a surrogate pair"),
    ({"not a name": object()}, "$['not a name']", "is no JSON: a value of `builtins:object`"),
    ({None: {7: iter([])}}, "$[NoneType][7]", "a value of `builtins:list_iterator`"),
    ([Part("a"), Part(object())], "$[1].name", "is no JSON: a value of `builtins:object`"),
    ((one for one in "ab"), "$", "a value of `builtins:generator`"),
    ([10**5000], "$[0]", "Exceeds the limit"),
    ({"in": ring()}, "$.in[0].again", "contains itself"),
    ({"odd": Odd()}, "$.odd", "no keys"),
]


@pytest.mark.parametrize(("value", "path", "why"), UNKEPT)
async def test_a_result_that_cannot_be_recorded_fails_its_task_and_says_what_in_it(
    value: Any, path: str, why: str
) -> None:
    @task
    def make(_: Part) -> Any:
        return value

    @entrypoint()
    def workflow(_: Any) -> Any:
        return make(Part("")).result()

    failure = failed(await Engine(workflow).execute())
    assert (failure.reason, failure.task) == ("NOT_SERIALIZABLE", "make")
    assert failure.metadata["path"] == path
    assert f"the result of task `make` cannot be recorded: {path} " in failure.message
    assert why in failure.message


@pytest.mark.parametrize(("value", "path", "why"), UNKEPT)
async def test_an_output_that_cannot_be_recorded_fails_its_run_and_says_what_in_it(
    value: Any, path: str, why: str
) -> None:
    @entrypoint()
    def workflow(which: str) -> Any:
        value_, save = (value, 1) if which == "value" else (1, value)
        return entrypoint.final(value=value_, save=save)

    for which, what in (("value", "the output of `workflow`"), ("save", "what `workflow` saves")):
        failure = failed(await Engine(workflow, which).execute())
        assert (failure.reason, failure.metadata["path"]) == ("NOT_SERIALIZABLE", path)
        assert f"{what} cannot be recorded: {path} " in failure.message
        assert why in failure.message


async def test_what_is_too_large_is_a_failure_that_says_so() -> None:
    @task
    def make() -> str:
        return LARGE

    @entrypoint()
    def workflow(which: str) -> Any:
        if which == "result":
            return make().result()
        if which == "question":
            return interrupt(LARGE)
        return {
            "value": entrypoint.final(value=LARGE, save=1),
            "save": entrypoint.final(value=1, save=LARGE),
        }[which]

    for which in ("result", "question", "value", "save"):
        failure = failed(await Engine(workflow, which).execute())
        assert failure.reason == "PAYLOAD_TOO_LARGE", which
        assert "bytes" in failure.message


async def test_an_output_and_what_is_saved_may_both_be_as_large_as_a_value_can_be() -> None:
    @entrypoint()
    def workflow(_: Any) -> Any:
        largest = LARGE[: 8 * 1024 * 1024 - 2]
        return entrypoint.final(value=largest, save=largest)

    ended = await Engine(workflow, None).execute()
    assert len(ended.returned.saved.json_text) == 8 * 1024 * 1024


async def test_questions_that_are_too_large_together_are_a_failure() -> None:
    @task
    def ask() -> Any:
        return interrupt(LARGE[: 6 * 1024 * 1024])

    @entrypoint()
    def workflow(_: Any) -> Any:
        asked = [ask() for _ in range(3)]
        return [one.result() for one in asked]

    failure = failed(await Engine(workflow, None).execute())
    assert (failure.reason, "together" in failure.message) == ("PAYLOAD_TOO_LARGE", True)


async def test_a_value_that_cannot_be_kept_is_an_error_that_code_can_catch() -> None:
    @task
    def make() -> Any:
        return {"a": [object()]}

    @entrypoint()
    def workflow(_: Any) -> list[str]:
        caught = []
        for use in (make, lambda: interrupt(object()), lambda: target("llm/chat", object())):
            try:
                use().result()
            except NotSerializable as error:
                caught.append(f"{error.reason} {error.metadata['path']}")
        return caught

    engine = Engine(workflow)
    expected = ["NOT_SERIALIZABLE $.a[0]", "NOT_SERIALIZABLE $", "NOT_SERIALIZABLE $"]
    assert await engine.output() == expected
    assert await engine.output() == expected, "and in a replay"


async def test_an_argument_can_be_anything_and_is_shown_as_far_as_it_can_be() -> None:
    @task
    def size(value: Any) -> int:
        return len(value)

    @entrypoint()
    def workflow(_: Any) -> list[int]:
        return [size(value).result() for value in (HALF_OF_A_PAIR, LARGE, ring(), Odd())]

    engine = Engine(workflow)
    assert await engine.output() == [1, len(LARGE), 1, 1]
    shown = [json.loads(emit.task_started.input.json_text) for emit in engine.emitted]
    assert [one["__weft__"] for one in shown] == ["opaque"] * 4
    assert await engine.output() == [1, len(LARGE), 1, 1], "and replays"


async def test_what_cannot_be_written_to_a_stream_is_an_error_where_it_is_written() -> None:
    @entrypoint()
    def workflow(_: Any) -> str:
        try:
            get_stream_writer()({"said": HALF_OF_A_PAIR})
        except TypeError as error:
            return str(error)
        return "written"

    said = "what is written cannot be recorded: $.said has half of a surrogate pair"
    assert said in await Engine(workflow).output()


async def test_an_input_that_cannot_be_sent_is_refused_with_its_place(cluster: Cluster) -> None:
    @entrypoint(workflow=cluster.workflow.address)
    def workflow(_: Any) -> None:
        pass

    with pytest.raises(NotSerializable, match=r"the input cannot be recorded: \$\[1\] is no JSON"):
        await workflow.ainvoke([1, object()])
    async with AsyncClient(**cluster.addresses) as client:
        refused: list[tuple[Any, str, type[Exception]]] = [
            ({"a": [object()]}, r"\$\.a\[0\] is no JSON: Object of type object", TypeError),
            ([HALF_OF_A_PAIR], r"\$\[0\] has half of a surrogate pair", ValueError),
            ([float("nan")], r"\$\[0\] is no JSON: Out of range float", ValueError),
            (ring(), r"\$\[0\]\.again contains itself", ValueError),
        ]
        for value, place, error in refused:
            with pytest.raises(error, match=f"`input` cannot be sent: {place}"):
                await client.runs.start("chat", value)
