"""Failures: told whatever they are like, and the exceptions that they were in every replay."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from engine import Engine, calling, failed

from weft.func import (
    Failure,
    RetryPolicy,
    TaskFailed,
    entrypoint,
    get_runtime,
    task,
)


class Careless(Failure):
    """A failure that is not made as one."""

    def __init__(self) -> None:
        pass


def spoilt(name: str, value: Any) -> Failure:
    """A failure that was changed after it was made."""
    failure = Failure("REFUSED", "no")
    setattr(failure, name, value)
    return failure


class Frozen(Exception):
    """An exception that lets nobody write to it, nor read it."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class End(BaseException):
    """Not an `Exception`."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Careless(), "Careless: "),
        (spoilt("reason", None), "Failure: REFUSED: no"),
        (spoilt("reason", "\ud800"), "Failure: REFUSED: no"),
        (spoilt("metadata", 7), "Failure: REFUSED: no"),
        (spoilt("retry_after", float("nan")), "Failure: REFUSED: no"),
        (spoilt("message", "half \ud800"), "half ?"),
        (Frozen("cold"), "Frozen: cold"),
        (End("over"), "End: over"),
    ],
)
async def test_an_error_that_does_not_say_what_it_should_is_told_all_the_same(
    error: BaseException, told: str
) -> None:
    @task(retry_policy=RetryPolicy())
    def fails() -> None:
        raise error

    @entrypoint()
    def failing(_: Any) -> None:
        raise error

    for program, name in ((calling(fails)[0], "fails"), (failing, "")):
        failure = failed(await Engine(program).execute())
        assert told in failure.message
        assert failure.task == name
        assert not failure.retryable or isinstance(error, Failure)


async def test_a_failure_of_any_size_can_be_sent() -> None:
    many = {str(number): "x" * 100_000 for number in range(100)}

    @task
    def fails(metadata: dict[str, str]) -> None:
        raise Failure("REFUSED", "x" * 20_000_000, metadata=metadata)

    for metadata in ({"why": "y" * 20_000_000}, many):
        failure = failed(await Engine(calling(fails, metadata)[0]).execute())
        assert failure.reason == "REFUSED"
        assert failure.ByteSize() < 2_000_000


async def test_a_failure_of_a_program_s_own_type_is_caught_by_its_name_in_every_replay() -> None:
    @task
    def pay() -> None:
        raise CardRefused("4711", card=7)

    @entrypoint()
    def workflow(_: Any) -> Any:
        try:
            pay().result()
        except CardRefused as refused:
            is_of_task = isinstance(refused, TaskFailed)
            return [refused.reason, refused.metadata["card"], refused.task, is_of_task]

    engine = Engine(workflow)
    expected = ["CARD_REFUSED", "7", "pay", True]
    assert await engine.output() == expected
    assert await engine.output() == expected


class CardRefused(Failure):
    """A failure that is made in its own way."""

    def __init__(self, code: str, *, card: int) -> None:
        super().__init__("CARD_REFUSED", code, metadata={"card": str(card)})


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


async def test_only_tasks_have_an_attempt_number() -> None:
    @task
    def number() -> int:
        return get_runtime().attempt

    @entrypoint()
    def child(_: Any) -> int:
        return get_runtime().attempt

    @entrypoint()
    def workflow(_: Any) -> Any:
        numbers = [number().result(), child.invoke(0)]
        assert get_runtime().run_id, "the rest is told"
        with pytest.raises(RuntimeError, match="an entrypoint has no attempt number"):
            _ = get_runtime().attempt
        return numbers

    engine = Engine(workflow)
    assert await engine.output() == [1, 1]
    assert await engine.output() == [1, 1], "as in every replay"


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
