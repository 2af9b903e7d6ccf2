"""Items in memory, under namespaces and keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from weft._channel import Service
from weft._io import in_io, iterated_in_io
from weft._payload import TEXT, encode
from weft.client import _decode
from weft.client.values import Item, Namespace, SearchItem
from weft.errors import NotFound
from weft.memory.v1 import memory_pb2 as pb
from weft.memory.v1 import memory_pb2_grpc

if TYPE_CHECKING:
    from weft.memory.v1.memory_pb2_grpc import MemoryServiceAsyncStub

#: Most operations of one batch.
MAX_BATCH = 1000


class Ranking(str, Enum):
    """How a query ranks items."""

    DEFAULT = "UNSPECIFIED"
    """HYBRID if the service has an embedder, else LEXICAL."""
    SEMANTIC = "SEMANTIC"
    """By meaning: similarity of embeddings."""
    LEXICAL = "LEXICAL"
    """By words: BM25."""
    HYBRID = "HYBRID"
    """By both."""


class AsyncMemory:
    """Items: JSON objects that outlive any one thread."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _stub(self) -> MemoryServiceAsyncStub:
        return memory_pb2_grpc.MemoryServiceStub(self._service.channel())

    @in_io
    async def put(
        self,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        *,
        index: Sequence[str] | Literal[False] | None = None,
        ttl: timedelta | None = None,
        exists: bool | None = None,
        etag: str | None = None,
    ) -> Item:
        """Creates or replaces an item; returns it as stored.

        Args:
            namespace: Path of labels.
            key: Key within the namespace.
            value: The document.
            index: Paths of the texts to search by; ``False`` for none, ``None`` for the service's.
            ttl: Lifetime from now on; ``None`` for the service's default, zero for ever.
            exists: Write only if the item exists (``True``), or only if not (``False``).
            etag: Write only if the item has this etag.
        """
        if exists is not None and etag is not None:
            raise ValueError("give either `exists` or `etag`")
        request = put_request(namespace, key, value, index=index, ttl=ttl)
        if exists is not None:
            request.precondition.exists = exists
        if etag is not None:
            request.precondition.etag = etag
        unconditional = exists is None and etag is None
        response = await self._service.call(self._stub().PutItem, request, repeatable=unconditional)
        stored = _decode.item(response.item)
        return Item(**{**vars(stored), "value": dict(value)})

    @in_io
    async def get(
        self, namespace: Sequence[str], key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """Returns an item, or ``None`` if there is none."""
        request = get_request(namespace, key, refresh_ttl)
        try:
            response = await self._service.call(self._stub().GetItem, request)
        except NotFound:
            return None
        return _decode.item(response.item)

    @in_io
    async def delete(self, namespace: Sequence[str], key: str, *, etag: str | None = None) -> None:
        """Removes an item, if it is there; with ``etag`` only that version of it."""
        request = pb.DeleteItemRequest(namespace=namespace, key=key)
        if etag is not None:
            request.precondition.etag = etag
        await self._service.call(self._stub().DeleteItem, request, repeatable=etag is None)

    @in_io
    async def search(
        self,
        namespace_prefix: Sequence[str],
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        ranking: Ranking = Ranking.DEFAULT,
        min_score: float | None = None,
        recency_half_life: timedelta | None = None,
        diversity: float = 0.0,
    ) -> Sequence[SearchItem]:
        """Returns the best matches under a namespace prefix, best first.

        Args:
            namespace_prefix: Items of this namespace and of those below it; empty for all.
            query: Text to rank against; without it the last updated come first.
            filter: Condition on the documents, e.g. ``{"rating": {"$gte": 4}}``.
            limit: At most this many items, up to 1,000.
            offset: Skip this many of the best.
            refresh_ttl: Whether this restarts the lifetime of what it returns.
            ranking: How the query ranks.
            min_score: Drop items that score less.
            recency_half_life: Halve scores for every such span since the last update.
            diversity: 0 for relevance alone, up to 1 to avoid near duplicates.
        """
        if limit == 0:
            return []
        request = search_request(
            namespace_prefix,
            query=query,
            filter=filter,
            limit=limit,
            offset=offset,
            refresh_ttl=refresh_ttl,
            ranking=ranking,
        )
        if min_score is not None:
            request.min_score = min_score
        if recency_half_life is not None:
            request.recency_half_life.FromTimedelta(recency_half_life)
        request.diversity = diversity
        response = await self._service.call(self._stub().SearchItems, request)
        return [_decode.hit(hit) for hit in response.hits]

    @iterated_in_io
    async def list(
        self,
        namespace_prefix: Sequence[str],
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        page_size: int = 0,
    ) -> AsyncIterator[Item]:
        """Yields all items under a namespace prefix, in (namespace, key) order."""
        request = pb.ListItemsRequest(
            namespace_prefix=namespace_prefix, page_size=page_size, payload_form=TEXT
        )
        if filter is not None:
            request.filter.CopyFrom(encode(filter))
        while True:
            response = await self._service.call(self._stub().ListItems, request)
            for item in response.items:
                yield _decode.item(item)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    @in_io
    async def count(
        self,
        namespace_prefix: Sequence[str],
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> int:
        """Counts the items under a namespace prefix that pass a filter."""
        request = pb.CountItemsRequest(namespace_prefix=namespace_prefix)
        if filter is not None:
            request.filter.CopyFrom(encode(filter))
        return (await self._service.call(self._stub().CountItems, request)).count

    @in_io
    async def namespaces(
        self,
        *,
        prefix: Sequence[str] = (),
        suffix: Sequence[str] = (),
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[Namespace, ...]:
        """Returns the namespaces that hold items; ``*`` stands for any one label."""
        request = namespaces_request(prefix, suffix, max_depth, limit, offset)
        response = await self._service.call(self._stub().ListNamespaces, request)
        return tuple(_decode.namespace(namespace) for namespace in response.namespaces)

    @in_io
    async def delete_namespace(self, namespace_prefix: Sequence[str]) -> int:
        """Removes every item under a namespace prefix; returns how many."""
        request = pb.DeleteNamespaceRequest(namespace_prefix=namespace_prefix)
        return (await self._service.call(self._stub().DeleteNamespace, request)).deleted_count

    @in_io
    async def batch(self, operations: Sequence[pb.BatchOperation]) -> Sequence[pb.BatchResult]:
        """Runs operations of the contract in one call; reads see the state before it."""
        if len(operations) > MAX_BATCH:
            raise ValueError(f"a batch has {len(operations)} operations, at most {MAX_BATCH}")
        request = pb.BatchRequest(operations=operations)
        return (await self._service.call(self._stub().Batch, request)).results


def put_request(
    namespace: Sequence[str],
    key: str,
    value: Mapping[str, Any],
    *,
    index: Sequence[str] | Literal[False] | None,
    ttl: timedelta | None,
) -> pb.PutItemRequest:
    """The request to write an item; see `AsyncMemory.put`."""
    request = pb.PutItemRequest(namespace=namespace, key=key, value=encode(value))
    if index is False or (index is not None and not index):
        request.indexing.disabled = True
    elif index is not None:
        request.indexing.paths.extend(index)
    if ttl is not None:
        request.ttl.FromTimedelta(ttl)
    return request


def get_request(namespace: Sequence[str], key: str, refresh_ttl: bool | None) -> pb.GetItemRequest:
    """The request to read an item."""
    return pb.GetItemRequest(
        namespace=namespace, key=key, refresh_ttl=refresh_ttl, payload_form=TEXT
    )


def search_request(
    namespace_prefix: Sequence[str],
    *,
    query: str | None,
    filter: Mapping[str, Any] | None,  # noqa: A002
    limit: int,
    offset: int,
    refresh_ttl: bool | None,
    ranking: Ranking,
) -> pb.SearchItemsRequest:
    """The request to search; see `AsyncMemory.search`."""
    request = pb.SearchItemsRequest(
        namespace_prefix=namespace_prefix,
        query=query or "",
        limit=limit,
        offset=offset,
        refresh_ttl=refresh_ttl,
        ranking=pb.Ranking.Value(f"RANKING_{Ranking(ranking).value}"),
        payload_form=TEXT,
    )
    if filter is not None:
        request.filter.CopyFrom(encode(filter))
    return request


def namespaces_request(
    prefix: Sequence[str],
    suffix: Sequence[str],
    max_depth: int | None,
    limit: int,
    offset: int,
) -> pb.ListNamespacesRequest:
    """The request to list namespaces."""
    return pb.ListNamespacesRequest(
        prefix=prefix, suffix=suffix, max_depth=max_depth, limit=limit, offset=offset
    )
