"""Schemas of tasks on offer, made from their annotations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from weft.func import (
    task,
)
from weft.func.decorators import Task


def schema_of(offered: Task[..., Any]) -> Any:
    """The properties that are told of a task's arguments."""
    schema = json.loads(offered.definition.offered().input_schema.json_text)
    return schema["properties"]


def test_annotations_are_schemas() -> None:
    @task
    def everything(
        a: str | None,
        b: Sequence[float],
        c: dict[str, int],
        d: Literal[1, "x"],
        e: bool = True,
        f: Any = None,
        *,
        writer: Any = None,
    ) -> None: ...

    assert schema_of(everything) == {
        "a": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "b": {"type": "array", "items": {"type": "number"}},
        "c": {"type": "object", "additionalProperties": {"type": "integer"}},
        "d": {"enum": [1, "x"]},
        "e": {"type": "boolean"},
        "f": {},
    }


def test_models_of_pydantic_share_their_definitions() -> None:
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", number=(int, ...))
    outer = pydantic.create_model("Outer", inner=(inner, ...))

    def take(it: Any) -> None: ...

    take.__annotations__["it"] = outer
    schema = json.loads(task(take).definition.offered().input_schema.json_text)
    assert schema["properties"]["it"]["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert schema["$defs"]["Inner"]["properties"]["number"]["type"] == "integer"
