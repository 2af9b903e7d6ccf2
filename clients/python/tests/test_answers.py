"""Answers to what runs ask, over the real services."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
from services import PATIENCE, Cluster, until

import weft.func
from weft.client import Client, RunState
from weft.errors import FailedPrecondition, NotFound
from weft.func import entrypoint, interrupt, task


def test_several_questions_are_answered_by_their_ids(cluster: Cluster, unique: str) -> None:
    @task
    def ask(name: str) -> str:
        return f"{name} {interrupt(name)}"

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(names: list[str]) -> list[str]:
        asked = [ask(name) for name in names]
        return [one.result() for one in asked]

    config = {"configurable": {"thread_id": unique}}
    questions = workflow.invoke(["a", "b"], config)["__interrupt__"]
    assert {question.value: question.task for question in questions} == {"a": "ask", "b": "ask"}
    state = workflow.get_state(config)
    assert state.next == (unique,)
    assert {task.name for task in state.tasks} == {"ask"}
    answers = {question.id: f"is {question.value}" for question in questions}
    assert workflow.invoke(weft.func.Command(resume=answers), config) == ["a is a", "b is b"]


def test_a_run_that_goes_on_with_one_answer_takes_the_others(cluster: Cluster, unique: str) -> None:
    gate = threading.Event()

    @task
    def wait(name: str) -> str:
        assert gate.wait(PATIENCE)
        return name

    @task
    def ask(name: str) -> str:
        answer = interrupt(name)
        return f"{wait(name).result()} {answer}"

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(names: list[str]) -> list[str]:
        asked = [ask(name) for name in names]
        return [one.result() for one in asked]

    config = {"configurable": {"thread_id": unique}}
    asked = workflow.invoke(["a", "b", "c"], config)["__interrupt__"]
    ids = {one.value: one.id for one in asked}
    with (
        Client(**cluster.addresses) as client,
        concurrent.futures.ThreadPoolExecutor() as answering,
    ):
        (run,) = client.runs.list(thread_id=unique)
        try:
            going_on = client.runs.resume(run.id, answers={ids["a"]: 1})
            assert going_on.state in (RunState.QUEUED, RunState.RUNNING)
            assert {one.id for one in going_on.interrupts} == {ids["b"], ids["c"]}
            with pytest.raises(NotFound) as refused:
                client.runs.resume(run.id, answers={ids["a"]: 2})
            assert refused.value.reason == "INTERRUPT_NOT_FOUND"
            # The task of the first answer is at work until the gate is opened.
            until(lambda: client.runs.get(run.id).state is RunState.RUNNING, "the run")
            by_id = weft.func.Command(resume={ids["b"]: 2})
            second = answering.submit(workflow.invoke, by_id, config)
            until(lambda: len(client.runs.get(run.id).interrupts) == 1, "the second answer")
            third = answering.submit(workflow.invoke, weft.func.Command(resume=3), config)
            until(lambda: not client.runs.get(run.id).interrupts, "the third answer")
            with pytest.raises((NotFound, FailedPrecondition)):
                workflow.invoke(weft.func.Command(resume=4), config)
        finally:
            gate.set()
        expected = ["a 1", "b 2", "c 3"]
        assert (second.result(PATIENCE), third.result(PATIENCE)) == (expected, expected)
    # Now there is nothing to answer.
    assert workflow.invoke(weft.func.Command(resume=5), config) == expected
