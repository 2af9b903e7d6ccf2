"""The functional API over the real services."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph.message import add_messages
from services import Cluster

import weft.func
from weft.client import Client, RunState
from weft.errors import EmptyInput, RunFailed
from weft.func import entrypoint, get_runtime, task
from weft.store import WeftStore

#: What a program imports, and what it takes to run it.


@pytest.fixture
def store(cluster: Cluster) -> Iterator[WeftStore]:
    with WeftStore(cluster.memory.address) as store:
        yield store


def test_messages_of_langchain_are_inputs_results_and_what_is_saved(
    cluster: Cluster, store: WeftStore, unique: str
) -> None:
    @task
    def answer(messages: list[BaseMessage]) -> BaseMessage:
        assert all(isinstance(message, BaseMessage) for message in messages)
        return AIMessage(f"{len(messages)} so far")

    @entrypoint(store=store, name=unique, workflow=cluster.workflow.address)
    def workflow(said: list[BaseMessage], *, previous: Any, store: Any, config: Any) -> Any:
        assert config["configurable"]["user_id"] == "u"
        store.put((unique,), get_runtime().thread_id, {"said": len(said)})
        messages = add_messages(previous or [], said)  # type: ignore[arg-type]
        reply = answer(messages).result()  # type: ignore[arg-type]
        return entrypoint.final(value=reply, save=add_messages(messages, [reply]))  # type: ignore[arg-type]

    config = {"configurable": {"thread_id": unique, "user_id": "u"}}
    first = workflow.invoke([HumanMessage("hello")], config)
    assert isinstance(first, AIMessage)
    assert first.content == "1 so far"
    (second,) = workflow.stream([HumanMessage("again")], config, stream_mode="values")
    assert second.content == "3 so far"
    saved = workflow.get_state(config).saved
    assert [type(message) for message in saved] == [HumanMessage, AIMessage] * 2
    assert store.get((unique,), unique) is not None


@dataclasses.dataclass
class Order:
    """Something that a program of types passes around."""

    items: list[str]
    at: datetime.datetime
    due: datetime.timedelta | None = None


def test_dataclasses_times_and_sets_come_back_as_they_were(cluster: Cluster, unique: str) -> None:
    @task
    def late(order: Order) -> Order:
        return dataclasses.replace(order, due=datetime.timedelta(days=1))

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(order: Order) -> Any:
        changed = late(order).result()
        return {"order": changed, "labels": {"a", "b"}, "raw": b"\x00", "id": uuid.UUID(int=1)}

    order = Order(["tea"], datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc))
    result = workflow.invoke(order)
    assert result["order"] == dataclasses.replace(order, due=datetime.timedelta(days=1))
    assert (result["labels"], result["raw"]) == ({"a", "b"}, b"\x00")
    assert result["id"] == uuid.UUID(int=1)
    with Client(**cluster.addresses) as client:
        # A caller in another language sends plain JSON.
        plain = {"items": ["milk"], "at": "2026-01-02T00:00:00Z"}
        run = client.runs.invoke(unique, plain)
        assert run.result()["order"]["value"]["items"] == ["milk"]


def test_a_failure_carries_reason_task_and_traceback(cluster: Cluster, unique: str) -> None:
    @task
    def charge() -> None:
        raise weft.func.Failure("CARD_REFUSED", "no money", metadata={"card": "1"})

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(_: Any) -> None:
        charge().result()

    with pytest.raises(RunFailed, match="no money") as failed:
        workflow.invoke("go")
    assert failed.value.reason == "CARD_REFUSED"
    assert failed.value.metadata["card"] == "1"
    assert failed.value.run.error is not None
    assert failed.value.run.error.task == "charge"
    with pytest.raises(EmptyInput):
        workflow.invoke(None, {"configurable": {"thread_id": f"{unique}-fresh"}})


def test_a_definition_replaces_another_one_of_its_name(cluster: Cluster, unique: str) -> None:
    def define(answer: str) -> Any:
        @entrypoint(name=unique, workflow=cluster.workflow.address)
        def workflow(_: Any) -> str:
            return answer

        return workflow

    assert [define(answer).invoke("go") for answer in ("old", "new", "newer")] == [
        "old",
        "new",
        "newer",
    ]


def test_other_clients_start_what_a_script_hosts(cluster: Cluster, unique: str) -> None:
    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(value: dict[str, Any], *, config: Any) -> Any:
        """Doubles.

        More of it.
        """
        return [value, config["configurable"]["user_id"]]

    workflow.invoke({}, {"configurable": {"user_id": "me"}})
    with Client(**cluster.addresses) as client:
        run = client.runs.invoke(unique, {"a": 1}, config={"user_id": "you"})
        assert run.state is RunState.SUCCEEDED
        assert run.output == [{"a": 1}, "you"]
        (found,) = [one for one in client.entrypoints() if one.name == unique]
        assert (found.description, found.worker_count) == ("Doubles.", 1)


def test_what_a_model_writes_is_streamed_from_within_tasks(cluster: Cluster, unique: str) -> None:
    @task
    def answer(text: str) -> dict[str, Any]:
        return weft.func.ask_model(text, system="Be brief.").result()

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(text: str) -> dict[str, Any]:
        return answer(text).result()

    items = list(workflow.stream("hello there", stream_mode=["messages", "values"]))
    (output,) = [item for mode, item in items if mode == "values"]
    chunks = [item[0] for mode, item in items if mode == "messages"]
    # Pieces that are there at once come as one.
    assert chunks
    assert "".join(chunk.content for chunk in chunks) == output["content"]
    assert {chunk.id for chunk in chunks} == {output["id"]}


class Calling(BaseChatModel):
    """A model that calls a tool."""

    @property
    def _llm_type(self) -> str:
        return "calling"

    def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        call = {"name": "look", "args": {"at": 7}, "id": "c1"}
        message = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=message)])


def test_a_tool_that_a_model_calls_is_a_piece_of_its_message(cluster: Cluster, unique: str) -> None:
    @task
    def ask(text: str) -> int:
        return len(Calling().invoke(text).tool_calls)

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(text: str) -> int:
        # Here nothing of it is streamed: pieces are those of a task.
        return ask(text).result() + len(Calling().invoke(text).tool_calls)

    ((chunk, about),) = workflow.stream("hi", stream_mode="messages")
    assert about["langgraph_node"] == "ask"
    call = chunk.tool_call
    assert (call.index, call.id, call.name, call.arguments) == (0, "c1", "look", '{"at": 7}')


def test_tasks_and_checkpoints_can_be_watched(cluster: Cluster, unique: str) -> None:
    @task(retry_policy=weft.func.RetryPolicy(initial_interval=0.001, retry_on=ValueError))
    def flaky(text: str, *, times: int) -> str:
        if get_runtime().attempt < times:
            raise ValueError(text)
        return text.upper()

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(text: str) -> str:
        return flaky(text, times=2).result()

    config = {"configurable": {"thread_id": unique}}
    items = list(workflow.stream("a", config, stream_mode=["tasks", "checkpoints"]))
    steps = [item for mode, item in items if mode == "tasks"]
    starts = [step for step in steps if "input" in step]
    assert [(step["attempt"], step["input"]) for step in starts] == [
        (1, (("a",), {"times": 2})),
        (2, (("a",), {"times": 2})),
    ]
    ends = [(step["result"], step["error"]) for step in steps if "input" not in step]
    assert ends == [(None, "TASK_FAILED: ValueError: a"), ("A", None)]
    (checkpoint,) = [item for mode, item in items if mode == "checkpoints"]
    assert checkpoint["values"] == "A"
    assert workflow.get_state(checkpoint["config"]).values == "A"
    with pytest.raises(ValueError, match="there is no stream mode `debug`"):
        list(workflow.stream("a", stream_mode="debug"))


async def test_many_inputs_run_at_once_and_within_a_run_only_calls_are_recorded(
    cluster: Cluster, unique: str
) -> None:
    @entrypoint(name=unique, workflow=cluster.workflow.address)
    async def workflow(number: int) -> Any:
        if number < 0:
            return list(workflow.stream(1))
        return number * number

    assert await workflow.abatch([1, 2, 3]) == [1, 4, 9]
    with pytest.raises(RunFailed, match="within a run"):
        await workflow.ainvoke(-1)


class Several(Exception):
    """Made as an `ExceptionGroup` is: not by a message alone."""

    def __new__(cls, text: str, parts: list[Exception]) -> Several:
        if not isinstance(parts, list):
            raise ValueError("the parts must be a list")
        return super().__new__(cls, text, parts)


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _cannot_tell(error: BaseException) -> bool:
    raise RuntimeError("cannot tell")


@pytest.mark.parametrize("in_task", [True, False])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Several("several", [ValueError("one")]), "several"),
        (ValueError("half \ud800"), r"half \?"),
        (Speechless(), "Speechless"),
    ],
)
def test_an_error_that_cannot_be_kept_whole_is_a_failure_all_the_same(
    cluster: Cluster, unique: str, error: Exception, told: str, *, in_task: bool
) -> None:
    @task(retry_policy=weft.func.RetryPolicy(retry_on=_cannot_tell))
    def failing() -> None:
        raise error

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(in_task: bool) -> None:
        if in_task:
            failing().result()
        raise error

    with pytest.raises(Exception, match=told):
        workflow.invoke(in_task)
