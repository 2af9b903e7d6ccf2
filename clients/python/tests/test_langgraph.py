"""Programs of LangGraph, beside LangGraph's own API, which says what is right."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import langgraph.config
import langgraph.func
import langgraph.types
import library_programs
import programs
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from services import Cluster

import weft.func
from weft.func import entrypoint, interrupt, task

LANGGRAPH = SimpleNamespace(
    entrypoint=lambda: langgraph.func.entrypoint(checkpointer=InMemorySaver()),
    final=langgraph.func.entrypoint.final,
    task=langgraph.func.task,
    interrupt=langgraph.types.interrupt,
    Command=langgraph.types.Command,
    get_stream_writer=langgraph.config.get_stream_writer,
    RetryPolicy=langgraph.types.RetryPolicy,
)


NEEDS_311 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="LangGraph itself needs Python 3.11 for this"
)


@pytest.fixture
def weft_program(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setenv("WEFT_WORKFLOW_URL", cluster.workflow.address)
    monkeypatch.setenv("WEFT_MEMORY_URL", cluster.memory.address)
    return SimpleNamespace(
        final=entrypoint.final,
        task=task,
        interrupt=interrupt,
        Command=weft.func.Command,
        get_stream_writer=weft.func.get_stream_writer,
        RetryPolicy=weft.func.RetryPolicy,
    )


def named(results: Any, name: str) -> Any:
    """Results with the entrypoint's name as LangGraph has it."""
    if isinstance(results, dict):
        return {
            "workflow" if key == name else key: named(value, name) for key, value in results.items()
        }
    if isinstance(results, list | tuple):
        return type(results)(named(one, name) for one in results)
    return "workflow" if results == name else results


@pytest.mark.parametrize(
    "program",
    [
        programs.essay,
        programs.remembering,
        programs.streaming,
        programs.two_questions,
        pytest.param(programs.asynchronous, marks=NEEDS_311),
        programs.failing,
        programs.own_errors,
        programs.settings,
        programs.threads,
        library_programs.classes,
        pytest.param(library_programs.models, marks=NEEDS_311),
    ],
)
def test_a_program_of_langgraph_does_the_same(
    weft_program: SimpleNamespace, program: Callable[[SimpleNamespace], Any]
) -> None:
    expected = program(LANGGRAPH)
    names: list[str] = []

    def fresh() -> Any:
        names.append(f"e{uuid.uuid4().hex}")
        return entrypoint(name=names[-1])

    weft_program.entrypoint = fresh
    results = program(weft_program)
    assert named(results, names[-1]) == expected
