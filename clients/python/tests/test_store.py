"""`WeftStore`: LangGraph's interface, beside LangGraph's own store in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from services import Cluster

from weft.client import Client, Ranking
from weft.errors import FailedPrecondition, InvalidArgument
from weft.store import WeftStore


@pytest.fixture
def store(cluster: Cluster) -> Iterator[WeftStore]:
    with WeftStore(cluster.memory.address) as store:
        yield store


def seen(items: Any) -> Any:
    """What two stores must agree on."""
    return [(item.namespace, item.key, item.value) for item in items if item is not None]


def test_random_operations_are_answered_as_by_the_store_of_langgraph(
    store: WeftStore, unique: str
) -> None:
    twin = InMemoryStore()
    dice = random.Random(7)
    values: list[dict[str, Any]] = [
        {"n": 1},
        {"n": 2, "tags": ["a", "b"], "who": {"name": "Bob", "age": 3}},
        {"a.b": 1, 'quo"te': 2, "none": None, "yes": True},
        {},
    ]
    filters: list[dict[str, Any] | None] = [
        None,
        {"n": 1},
        {"n": {"$eq": 1}, "none": {"$ne": 5}},
        {"a.b": 1},
        {'quo"te': 2},
        {"who": {"name": "Bob"}},
        {"tags": ["a", "b"]},
        {"none": None},
    ]
    labels = ["x", "y", "z"]

    def namespace() -> tuple[str, ...]:
        return (unique, *dice.choices(labels, k=dice.randint(0, 2)))

    for step in range(150):
        where, key = namespace(), str(dice.randint(0, 3))
        match dice.choice(["put", "put", "delete", "get", "search", "list"]):
            case "put":
                value = {**dice.choice(values), "step": step}
                for one in (store, twin):
                    one.put(where, key, value)
            case "delete":
                for one in (store, twin):
                    one.delete(where, key)
            case "get":
                assert seen([store.get(where, key)]) == seen([twin.get(where, key)])
            case "search":
                condition = dice.choice(filters)
                # By key, since the twin has an order of its own.
                found = [
                    sorted(seen(one.search(where, filter=condition, limit=100)), key=str)
                    for one in (store, twin)
                ]
                assert found[0] == found[1], condition
            case "list":
                depth = dice.choice([None, 1, 2])
                listed = store.list_namespaces(prefix=(unique,), max_depth=depth)
                # The twin goes on listing namespaces whose last item is gone.
                live = {item.namespace for item in twin.search((unique,), limit=100)}
                assert listed == sorted({name[:depth] for name in live})


def test_numbers_are_compared_as_numbers_and_other_types_never_match(
    store: WeftStore, unique: str
) -> None:
    for key, value in [("a", 9), ("b", 10), ("c", "9"), ("d", None)]:
        store.put((unique,), key, {"n": value})
    store.put((unique,), "e", {})
    assert [hit.key for hit in store.search((unique,), filter={"n": {"$gt": 9}})] == ["b"]


def test_a_batch_reads_before_it_writes_and_keeps_the_order(store: WeftStore, unique: str) -> None:
    store.put((unique,), "old", {"v": 0})
    results = store.batch(
        [
            PutOp((unique,), "new", {"v": 1}),
            GetOp((unique,), "new"),
            PutOp((unique,), "old", None),
            GetOp((unique,), "old"),
            SearchOp((unique,), limit=0),
            ListNamespacesOp((MatchCondition("prefix", (unique,)),)),
        ]
    )
    assert [results[0], results[1], results[2], results[4]] == [None, None, None, []]
    assert results[3].value == {"v": 0}  # type: ignore[union-attr]
    assert results[5] == [(unique,)]
    assert seen([store.get((unique,), "new"), store.get((unique,), "old")]) == [
        ((unique,), "new", {"v": 1})
    ]


def test_a_batch_of_more_than_a_call_holds_is_split(store: WeftStore, unique: str) -> None:
    puts = [PutOp((unique,), str(n), {"n": n}) for n in range(1500)]
    first = store.batch([*puts, GetOp((unique,), "3")])
    assert first == [None] * 1501
    second = store.batch([GetOp((unique,), str(n)) for n in range(1500)])
    assert [item.value["n"] for item in second if item is not None] == list(range(1500))  # type: ignore[union-attr]


def test_namespaces_that_langgraph_refuses_are_refused(store: WeftStore) -> None:
    for namespace in [(), ("a.b",), ("",), ("langgraph",)]:
        with pytest.raises(InvalidNamespaceError):
            store.put(namespace, "k", {})
    with pytest.raises(InvalidArgument):
        store.batch([PutOp(("langgraph",), "k", {})])
    with pytest.raises(ValueError, match="unknown operator"):
        store.search(("a",), filter={"n": {"$near": 1}})


def test_conditions_on_namespaces_are_all_applied(store: WeftStore, unique: str) -> None:
    for last in ("one", "two"):
        store.put((unique, "mid", last), "k", {})
    assert store.list_namespaces(prefix=(unique, "*"), suffix=("one",)) == [(unique, "mid", "one")]

    def listed(*conditions: MatchCondition) -> Any:
        return store.batch([ListNamespacesOp(conditions)])[0]

    both = MatchCondition("prefix", (unique, "*", "two")), MatchCondition("prefix", ("*", "mid"))
    assert listed(*both) == [(unique, "mid", "two")]
    assert listed(*both, MatchCondition("prefix", ("other",))) == []
    assert store.list_namespaces(limit=0) == []


def test_lifetimes_are_minutes_and_reads_renew_them(cluster: Cluster, unique: str) -> None:
    with Client(**cluster.addresses) as client:
        store = WeftStore(client, ttl={"default_ttl": 2.0, "refresh_on_read": False})

        def expiry(key: str) -> float | None:
            item = client.memory.get((unique,), key, refresh_ttl=False)
            assert item is not None
            if item.expires_at is None:
                return None
            return (item.expires_at - item.updated_at).total_seconds() / 60

        store.put((unique,), "default", {})
        store.put((unique,), "half", {}, ttl=0.5)
        store.put((unique,), "ever", {}, ttl=None)
        assert [expiry("default"), expiry("half"), expiry("ever")] == [2.0, 0.5, None]
        store.get((unique,), "half")
        assert expiry("half") == 0.5
        store.get((unique,), "half", refresh_ttl=True)
        assert (expiry("half") or 0) > 0.5
        with pytest.raises(ValueError, match="must be positive"):
            store.put((unique,), "k", {}, ttl=0)


def test_an_index_asks_for_meaning_and_none_for_words(
    cluster: Cluster, store: WeftStore, unique: str
) -> None:
    store.put((unique,), "1", {"text": "my name is Bob", "other": "tea"}, index=["text"])
    store.put((unique,), "2", {"text": "my name is Eve"}, index=False)
    (hit,) = store.search((unique,), query="what is my name?")
    assert (hit.key, hit.score is not None) == ("1", True)
    assert store.search((unique,), query="tea") == []
    with WeftStore(cluster.memory.address, index={"fields": ["text"]}) as semantic:
        semantic.put((unique,), "3", {"text": "tea", "other": "cake"})
        with pytest.raises(FailedPrecondition) as none:
            semantic.search((unique,), query="tea")
        assert none.value.reason == "EMBEDDER_MISSING"
    assert [hit.key for hit in store.search((unique,), query="tea")] == ["3"]
    assert store.search((unique,), query="cake") == []
    with WeftStore(cluster.memory.address, ranking=Ranking.LEXICAL) as lexical:
        assert len(lexical.search((unique,), query="tea")) == 1


async def test_the_asynchronous_methods_do_the_same(store: WeftStore, unique: str) -> None:
    await store.aput((unique,), "k", {"v": 1}, ttl=1)
    item = await store.aget((unique,), "k")
    assert item is not None
    assert item.created_at.tzinfo is not None
    assert seen(await store.asearch((unique,))) == [((unique,), "k", {"v": 1})]
    assert await store.alist_namespaces(prefix=(unique,)) == [(unique,)]
    # From a loop as well: nothing waits for the loop that calls.
    assert seen([store.get((unique,), "k")]) == [((unique,), "k", {"v": 1})]
    await store.adelete((unique,), "k")
    assert await store.aget((unique,), "k") is None


def test_a_program_of_langgraph_remembers_through_it(store: WeftStore, unique: str) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.func import entrypoint, task

    @task
    def call_model(messages: list[str], memory_store: BaseStore, user_id: str) -> str:
        namespace = ("memories", unique, user_id)
        memories = memory_store.search(namespace, query=messages[-1])
        info = "\n".join(memory.value["data"] for memory in memories)
        if "remember" in messages[-1].lower():
            memory_store.put(namespace, "1", {"data": messages[-1]})
        return f"I know: {info}"

    @entrypoint(checkpointer=InMemorySaver(), store=store)
    def workflow(said: list[str], *, config: RunnableConfig, store: BaseStore) -> str:
        return call_model(said, store, config["configurable"]["user_id"]).result()

    def say(thread: str, user: str, text: str) -> str:
        config: RunnableConfig = {"configurable": {"thread_id": thread, "user_id": user}}
        return str(workflow.invoke([text], config))

    say("1", "1", "Hi! Remember: my name is Bob")
    assert say("2", "1", "what is my name?") == "I know: Hi! Remember: my name is Bob"
    assert say("3", "2", "what is my name?") == "I know: "
