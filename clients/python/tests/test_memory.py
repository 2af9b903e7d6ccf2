"""The plain client of MemoryService."""

from __future__ import annotations

from datetime import timedelta

import pytest

from weft.client import AsyncClient, Client, Ranking
from weft.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument


def test_an_item_comes_back_as_it_was_put(client: Client, unique: str) -> None:
    value = {"n": 12345678901234567890123, "f": 1.0, "s": "ü\x00", "l": [None, True, {"a": 1}]}
    stored = client.memory.put(("a", unique), "k", value)
    item = client.memory.get(("a", unique), "k")
    assert item is not None
    assert item == stored
    assert item.value == value
    assert isinstance(item.value["f"], float)
    assert item.created_at.tzinfo is not None
    assert client.memory.get(("a", unique), "other") is None


def test_a_precondition_that_does_not_hold_is_an_error_with_a_reason(
    client: Client, unique: str
) -> None:
    first = client.memory.put((unique,), "k", {"v": 1}, exists=False)
    with pytest.raises(AlreadyExists) as there:
        client.memory.put((unique,), "k", {"v": 2}, exists=False)
    assert there.value.reason == "ITEM_EXISTS"
    assert there.value.metadata["key"] == "k"
    client.memory.put((unique,), "k", {"v": 2}, etag=first.etag)
    with pytest.raises(Aborted) as lost:
        client.memory.put((unique,), "k", {"v": 3}, etag=first.etag)
    assert lost.value.reason == "ETAG_MISMATCH"


def test_all_wrong_fields_are_named_at_once(client: Client) -> None:
    with pytest.raises(InvalidArgument) as wrong:
        client.memory.put(("a.b",), "", {})
    assert wrong.value.reason == "INVALID_REQUEST"
    assert wrong.value.code == "INVALID_ARGUMENT"
    assert {violation.field for violation in wrong.value.violations} == {"namespace[0]", "key"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        client.memory.put(("a",), "k", {"v": float("nan")})


def test_search_ranks_filters_and_pages(client: Client, unique: str) -> None:
    for n, text in enumerate(["tea and cake", "green tea", "coffee"]):
        client.memory.put((unique, "notes"), str(n), {"text": text, "n": n}, index=["text"])
    found = client.memory.search((unique,), query="tea")
    assert {hit.value["n"] for hit in found} == {0, 1}
    assert all(hit.score for hit in found)
    newest = client.memory.search((unique,), filter={"n": {"$gte": 1}}, limit=1)
    assert [(hit.key, hit.score) for hit in newest] == [("2", None)]
    assert client.memory.search((unique,), limit=0) == []
    with pytest.raises(FailedPrecondition) as none:
        client.memory.search((unique,), query="tea", ranking=Ranking.SEMANTIC)
    assert none.value.reason == "EMBEDDER_MISSING"


def test_listing_walks_all_pages_and_namespaces_are_counted(client: Client, unique: str) -> None:
    for n in range(5):
        client.memory.put((unique, str(n % 2)), str(n), {"n": n})
    listed = list(client.memory.list((unique,), page_size=2))
    assert [item.key for item in listed] == ["0", "2", "4", "1", "3"]
    assert client.memory.count((unique,), filter={"n": {"$lt": 2}}) == 2
    (folded,) = client.memory.namespaces(prefix=(unique,), max_depth=1)
    assert (folded.labels, folded.item_count) == ((unique,), 5)
    assert client.memory.delete_namespace((unique,)) == 5
    assert client.memory.namespaces(prefix=(unique,)) == ()


async def test_the_asynchronous_client_does_the_same(
    asynchronous: AsyncClient, unique: str
) -> None:
    memory = asynchronous.memory
    stored = await memory.put((unique,), "k", {"v": 1}, ttl=timedelta(hours=1))
    assert stored.expires_at is not None
    assert [item.key async for item in memory.list((unique,))] == ["k"]
    await memory.delete((unique,), "k")
    assert await memory.get((unique,), "k") is None
