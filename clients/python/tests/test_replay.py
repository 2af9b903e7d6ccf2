"""What an execution of a run does with a journal, for blocking and for asynchronous code."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine import Engine, failed, paused, returned

from weft.func import (
    CachePolicy,
    Failure,
    Program,
    RetryPolicy,
    TaskFailed,
    entrypoint,
    get_runtime,
    interrupt,
    now,
    random,
    sleep,
    task,
    uuid,
)


def counted(calls: list[Any]) -> Any:
    @task
    def add(a: int, b: int) -> int:
        calls.append((a, b))
        return a + b

    return add


def both(calls: list[Any]) -> list[Program]:
    """The same program, blocking and asynchronous."""
    add = counted(calls)

    @task
    async def double(value: int) -> int:
        calls.append(value)
        return 2 * value

    @entrypoint()
    def blocking(value: int) -> int:
        first = add(value, 1).result()
        others = [add(first, 10), double(first)]
        return sum(other.result() for other in others)

    @entrypoint()
    async def asynchronous(value: int) -> int:
        first = await add(value, 1)
        return sum(await asyncio.gather(add(first, 10), double(first)))

    return [blocking, asynchronous]


async def test_results_are_recorded_under_their_place_and_never_made_again() -> None:
    calls: list[Any] = []
    for program in both(calls):
        calls.clear()
        engine = Engine(program, 1)
        assert await engine.output() == 16
        assert {entry.call.id: entry.call.task for entry in engine.journal} == {
            "0": "add",
            "1": "add",
            "2": "double",
        }
        assert len(calls) == 3
        assert await engine.output() == 16
        assert len(calls) == 3, "a replay runs nothing"


async def test_a_crash_repeats_only_what_was_not_recorded() -> None:
    calls: list[Any] = []
    for program in both(calls):
        engine = Engine(program, 1)
        assert await engine.execute(records=1) is None
        calls.clear()
        assert await engine.output() == 16
        assert (1, 1) not in calls


async def test_a_race_has_the_same_winner_in_every_replay() -> None:
    gates = {name: asyncio.Event() for name in "abc"}

    @task
    async def gated(name: str) -> str:
        await gates[name].wait()
        return name

    @task
    def seen(name: str) -> str:
        return name

    @entrypoint()
    async def race(names: list[str]) -> list[str]:
        racing = asyncio.as_completed([gated(name) for name in names])
        return [await seen(await first) for first in racing]

    engine = Engine(race, ["a", "b", "c"])
    running = asyncio.create_task(engine.output())
    for name in ("c", "a", "b"):
        gates[name].set()
        while not any(name in entry.outcome.value.json_text for entry in engine.journal):
            await asyncio.sleep(0)
    assert await running == ["c", "a", "b"]
    places = [(entry.call.id, entry.outcome.value.json_text) for entry in engine.journal]
    for _ in range(5):
        assert await engine.output() == ["c", "a", "b"]
    for length in range(len(engine.journal)):
        again = Engine(race, ["a", "b", "c"])
        again.run_id, again.journal = engine.run_id, engine.journal[:length]
        await again.output()
        # What was recorded before the crash stands at its place.
        assert places[:length] == [
            (entry.call.id, entry.outcome.value.json_text) for entry in again.journal[:length]
        ]


async def test_branches_make_their_calls_in_the_same_order_in_every_replay() -> None:
    reached = asyncio.Event()

    @task
    async def quick() -> None:
        pass

    @task
    async def slow() -> None:
        await reached.wait()

    @task(name="after quick")
    async def after_quick() -> None:
        reached.set()

    @task(name="after slow")
    async def after_slow() -> None:
        pass

    async def winding() -> None:
        await quick()
        # Many steps of the loop, which the other branch must not overtake.
        for _ in range(50):
            await asyncio.sleep(0)
        await after_quick()

    async def straight() -> None:
        await slow()
        await after_slow()

    @entrypoint()
    async def workflow(_: Any) -> None:
        await asyncio.gather(winding(), straight())

    engine = Engine(workflow)
    await engine.output()
    assert {entry.call.id: entry.call.task for entry in engine.journal} == {
        "0": "quick",
        "1": "slow",
        "2": "after quick",
        "3": "after slow",
    }
    # Recorded right after one another: nothing but the order keeps them apart.
    engine.journal.sort(key=lambda entry: entry.call.id)
    for length in range(len(engine.journal) + 1):
        again = Engine(workflow)
        again.run_id, again.journal = engine.run_id, engine.journal[:length]
        await again.output()


async def test_blocking_code_gets_the_next_result_only_when_it_waits() -> None:
    gate = threading.Event()

    @task
    def quick() -> None:
        pass

    @task
    def slow() -> None:
        gate.wait(20)

    @task
    def say(text: str) -> str:
        return text

    @entrypoint()
    def workflow(_: Any) -> str:
        one, other = quick(), slow()
        one.result()
        is_early = other.done()
        gate.set()
        other.result()
        return say("early" if is_early else "late").result()

    engine = Engine(workflow)
    assert await engine.output() == "late"
    engine.journal.pop()
    for _ in range(10):
        again = Engine(workflow)
        again.journal = engine.journal[:]
        assert await again.output() == "late"


async def test_code_that_changed_is_a_mismatch_that_names_both() -> None:
    calls: list[Any] = []
    engine = Engine(both(calls)[0], 1)
    await engine.output()

    @task
    def subtract(a: int, b: int) -> int:
        return a - b

    @entrypoint()
    def renamed(value: int) -> int:
        return subtract(value, 1).result()

    engine.program = renamed
    failure = paused(await engine.execute())
    assert failure.reason == "NON_DETERMINISTIC"
    assert "`add`" in failure.message
    assert "`subtract`" in failure.message
    assert (failure.metadata["recorded_task"], failure.metadata["task"]) == ("add", "subtract")


async def test_calls_that_are_not_made_again_are_a_mismatch() -> None:
    @entrypoint()
    def shorter(value: int) -> int:
        return value

    for program in both([]):
        engine = Engine(program, 1)
        await engine.output()
        engine.program = shorter
        finish = await engine.execute()
        assert "3 recorded call(s) were not made again" in paused(finish).message
        assert finish.replayed_count == 0


async def test_another_argument_is_a_warning_or_in_strict_runs_a_mismatch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = both([])[1]
    engine = Engine(program, 1)
    await engine.output()
    engine.input = 2
    assert await engine.output() == 16
    assert "another argument" in caplog.text
    engine.more = {"strict": True}
    assert "another argument" in paused(await engine.execute()).message


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


async def test_a_failure_replays_as_the_exception_that_it_was() -> None:
    calls: list[str] = []

    @task
    def fails(kind: str) -> None:
        calls.append(kind)
        if kind == "value":
            raise ValueError("not that")
        if kind == "decode":
            b"\xff".decode()
        raise Failure("REFUSED", "no", metadata={"who": "me"})

    @entrypoint()
    def catches(_: Any) -> list[str]:
        caught = []
        for kind in ("value", "decode", "own"):
            try:
                fails(kind).result()
            except UnicodeDecodeError:
                caught.append("decode")
            except ValueError as error:
                caught.append(str(error))
            except TaskFailed as error:
                caught.append(f"{error.reason} {error.metadata['who']} {error.task}")
        return caught

    engine = Engine(catches)
    expected = ["not that", "decode", "REFUSED me fails"]
    assert await engine.output() == expected
    assert await engine.output() == expected
    assert calls == ["value", "decode", "own"]
    failure = engine.journal[0].outcome.failure
    assert (failure.reason, failure.task, failure.call_id) == ("TASK_FAILED", "fails", "0")
    assert "ValueError" in failure.metadata["traceback"] or "fails" in failure.message


async def test_a_failure_that_is_not_caught_fails_the_run_and_names_the_task() -> None:
    @task
    def fails() -> None:
        raise KeyError("gone")

    @entrypoint()
    def workflow(_: Any) -> None:
        fails().result()

    failure = failed(await Engine(workflow).execute())
    assert (failure.task, failure.call_id, failure.reason) == ("fails", "0", "TASK_FAILED")
    assert failure.metadata["exception"] == "builtins:KeyError"


async def test_a_policy_retries_what_it_applies_to() -> None:
    attempts: list[int] = []

    @task(retry_policy=RetryPolicy(max_attempts=3))
    def flaky(error: str) -> int:
        attempts.append(get_runtime().attempt)
        if error == "program":
            raise ValueError
        if len(attempts) < 3:
            raise ConnectionError
        return len(attempts)

    @entrypoint()
    def workflow(error: str) -> int:
        return flaky(error).result()

    assert await Engine(workflow, "network").output() == 3
    assert attempts == [1, 2, 3]
    attempts.clear()
    failed(await Engine(workflow, "program").execute())
    assert attempts == [1]


async def test_an_attempt_that_takes_too_long_is_a_failure() -> None:
    @task(timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    @entrypoint()
    async def workflow(_: Any) -> None:
        await slow()

    assert failed(await Engine(workflow).execute()).reason == "TASK_TIMEOUT"
    with pytest.raises(ValueError, match="asynchronous"):
        task(name="x", timeout=1)(lambda: None)


async def test_cached_results_are_shared_with_other_runs() -> None:
    calls: list[int] = []

    @task(cache_policy=CachePolicy(ttl=60))
    def costly(value: int) -> int:
        calls.append(value)
        return value * value

    @entrypoint()
    def workflow(value: int) -> int:
        return int(costly(value).result())

    first, second = Engine(workflow, 3), Engine(workflow, 3)
    second.cache = first.cache
    assert await first.output() == 9
    assert await second.output() == 9
    assert calls == [3]
    second.input, second.journal = 4, []
    assert await second.output() == 16


async def test_tasks_call_tasks_and_entrypoints_call_entrypoints() -> None:
    calls: list[Any] = []
    add = counted(calls)

    @task
    def outer(value: int) -> int:
        return int(add(value, 1).result() + add(value, 2).result())

    @entrypoint()
    async def child(value: int, *, previous: Any) -> Any:
        assert previous is None
        return entrypoint.final(value=await outer(value), save="not seen")

    @entrypoint()
    async def parent(value: int) -> Any:
        return [await child.ainvoke(value), await outer(10)]

    engine = Engine(parent, 1)
    assert await engine.execute(records=2) is None
    calls.clear()
    assert await engine.output() == [5, 23]
    assert calls == [(10, 1), (10, 2)]
    ids = [entry.call.id for entry in engine.journal]
    assert ids == ["0/0/0", "0/0/1", "0/0", "0", "1/0", "1/1", "1"]
    assert await engine.output() == [5, 23]


async def test_what_is_derived_or_recorded_is_the_same_in_every_replay() -> None:
    @entrypoint()
    async def workflow(_: Any) -> Any:
        moment = await now()
        await sleep(0.01)
        return [str(moment), str(uuid()), str(uuid()), random(), str(await now() > moment)]

    engine = Engine(workflow)
    first = await engine.output()
    assert first[1] != first[2]
    assert first[-1] == "True"
    assert await engine.output() == first
    assert [entry.call.task for entry in engine.journal] == ["now", "sleep", "wake", "now"]


async def test_a_long_sleep_gives_the_worker_back() -> None:
    @entrypoint()
    def workflow(_: Any) -> str:
        sleep(3600).result()
        return "awake"

    engine = Engine(workflow)
    suspend = await engine.execute()
    assert suspend.wake_time.ToSeconds() > time.time() + 3000
    (entry,) = engine.journal
    entry.outcome.value.json_text = str(int(time.time() * 1e6))
    assert await engine.output() == "awake"


async def test_finished_siblings_of_a_failure_are_recorded() -> None:
    release = threading.Event()

    @task
    def fails() -> None:
        release.set()
        raise ValueError

    @task
    def finishes() -> str:
        release.wait(20)
        return "done"

    @entrypoint()
    def workflow(_: Any) -> None:
        sibling = finishes()
        fails().result()
        sibling.result()

    engine = Engine(workflow)
    failed(await engine.execute())
    assert {entry.call.task for entry in engine.journal} == {"fails", "finishes"}


async def test_what_is_not_awaited_is_recorded_before_the_run_ends() -> None:
    add = counted([])

    @entrypoint()
    def workflow(_: Any) -> str:
        add(1, 2)
        return "done"

    engine = Engine(workflow)
    assert await engine.output() == "done"
    assert len(engine.journal) == 1
    assert await engine.output() == "done"


async def test_what_cannot_be_recorded_is_a_failure_that_says_so() -> None:
    @task
    def makes() -> object:
        return object()

    @entrypoint()
    def workflow(_: Any) -> None:
        makes().result()

    failure = failed(await Engine(workflow).execute())
    assert "the result of task `makes` cannot be recorded" in failure.message
    with pytest.raises(RuntimeError, match="outside of an entrypoint"):
        makes()


async def test_calls_from_threads_of_the_code_are_refused() -> None:
    add = counted([])

    @entrypoint()
    async def workflow(_: Any) -> int:
        return await asyncio.to_thread(lambda: add(1, 2).result())

    failure = failed(await Engine(workflow).execute())
    assert "thread" in failure.message


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: entrypoint()(lambda: None), ValueError),
        (lambda: entrypoint(name="x")(lambda: None), ValueError),
        (lambda: entrypoint(name="x")(lambda a, b: None), TypeError),
        (lambda: task(name="x")(generator), NotImplementedError),
    ],
)
def test_functions_that_cannot_be_one_are_refused(
    wrong: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        wrong()


def generator() -> Any:
    yield 1
