"""The plain clients of WorkflowService and ThreadService."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from services import Cluster, echo

from weft.client import (
    AsyncClient,
    Client,
    Concurrency,
    RunState,
    StateChanged,
    ThreadState,
    Update,
    Value,
)
from weft.client.starting import start_request
from weft.errors import InvalidArgument, NotFound, Unavailable


def test_a_run_is_invoked_and_its_thread_remembers_it(client: Client, unique: str) -> None:
    config = {"user_id": unique}
    run = client.runs.invoke(
        "chat", [echo("Hi! Remember: my name is Bob")], config=config, thread_id=unique
    )
    assert run.state is RunState.SUCCEEDED
    assert run.result()["content"].startswith("Hi Bob!")
    assert run.config == config
    thread = client.threads.get(unique)
    assert thread.state is ThreadState.IDLE
    assert thread.checkpoint is not None
    assert thread.checkpoint.value == run.output
    assert [message["role"] for message in thread.checkpoint.saved] == ["user", "assistant"]
    assert [found.id for found in client.runs.list(thread_id=unique)] == [run.id]
    (memory,) = client.memory.search(("memories", unique))
    assert memory.value == {"data": "Hi! Remember: my name is Bob"}


def test_a_repeat_with_the_same_request_id_starts_nothing(client: Client, unique: str) -> None:
    config = {"user_id": unique}
    first = client.runs.start("chat", "hello", config=config, request_id=unique)
    again = client.runs.start("chat", "hello", config=config, request_id=unique)
    assert first.id == again.id
    assert first.input == "hello"
    assert client.runs.wait(first.id).state is RunState.SUCCEEDED


def test_a_wait_is_no_longer_than_it_is_asked_to_be(client: Client, unique: str) -> None:
    later = datetime.now(timezone.utc) + timedelta(days=1)
    config = {"user_id": unique}
    began = time.monotonic()
    run = client.runs.invoke("chat", "hello", wait_timeout=0.2, config=config, start_after=later)
    assert not run.state.rests
    assert not client.runs.wait(run.id, timeout=0.2).state.rests
    # Half of what a single wait takes that is not bounded.
    assert time.monotonic() - began < 30
    client.runs.cancel(run.id)


def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2030, 1, 1, 12)
    with monkeypatch.context() as abroad:
        abroad.setenv("TZ", "EST5")
        time.tzset()
        request = start_request("chat", "hello", {"start_after": noon})
    time.tzset()
    assert request.start_after.ToDatetime() == datetime(2030, 1, 1, 17)


def test_errors_carry_reason_fields_and_metadata(client: Client) -> None:
    with pytest.raises(NotFound) as missing:
        client.runs.start("nobody", "hello")
    assert missing.value.reason == "ENTRYPOINT_NOT_FOUND"
    assert missing.value.domain == "workflow.weft.dev"
    assert missing.value.metadata == {"entrypoint": "nobody"}
    with pytest.raises(InvalidArgument) as wrong:
        client.runs.invoke("chat", 7)
    fields = {violation.field for violation in wrong.value.violations}
    assert {"start.input", "start.config.user_id"} <= fields


def test_a_stream_ends_when_the_run_rests(client: Client, unique: str) -> None:
    events = list(
        client.runs.stream(
            "chat",
            "hello",
            config={"user_id": unique},
            modes=["updates", "values", "states"],
        )
    )
    data = [event.data for event in events]
    assert [one.task for one in data if isinstance(one, Update)] == ["recall", "call_model", "chat"]
    assert any(isinstance(one, Value) for one in data)
    assert isinstance(data[-1], StateChanged)
    assert data[-1].run.state is RunState.SUCCEEDED
    joined = list(client.runs.join(events[0].run_id, modes=["updates"], after_sequence=0))
    assert [event.sequence for event in joined] == [
        event.sequence for event in events if isinstance(event.data, Update)
    ]


def test_threads_are_updated_forked_pruned_and_deleted(client: Client, unique: str) -> None:
    for text in ("one", "two"):
        client.runs.invoke("chat", text, config={"user_id": unique}, thread_id=unique).result()
    by_hand = client.threads.update(unique, {"value": 1}, saved=[])
    assert (by_hand.value, by_hand.saved, by_hand.source) == ({"value": 1}, [], "update")
    assert len(list(client.threads.checkpoints(unique, page_size=1))) == 3
    copy = client.threads.fork(unique, checkpoint_id=by_hand.parent_id)
    assert copy.checkpoint is not None
    assert copy.checkpoint.value["role"] == "assistant"
    assert client.threads.prune(unique, keep_checkpoints=1) == (2, 2)
    client.threads.delete(unique)
    with pytest.raises(NotFound) as gone:
        client.threads.get(unique)
    assert gone.value.reason == "THREAD_NOT_FOUND"


def test_a_run_that_is_cancelled_can_be_retried(client: Client, unique: str) -> None:
    config = {"user_id": unique}
    held = client.runs.start(
        "chat",
        "hello",
        config=config,
        start_after=datetime.now(timezone.utc) + timedelta(hours=1),
        thread_id=unique,
    )
    assert held.state is RunState.QUEUED
    client.runs.cancel(held.id, reason="changed my mind")
    run = client.runs.wait(held.id)
    assert run.state is RunState.CANCELLED
    assert run.error is not None
    assert "changed my mind" in run.error.message
    other = client.runs.invoke(
        "chat", "hello", config=config, thread_id=unique, concurrency=Concurrency.REJECT
    )
    assert other.state is RunState.SUCCEEDED


async def test_one_client_serves_many_event_loops(cluster: Cluster, unique: str) -> None:
    client = AsyncClient(**cluster.addresses)
    await client.memory.put((unique,), "here", {})

    def elsewhere() -> None:
        asyncio.run(client.memory.put((unique,), "there", {}))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert await client.memory.count((unique,)) == 2
    assert {entrypoint.name for entrypoint in await client.entrypoints()} >= {"chat"}
    await client.close()


def test_calls_outlast_a_restart_and_a_service_that_is_away_is_an_error(
    own_cluster: Cluster,
) -> None:
    with Client(**own_cluster.addresses) as client:
        client.memory.put(("a",), "k", {"v": 1})
        own_cluster.memory.stop()
        restart = threading.Thread(target=own_cluster.memory.start)
        restart.start()
        item = client.memory.get(("a",), "k")
        assert item is not None
        assert item.value == {"v": 1}
        restart.join()
        own_cluster.memory.stop()
        client._async._memory.patience = 0.2
        with pytest.raises(Unavailable) as away:
            client.memory.get(("a",), "k")
        assert away.value.reason == ""
        own_cluster.memory.start()
