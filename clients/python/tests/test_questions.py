"""Questions: what code asks, and how it goes on with an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from engine import Engine, returned

from weft.func import (
    Program,
    entrypoint,
    interrupt,
    task,
)


def asking() -> list[Program]:
    @task
    def before(name: str) -> str:
        return name.upper()

    @entrypoint()
    def blocking(name: str) -> Any:
        said = before(name)
        answer = interrupt({"approve": name})
        return [said.result(), answer, interrupt("sure?")]

    @entrypoint()
    async def asynchronous(name: str) -> Any:
        said = before(name)
        answer = interrupt({"approve": name})
        return [await said, answer, interrupt("sure?")]

    return [blocking, asynchronous]


async def test_a_question_suspends_until_it_is_answered_and_null_is_an_answer() -> None:
    for program in asking():
        engine = Engine(program, "x")
        suspend = await engine.execute()
        (question,) = suspend.questions
        assert (question.call.id, question.value.json_text) == ("1", '{"approve":"x"}')
        assert len(engine.journal) == 1, "what was under way is recorded first"
        engine.answer(question, None)
        (second,) = (await engine.execute()).questions
        assert second.call.id == "2"
        engine.answer(second, {"yes": True})
        assert await engine.output() == ["X", None, {"yes": True}]


async def test_questions_of_parallel_tasks_are_open_at_once_and_answered_in_any_order() -> None:
    @task
    def ask(name: str) -> str:
        return f"{name}: {interrupt(name)}"

    @entrypoint()
    def blocking(names: list[str]) -> list[str]:
        asked = [ask(name) for name in names]
        return [one.result() for one in asked]

    @entrypoint()
    async def asynchronous(names: list[str]) -> list[str]:
        return await asyncio.gather(*(ask(name) for name in names))

    for program in (blocking, asynchronous):
        engine = Engine(program, ["a", "b"])
        first, second = (await engine.execute()).questions
        assert {(first.call.id, first.asked_by), (second.call.id, second.asked_by)} == {
            ("0/0", "ask"),
            ("1/0", "ask"),
        }
        for question in sorted((first, second), key=lambda one: one.call.id, reverse=True):
            engine.answer(question, question.call.id)
            last = await engine.execute()
        assert returned(last) == ["a: 0/0", "b: 1/0"]
