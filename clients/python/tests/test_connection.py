"""Connections that drop: of workers and of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from proxy import Proxy
from services import PATIENCE, Cluster, until

from weft.client import AsyncClient, Custom, Gap, Update
from weft.errors import InvalidArgument
from weft.func import Worker, _session, entrypoint, get_stream_writer, task
from weft.workflow.v1 import worker_pb2, worker_pb2_grpc


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    proxy = Proxy(cluster.workflow.address)
    yield proxy
    proxy.close()


async def test_a_worker_whose_connection_drops_goes_on_with_what_it_has(
    cluster: Cluster, proxy: Proxy, asynchronous: AsyncClient, unique: str
) -> None:
    calls: list[str] = []

    @task
    async def step(number: int) -> int:
        calls.append(f"step {number}")
        # Cut while it is at work: its result is told on the next connection.
        proxy.cut()
        again = number + 2
        await asyncio.to_thread(until, lambda: proxy.accepted >= again, "a new connection")
        return number

    @entrypoint(name=unique)
    async def workflow(_: Any) -> list[int]:
        calls.append("workflow")
        return [await step(number) for number in range(3)]

    async with Worker(workflow, workflow=proxy.address):
        run = await asynchronous.runs.invoke(unique, wait_timeout=PATIENCE)
    assert run.result() == [0, 1, 2]
    assert calls == ["workflow", "step 0", "step 1", "step 2"]
    assert run.attempt == 1


async def test_a_worker_whose_session_another_process_takes_begins_a_new_one(
    cluster: Cluster,
    asynchronous: AsyncClient,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @entrypoint(name=unique)
    async def workflow(_: Any) -> str:
        return "done"

    ids = iter([unique, f"{unique}/2"])
    monkeypatch.setattr(_session, "_new_session_id", lambda: next(ids))
    hello = worker_pb2.Hello(protocol=1, session_id=unique)
    hello.entrypoints.add(name=unique, version="1")
    async with (
        Worker(workflow, workflow=cluster.workflow.address),
        grpc.aio.insecure_channel(cluster.workflow.address) as channel,
    ):
        taker = worker_pb2_grpc.WorkerServiceStub(channel).Connect()
        await taker.write(worker_pb2.ConnectRequest(hello=hello))
        await taker.read()
        run = await asynchronous.runs.invoke(unique, wait_timeout=PATIENCE)
        assert run.result() == "done"
        # Had the worker come back with the old id, this stream would have been taken from it.
        ended = asyncio.ensure_future(taker.read())
        await asyncio.wait([ended], timeout=0.2)
        assert not ended.done()
        taker.cancel()


async def test_what_a_worker_said_into_a_cut_connection_is_said_again(
    cluster: Cluster, proxy: Proxy, asynchronous: AsyncClient, unique: str
) -> None:
    calls: list[int] = []

    @task
    async def step(number: int) -> int:
        calls.append(number)
        return number

    @entrypoint(name=unique)
    async def workflow(_: Any) -> int:
        total = 0
        for number in range(40):
            if number % 8 == 4:
                proxy.cut()
            total += await step(number)
        return total

    async with Worker(workflow, workflow=proxy.address):
        run = await asynchronous.runs.invoke(unique, wait_timeout=PATIENCE)
    assert run.result() == sum(range(40))
    assert calls == list(range(40))


async def test_a_worker_that_ends_without_a_connection_looks_for_another_one_first(
    cluster: Cluster, proxy: Proxy, asynchronous: AsyncClient, unique: str
) -> None:
    started, asked_to_end = asyncio.Event(), asyncio.Event()

    @task
    async def step() -> None:
        started.set()
        await asked_to_end.wait()

    @entrypoint(name=unique)
    async def workflow(_: Any) -> str:
        await step()
        # What it returns is the worker's last word.
        proxy.cut()
        return "done"

    worker = Worker(workflow, workflow=proxy.address)
    await worker.start()
    run = await asynchronous.runs.start(unique)
    await started.wait()
    ending = asyncio.create_task(worker.stop())
    asked_to_end.set()
    await ending
    run = await asynchronous.runs.wait(run.id, timeout=PATIENCE)
    assert (run.result(), run.attempt) == ("done", 1)


async def test_a_stream_whose_connection_drops_shows_each_result_once(
    cluster: Cluster, proxy: Proxy, unique: str
) -> None:
    gates = [asyncio.Event() for _ in range(4)]

    @task
    async def step(number: int) -> int:
        await gates[number].wait()
        get_stream_writer()(number)
        return number

    @entrypoint(name=unique)
    async def workflow(_: Any) -> int:
        return sum([await step(number) for number in range(len(gates))])

    events = []
    async with (
        Worker(workflow, workflow=cluster.workflow.address),
        AsyncClient(workflow=proxy.address) as client,
    ):
        gates[0].set()
        async for event in client.runs.stream(unique, modes=["custom", "updates"]):
            events.append(event)
            if isinstance(event.data, Update) and event.data.task == "step":
                proxy.cut()
                gates[min(event.data.result + 1, 3)].set()
    # What was written while nobody was connected may be gone; nothing is shown twice.
    written = [event.data.value for event in events if isinstance(event.data, Custom)]
    assert written == sorted(set(written))
    updates = [event.data.result for event in events if isinstance(event.data, Update)]
    assert updates == [0, 1, 2, 3, 6]
    assert proxy.accepted > 1


async def test_what_is_written_at_once_waits_and_what_is_too_much_for_that_is_counted(
    cluster: Cluster, asynchronous: AsyncClient, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session, "MAX_WAITING_EVENTS", 20_000)

    @entrypoint(name=unique)
    async def workflow(count: int) -> None:
        for number in range(count):
            get_stream_writer()(number)

    async with Worker(workflow, workflow=cluster.workflow.address):
        for count, fits in [(50, True), (1000, False)]:
            stream = asynchronous.runs.stream(unique, count, modes=["custom"])
            events = [event.data async for event in stream]
            written = [one.value for one in events if isinstance(one, Custom)]
            lost = sum(one.dropped_count for one in events if isinstance(one, Gap))
            assert written == sorted(set(written))
            assert len(written) + lost == count
            assert (lost == 0) == fits


def test_a_worker_that_is_refused_says_why(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="entrypoint"):
        Worker()

    # The service has one of this name.
    @entrypoint(name="chat")
    def workflow(_: Any) -> None:
        pass

    async def host() -> None:
        async with Worker(workflow, workflow=cluster.workflow.address):
            pass

    with pytest.raises(InvalidArgument) as refused:
        asyncio.run(host())
    assert [violation.field for violation in refused.value.violations] == [
        "hello.entrypoints[0].name"
    ]
