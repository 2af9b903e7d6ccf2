"""Whatever fails, in the code or in the worker, ends the execution with a failure that says so."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import langchain_core.language_models  # noqa: F401
import pytest
from engine import PATIENCE, Engine, calling, failed, paused

from weft.func import (
    CachePolicy,
    RetryPolicy,
    _codec,
    _execution,
    _langchain,
    entrypoint,
    task,
)
from weft.func._offered import OfferedExecution
from weft.func._replay import Replay
from weft.workflow.v1 import worker_pb2 as pb


async def test_an_asynchronous_task_that_cannot_be_called_fails() -> None:
    @task
    async def greet(name: str, *, config: Any) -> str:
        return name

    for program in (*calling(greet), *calling(greet, 1, 2, 3), *calling(greet, nobody=1)):
        failure = failed(await Engine(program).execute())
        assert (failure.reason, failure.task) == ("TASK_FAILED", "greet")
        assert "argument" in failure.message


async def test_an_input_that_the_code_cannot_be_given_fails_the_run() -> None:
    @entrypoint()
    def blocking(_: Any) -> None: ...

    @entrypoint()
    async def asynchronous(_: Any) -> None: ...

    unknown = {"__weft__": "type:elsewhere:Order", "value": {}}
    for program in (blocking, asynchronous):
        failure = failed(await Engine(program, unknown).execute())
        assert failure.reason == "ENTRYPOINT_FAILED"
        assert "elsewhere:Order" in failure.message


class End(BaseException):
    """Not an `Exception`."""


def _raises(*_: Any) -> str:
    raise LookupError("no key")


@pytest.mark.parametrize(
    ("key_func", "told"),
    [(_raises, "no key"), (lambda _: 7, "`key_func` of task `costly` must return a string")],
)
async def test_a_key_function_that_fails_is_an_error_of_the_call(
    key_func: Callable[..., Any], told: str
) -> None:
    @task(cache_policy=CachePolicy(key_func=key_func))
    def costly(value: int) -> int:
        return value

    for program in calling(costly, 1):
        assert told in failed(await Engine(program).execute()).message


async def test_a_key_of_any_length_is_one() -> None:
    calls: list[str] = []

    @task(cache_policy=CachePolicy(key_func=lambda text: text))
    def costly(text: str) -> int:
        calls.append(text)
        return len(calls)

    @entrypoint()
    def workflow(_: Any) -> list[int]:
        texts = ["", "x" * 5000, "x" * 5001, "\ud800", "é" * 512, "", "x" * 5000, "\ud800"]
        return [costly(text).result() for text in texts]

    engine = Engine(workflow)
    assert await engine.output() == [1, 2, 3, 4, 5, 1, 2, 4]
    assert all(1 <= len(key.split("/", 1)[1].encode()) <= 1024 for key in engine.cache)


def _ends(_: BaseException) -> bool:
    raise End("of the policy")


async def test_a_policy_that_breaks_off_fails_the_run() -> None:
    @task(retry_policy=RetryPolicy(retry_on=_ends))
    def fails() -> None:
        raise ValueError

    for program in calling(fails):
        failure = failed(await Engine(program).execute())
        assert (failure.reason, failure.message) == ("WORKER_FAILED", "End: of the policy")


async def test_an_empty_sequence_of_policies_is_none() -> None:
    @task(retry_policy=[])
    def fails() -> None:
        raise ConnectionError("away")

    assert "away" in failed(await Engine(calling(fails)[0]).execute()).message


async def test_code_for_which_there_is_no_thread_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    @task
    def works() -> None: ...

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for program, name in zip(calling(works), ("", "works"), strict=True):
        engine = Engine(program)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            failure = failed(await engine.execute())
        assert failure.task == name
        assert "can't start new thread" in failure.message


@pytest.mark.parametrize(
    ("where", "name"),
    [(_codec, "shown"), (Replay, "release_next"), (Replay, "acknowledge"), (Replay, "wait")],
)
async def test_a_worker_that_fails_itself_ends_the_run_that_it_fails_at(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    gate = threading.Event()

    @task
    def works() -> bool:
        return gate.wait(PATIENCE)

    other = Engine(calling(works)[0])
    running = asyncio.create_task(other.output())
    while not hasattr(other, "execution") or not other.execution.attempts:
        await asyncio.sleep(0)

    whole = getattr(where, name)

    def broken(*args: Any) -> Any:
        if args[0] is other.execution.replay:
            return whole(*args)
        raise ZeroDivisionError("in the worker")

    @task
    async def quick() -> None: ...

    for program in calling(quick):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, broken)
            failure = failed(await Engine(program).execute())
        assert failure.reason == "WORKER_FAILED"
        assert "ZeroDivisionError: in the worker" in failure.message
    # The runs beside it are not touched.
    gate.set()
    assert await running is True


async def test_a_call_that_code_gives_up_does_no_harm() -> None:
    @task
    def works(value: int) -> int:
        return value

    @entrypoint()
    def workflow(_: Any) -> int:
        works(1).cancel()
        return works(2).result()

    assert await Engine(workflow).output() == 2


async def test_code_that_changed_is_noticed_also_if_it_was_at_work_when_it_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_execution, "HELD_BACK_LIMIT", 0.05)
    at_work, gate = asyncio.Event(), asyncio.Event()

    @task
    async def known() -> None: ...

    @task
    async def slow() -> None:
        at_work.set()
        await gate.wait()

    @entrypoint()
    async def workflow(_: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.01)
            await slow()

        await asyncio.gather(known(), later())

    engine = Engine(workflow)
    for call_id in ("5", "0"):
        call = pb.Call(id=call_id, kind=pb.Call.KIND_TASK, task="known")
        outcome = pb.Outcome()
        outcome.value.json_text = "null"
        engine.journal.append(pb.JournalEntry(call=call, outcome=outcome))
    running = asyncio.create_task(engine.execute())
    await at_work.wait()

    async def looked_at() -> None:
        while engine.execution._overdue is not None:
            await asyncio.sleep(0)

    await asyncio.wait_for(looked_at(), PATIENCE)
    gate.set()
    assert "the first is call 5" in paused(await running).message


async def attempt_of(offered: Any, text: str) -> pb.Failure:
    """Why an attempt of a task on offer failed."""
    inbox: asyncio.Queue[pb.ConnectRequest] = asyncio.Queue()
    run = pb.RunTask(run_id="r", call_id="0", task=offered.name, attempt=1)
    run.input.json_text = text
    loop = asyncio.get_running_loop()
    OfferedExecution(1, run, offered.definition, inbox.put_nowait, loop).run()
    message = await asyncio.wait_for(inbox.get(), PATIENCE)
    assert message.done.outcome.HasField("failure")
    return message.done.outcome.failure


async def test_a_task_on_offer_that_cannot_be_executed_fails() -> None:
    @task
    async def divide(number: int) -> Any:
        return object() if number == 0 else 1 / (number - 1)

    @task(retry_policy=RetryPolicy(retry_on=_ends))
    def fails() -> None:
        raise ValueError

    assert "unexpected keyword" in (await attempt_of(divide, '{"other": 1}')).message
    assert (await attempt_of(divide, '{"number": 0}')).reason == "NOT_SERIALIZABLE"
    assert (await attempt_of(divide, '{"number": 1}')).message.startswith("ZeroDivisionError")
    assert (await attempt_of(fails, "{}")).reason == "WORKER_FAILED"


async def test_a_langchain_that_cannot_be_listened_to_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "langchain_core.language_models" in sys.modules
    monkeypatch.setitem(sys.modules, "langchain_core.tracers._streaming", None)
    _langchain._listener.cache_clear()

    @task
    def works() -> str:
        return "done"

    try:
        for program in calling(works):
            assert await Engine(program).output() == "done"
    finally:
        _langchain._listener.cache_clear()
