"""Programs that move over by changing where they import from, run by both libraries."""

from __future__ import annotations

import importlib.util
import re
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from services import Cluster

#: Where a program imports from that moves over.
MOVED = re.compile(r"from langgraph\.(func|types|config|runtime) import")

CHAT = """
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph.message import add_messages

@task
def call_model(messages: list[BaseMessage]) -> BaseMessage:
    return AIMessage(f"answer {len(messages)}", id=f"a{len(messages)}")

@entrypoint(checkpointer=InMemorySaver())
def chatting(
    inputs: list[BaseMessage], *, previous: list[BaseMessage] | None
) -> entrypoint.final[BaseMessage, list[BaseMessage]]:
    messages = add_messages(previous or [], inputs)
    answer = call_model(messages).result()
    return entrypoint.final(value=answer, save=add_messages(messages, answer))

config = {"configurable": {"thread_id": "chat"}}
for text in ("hello", "again"):
    for chunk in chatting.stream([HumanMessage(text, id=text)], config, stream_mode="values"):
        results.append((type(chunk).__name__, chunk.content))
results.append(chatting.get_state(config).values.content)
"""

REVIEW = """
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.types import Command, interrupt

steps = []

@task
def propose(number: int) -> dict:
    steps.append(number)
    return {"id": number, "args": {"amount": 10 * number}}

def review(call: dict):
    answer = interrupt({"question": "is it right?", "call": call})
    if answer["action"] == "continue":
        return call
    if answer["action"] == "update":
        return {**call, "args": answer["data"]}
    return None

@entrypoint(checkpointer=InMemorySaver())
def reviewing(count: int):
    calls = [call.result() for call in [propose(number) for number in range(count)]]
    kept = [review(call) for call in calls]
    age = "how old?"
    while True:
        answer = interrupt(age)
        if isinstance(answer, int):
            return {"kept": kept, "age": answer}
        age = f"{answer!r} is no age"

config = {"configurable": {"thread_id": "review"}}
answers = [
    Command(resume={"action": "continue"}),
    Command(resume={"action": "update", "data": {"amount": 1}}),
    Command(resume="old"),
    Command(resume=7),
]
for given in [2, *answers]:
    for item in reviewing.stream(given, config):
        if "__interrupt__" in item:
            results.append([one.value for one in item["__interrupt__"]])
        elif "propose" not in item:
            results.append(item)
results.append(sorted(steps))
results.append([reviewing.get_state(config).values, reviewing.get_state(config).next])
"""

RUNTIME = """
from dataclasses import dataclass
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config, get_store, get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import StreamWriter

@dataclass
class Context:
    user: str
    limit: int = 3

@task
def remember(text: str) -> int:
    runtime = get_runtime(Context)
    get_store().put(("notes", runtime.context.user), text, {"text": text})
    get_stream_writer()({"remembered": text, "by": get_config()["configurable"]["role"]})
    return len(runtime.store.search(("notes", runtime.context.user)))

@entrypoint(checkpointer=InMemorySaver(), store=InMemoryStore(), context_schema=Context)
def noting(text: str, *, runtime: Runtime[Context], writer: StreamWriter, config, store) -> dict:
    writer("begin")
    count = remember(text).result()
    return {
        "user": runtime.context.user,
        "limit": runtime.context.limit,
        "count": count,
        "thread": config["configurable"]["thread_id"],
        "same": store is runtime.store,
        "previous": runtime.previous,
    }

config = {"configurable": {"thread_id": "notes", "role": "tester"}}
for context in (Context("ada"), {"user": "ada", "limit": 5}, Context("bob")):
    modes = ["custom", "values"]
    text = f"{context}"
    results.extend(noting.stream(text, config, context=context, stream_mode=modes))
"""

FAILURES = """
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.types import RetryPolicy

calls = []

class Away(Exception):
    pass

@task
def slow() -> str:
    calls.append("slow")
    return "done"

@task(retry_policy=RetryPolicy(retry_on=Away, initial_interval=0.01, jitter=False))
def unsteady() -> str:
    calls.append("unsteady")
    if calls.count("unsteady") < 3:
        raise Away("away")
    return "steady"

@task
def fails_once() -> str:
    calls.append("fails_once")
    if calls.count("fails_once") == 1:
        raise ValueError("not now")
    return "works"

@entrypoint(checkpointer=InMemorySaver())
def failing_program(text: str) -> list:
    first = slow().result()
    try:
        raise KeyError
    except KeyError:
        second = unsteady().result()
    return [text, first, second, fails_once().result()]

config = {"configurable": {"thread_id": "failures"}}
try:
    failing_program.invoke("go", config)
except Exception as error:
    results.append("not now" in str(error))
results.append(calls.copy())
results.append(failing_program.invoke(None, config))
results.append(calls.copy())
"""

TRAVEL = """
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task

@task
def add(total: int, number: int) -> int:
    return total + number

@entrypoint(checkpointer=InMemorySaver())
def adding(number: int, *, previous: int | None = None) -> int:
    return add(previous or 0, number).result()

config = {"configurable": {"thread_id": "travel"}}
results.extend(adding.invoke(number, config) for number in (1, 10, 100))
sums = [state for state in adding.get_state_history(config) if state.next == ()]
results.append([state.values for state in sums])
results.append(adding.invoke(5, sums[-1].config))
results.append(adding.invoke(0, config))
adding.update_state(config, 40)
results.append(adding.get_state(config).values)
results.append(adding.invoke(2, config))
"""

COMPOSED = """
import asyncio
from typing import TypedDict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import StateGraph

class State(TypedDict):
    number: int

builder = StateGraph(State)
builder.add_node("double", lambda state: {"number": 2 * state["number"]})
builder.set_entry_point("double")
graph = builder.compile()

@task
async def slow_square(number: int) -> int:
    await asyncio.sleep(0)
    return number * number

@entrypoint()
async def squares(numbers: list) -> list:
    return await asyncio.gather(*(slow_square(number) for number in numbers))

@entrypoint(checkpointer=InMemorySaver())
async def composed(numbers: list) -> dict:
    squared = await squares.ainvoke(numbers)
    return graph.invoke({"number": sum(squared)})

async def main():
    config = {"configurable": {"thread_id": "composed"}}
    results.append(await composed.ainvoke([1, 2, 3], config))
    state = await composed.aget_state(config)
    results.append(state.values)
    async for item in composed.astream([4], config, stream_mode="values"):
        results.append(item)

asyncio.run(main())
"""

CACHED = """
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.types import CachePolicy

calls = []

@task(cache_policy=CachePolicy(ttl=120))
def expensive(number: int) -> int:
    calls.append(number)
    return 2 * number

@entrypoint(checkpointer=InMemorySaver(), cache=InMemoryCache())
def caching(numbers: list) -> list:
    return [expensive(number).result() for number in numbers]

for thread in ("caching-1", "caching-2"):
    config = {"configurable": {"thread_id": thread}}
    results.extend(caching.stream([1, 2], config, stream_mode="updates"))
results.append(calls.copy())

@entrypoint(cache=InMemoryCache(), cache_policy=CachePolicy())
def cached_whole(number: int) -> int:
    calls.append("whole")
    return number + 1

calls.clear()
results.append([cached_whole.invoke(1), cached_whole.invoke(1), cached_whole.invoke(2)])
results.append(calls.copy())
"""


def outcome(program: str, folder: Path) -> list[Any]:
    """What a program, as a module of its own, leaves in `results`."""
    name = f"program_{uuid.uuid4().hex}"
    file = folder / f"{name}.py"
    file.write_text(f"results = []\n{program}")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    results: list[Any] = module.results
    return results


#: LangGraph itself needs it to find a run from within an asynchronous one.
CONTEXTS = pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks with contexts are of 3.11")


@pytest.mark.parametrize(
    "program",
    [CHAT, REVIEW, RUNTIME, FAILURES, TRAVEL, pytest.param(COMPOSED, marks=CONTEXTS), CACHED],
    ids=["chat", "review", "runtime", "failures", "travel", "composed", "cached"],
)
def test_only_imports_change(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    monkeypatch.setenv("WEFT_WORKFLOW_URL", cluster.workflow.address)
    moved = MOVED.sub("from weft.func import", program)
    assert moved != program
    assert outcome(moved, tmp_path) == outcome(program, tmp_path)
