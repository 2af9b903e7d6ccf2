"""Programs of LangGraph's shape, of either library: what they import is handed to them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.types import StreamWriter


def asked(result: Any) -> Any:
    """The values of questions; their ids are not the same."""
    if isinstance(result, dict) and "__interrupt__" in result:
        return {"__interrupt__": [one.value for one in result["__interrupt__"]]}
    return result


def essay(of: SimpleNamespace) -> Any:
    """The program of LangGraph's tutorial on the functional API."""

    @of.task
    def write_essay(topic: str) -> str:
        of.get_stream_writer()({"writing": topic})
        return f"An essay about topic: {topic}"

    @of.entrypoint()
    def workflow(topic: str) -> dict[str, Any]:
        essay = write_essay(topic).result()
        approved = of.interrupt({"essay": essay, "action": "approve?"})
        return {"essay": essay, "is_approved": approved}

    config = {"configurable": {"thread_id": "essay"}}
    return [
        [asked(item) for item in workflow.stream("cat", config)],
        workflow.get_state(config).values,
        [one.value for one in workflow.get_state(config).interrupts],
        asked(workflow.invoke(None, config)),
        [asked(item) for item in workflow.stream(of.Command(resume=True), config)],
        workflow.get_state(config).values,
        workflow.get_state(config).next,
    ]


def remembering(of: SimpleNamespace) -> Any:
    """What is saved, and how it is edited by hand."""

    @of.entrypoint()
    def workflow(number: int, *, previous: Any = None) -> Any:
        return of.final(value=previous or 0, save=2 * number)

    config: RunnableConfig = {"configurable": {"thread_id": "number"}}
    results: list[Any] = [workflow.invoke(3, config), workflow.invoke(1, config)]
    history = [state.values for state in workflow.get_state_history(config)]
    # LangGraph writes a checkpoint for the input as well.
    results.append([history[0], history[-1] in (0, None, {})])
    old = workflow.get_state(config).config
    workflow.invoke(7, config)
    results.append(workflow.invoke(0, old))
    workflow.update_state(config, 40)
    results.append(workflow.invoke(0, config))
    unknown: RunnableConfig = {"configurable": {"thread_id": "unknown"}}
    results.append((workflow.get_state(unknown).values, workflow.get_state(unknown).next))
    results.append(list(workflow.get_state_history(unknown)))
    return results


def streaming(of: SimpleNamespace) -> Any:
    """Each stream mode, alone and together."""

    @of.task
    def one(number: int) -> int:
        of.get_stream_writer()({"at": number})
        return number + 1

    @of.entrypoint()
    def workflow(number: int, *, writer: StreamWriter) -> int:
        writer("begin")
        return int(one(one(number).result()).result())

    def stream(mode: Any) -> Any:
        config = {"configurable": {"thread_id": f"stream {mode}"}}
        return list(workflow.stream(1, config, stream_mode=mode))

    return [stream("updates"), stream("values"), stream("custom"), stream(["custom", "updates"])]


def two_questions(of: SimpleNamespace) -> Any:
    """Several questions of one run, one after the other."""

    @of.entrypoint()
    def workflow(_: Any) -> list[Any]:
        return [of.interrupt("first"), of.interrupt("second")]

    config = {"configurable": {"thread_id": "two"}}
    return [
        asked(workflow.invoke("go", config)),
        asked(workflow.invoke(of.Command(resume=0), config)),
        asked(workflow.invoke(of.Command(resume=""), config)),
        # A new input gives up on what was asked before.
        asked(workflow.invoke("again", config)),
        asked(workflow.invoke("and again", config)),
        asked(workflow.invoke(of.Command(resume="x"), config)),
        asked(workflow.invoke(of.Command(resume="y"), config)),
        # There is nothing to answer any more.
        asked(workflow.invoke(of.Command(resume="late"), config)),
    ]


def asynchronous(of: SimpleNamespace) -> Any:
    """Asynchronous tasks, in parallel, with retries."""
    attempts: list[int] = []

    @of.task(retry_policy=of.RetryPolicy(initial_interval=0.01, retry_on=ValueError))
    async def flaky(number: int) -> int:
        attempts.append(number)
        if attempts.count(number) < 2:
            raise ValueError(number)
        return number

    @of.entrypoint()
    async def workflow(numbers: list[int]) -> list[int]:
        return await asyncio.gather(*(flaky(number) for number in numbers))

    async def main() -> Any:
        config = {"configurable": {"thread_id": "async"}}
        result = await workflow.ainvoke([1, 2, 3], config)
        streamed = [item async for item in workflow.astream([4], config)]
        state = await workflow.aget_state(config)
        return [result, sorted(attempts), streamed, state.values]

    results = asyncio.run(main())
    # LangGraph names what it streams of asynchronous entrypoints after itself.
    (output,) = results[2].pop().values()
    return [*results, output]


def failing(of: SimpleNamespace) -> Any:
    """A task that fails, and is run again by a call without input."""
    calls: list[str] = []

    @of.task
    def works() -> str:
        calls.append("works")
        return "done"

    @of.task
    def fails() -> str:
        calls.append("fails")
        if calls.count("fails") == 1:
            raise ArithmeticError("this time")
        return "mended"

    @of.entrypoint()
    def workflow(_: Any) -> list[str]:
        return [works().result(), fails().result()]

    config = {"configurable": {"thread_id": "failing"}}
    with pytest.raises(ArithmeticError, match=r"^this time") as failed:
        workflow.invoke("go", config)
    state = workflow.get_state(config)
    return [
        failed.value.args,
        [state.values, state.next, [task.error is not None for task in state.tasks]],
        workflow.invoke(None, config),
        calls,
        workflow.invoke(None, config),
        [task.error for task in workflow.get_state(config).tasks],
    ]


def own_errors(of: SimpleNamespace) -> Any:
    """Types of errors that the program made itself, out of streams and batches too."""

    @of.entrypoint()
    def workflow(card: int) -> str:
        if card:
            raise OutOfMoney(card)
        return "paid"

    caught: list[Any] = []
    for call in (
        lambda config: workflow.invoke(1, config),
        lambda config: list(workflow.stream(2, config, stream_mode="values")),
        lambda config: workflow.batch([0, 3], [config, {"configurable": {"thread_id": "b"}}]),
    ):
        try:
            call({"configurable": {"thread_id": f"own {len(caught)}"}})
        except OutOfMoney as error:
            caught.append((str(error), error.args))

    @of.task
    def look_up(key: str) -> None:
        raise KeyError(key, 7)

    @of.entrypoint()
    def looking(key: str) -> Any:
        try:
            look_up(key).result()
        except KeyError as error:
            return [str(error), list(error.args), repr(error)]

    caught.append(looking.invoke("k", {"configurable": {"thread_id": "looking"}}))
    both = [{"configurable": {"thread_id": f"batch {number}"}} for number in range(2)]
    return [caught, workflow.batch([0, 0], both)]


class OutOfMoney(Exception):
    """An error that is made in its own way."""

    def __init__(self, card: int) -> None:
        super().__init__(f"card {card} is empty")


def settings(of: SimpleNamespace) -> Any:
    """What a call is given beside its input."""

    @of.task
    def told(*, config: RunnableConfig) -> Any:
        return [config["metadata"].get("tag"), config.get("tags")]

    @of.entrypoint()
    def workflow(_: Any, *, config: RunnableConfig) -> Any:
        configurable = config["configurable"]
        mine = {name: configurable.get(name) for name in ("thread_id", "user", "depth")}
        return [mine, config["metadata"].get("tag"), config.get("tags"), told().result()]

    configurable = {"thread_id": "settings", "user": "u", "depth": 3}
    config = {"configurable": configurable, "metadata": {"tag": "t"}, "tags": ["a", "b"]}
    results = [workflow.invoke("go", {**config, "recursion_limit": 50})]
    results.append(workflow.invoke("go", {"thread_id": "plain", "user": "v"}))
    return [*results, workflow.get_state({"configurable": {"thread_id": "plain"}}).values[0]]


def threads(of: SimpleNamespace) -> Any:
    """Blocking code that waits for tasks as they are done, and has threads inside of them."""

    @of.task
    def powers(base: int) -> list[int]:
        with ThreadPoolExecutor(4) as threads:
            return sorted(threads.map(pow, [base] * 4, range(4)))

    @of.entrypoint()
    def workflow(bases: list[int]) -> Any:
        calls = [powers(base) for base in bases]
        by_turns = sorted(call.result() for call in as_completed(calls))
        done, left = wait([powers(base) for base in bases])
        return [by_turns, sorted(call.result() for call in done), len(left)]

    config = {"configurable": {"thread_id": "threads"}}
    return workflow.invoke([2, 3], config)
