"""LangGraph's store over memory-service. Needs LangGraph: ``pip install 'weft[langgraph]'``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

try:
    from langgraph.store.base import (
        NOT_PROVIDED,
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        MatchCondition,
        NotProvided,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
    )
except ImportError as error:
    raise ImportError("weft.store needs LangGraph: pip install 'weft[langgraph]'") from error

from weft import _io
from weft.client import _decode
from weft.client.connection import AsyncClient, Client
from weft.client.memory import (
    MAX_BATCH,
    Ranking,
    get_request,
    namespaces_request,
    put_request,
    search_request,
)
from weft.memory.v1 import memory_pb2 as pb

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

#: A lifetime that never ends. In an operation of its own, ``None`` is the service's default.
FOR_EVER = math.inf


class WeftIndexConfig(TypedDict, total=False):
    """What is searched by meaning. The service embeds; there is no function to give."""

    fields: list[str] | None
    """Paths of the texts to embed; left out, those that the service is configured with."""


class WeftStore(BaseStore):
    """LangGraph's store, kept by memory-service: shared by all processes, durable, searchable.

    Works as ``store`` of any graph or entrypoint, of LangGraph's as of Weft's. All of its methods
    work from any thread and any event loop. Expired items are gone at once; the service sweeps.

    With ``index`` a query ranks by meaning, and the service needs an embedder. Without it
    a query ranks by words, or by both if there is an embedder; ``ranking`` asks for one of them.
    """

    supports_ttl = True

    def __init__(
        self,
        memory: str | Client | AsyncClient | None = None,
        *,
        index: WeftIndexConfig | None = None,
        ttl: TTLConfig | None = None,
        ranking: Ranking | None = None,
    ) -> None:
        """Connects on first use.

        Args:
            memory: Address of memory-service, or a client to share; else ``WEFT_MEMORY_URL`` or the
                local default.
            index: Search by meaning.
            ttl: LangGraph's settings of lifetimes, of which ``default_ttl`` (minutes) and
                ``refresh_on_read`` are meant here.
            ranking: How queries rank.
        """
        if isinstance(memory, Client):
            memory = memory._async
        self._owned = not isinstance(memory, AsyncClient)
        self._client = memory if isinstance(memory, AsyncClient) else AsyncClient(memory=memory)
        self.ttl_config = ttl
        self._fields = (index or {}).get("fields")
        self._ranking = ranking or (Ranking.SEMANTIC if index is not None else Ranking.DEFAULT)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations in one call; reads see the state before it."""
        return _io.wait(self._batch(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations in one call; reads see the state before it."""
        return await _io.call(self._batch(list(ops)))

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Stores an item. ``ttl`` is in minutes; ``None`` is for ever."""
        super().put(namespace, key, value, index, ttl=FOR_EVER if ttl is None else ttl)

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Stores an item. ``ttl`` is in minutes; ``None`` is for ever."""
        await super().aput(namespace, key, value, index, ttl=FOR_EVER if ttl is None else ttl)

    def close(self) -> None:
        """Closes the connection, unless it is a client's that was given."""
        _io.wait(self.aclose())

    async def aclose(self) -> None:
        """Closes the connection, unless it is a client's that was given."""
        if self._owned:
            await self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _batch(self, ops: Sequence[Op]) -> list[Result]:
        results: list[Result] = [None] * len(ops)
        planned = [(place, *self._operation(op)) for place, op in enumerate(ops)]
        # More than fit into one call: reads go first, since they see the state before the writes.
        if len(planned) > MAX_BATCH:
            planned.sort(key=lambda one: isinstance(ops[one[0]], PutOp))
        asked = [one for one in planned if one[1] is not None]
        for start in range(0, len(asked), MAX_BATCH):
            chunk = asked[start : start + MAX_BATCH]
            operations = [operation for _, operation, _ in chunk if operation is not None]
            answers = await self._client.memory.batch(operations)
            for (place, _, read), answer in zip(chunk, answers, strict=True):
                results[place] = read(answer)
        for place, operation, read in planned:
            if operation is None:
                results[place] = read(pb.BatchResult())
        return results

    def _operation(
        self, op: Op
    ) -> tuple[pb.BatchOperation | None, Callable[[pb.BatchResult], Result]]:
        """What to ask the service, if anything, and how to read its answer."""
        match op:
            case GetOp():
                get = get_request(op.namespace, op.key, op.refresh_ttl)
                return pb.BatchOperation(get=get), _read_item
            case PutOp(value=None):
                delete = pb.DeleteItemRequest(namespace=op.namespace, key=op.key)
                return pb.BatchOperation(delete=delete), lambda _: None
            case PutOp():
                index = self._fields if op.index is None else op.index
                value = op.value or {}
                ttl = _lifetime(op.ttl)
                put = put_request(op.namespace, op.key, value, index=index, ttl=ttl)
                return pb.BatchOperation(put=put), lambda _: None
            case SearchOp(limit=0):
                return None, lambda _: []
            case SearchOp():
                search = search_request(
                    op.namespace_prefix,
                    query=op.query,
                    filter=None if op.filter is None else _filter(op.filter),
                    limit=op.limit,
                    offset=op.offset,
                    refresh_ttl=op.refresh_ttl,
                    ranking=self._ranking,
                )
                return pb.BatchOperation(search=search), _read_hits
            case ListNamespacesOp(limit=0):
                return None, lambda _: []
            case ListNamespacesOp():
                conditions = op.match_conditions or ()
                prefix, suffix = _merged(conditions, "prefix"), _merged(conditions, "suffix")
                if prefix is None or suffix is None:
                    return None, lambda _: []
                listing = namespaces_request(prefix, suffix, op.max_depth, op.limit, op.offset)
                return pb.BatchOperation(list_namespaces=listing), _read_namespaces
            case _:
                raise TypeError(f"`{type(op).__name__}` is not an operation of a store")


def _read_item(result: pb.BatchResult) -> Item | None:
    if not result.get.HasField("item"):
        return None
    item = _decode.item(result.get.item)
    return Item(
        value=item.value,
        key=item.key,
        namespace=item.namespace,
        created_at=item.created_at,
        updated_at=item.updated_at,
    )


def _read_hits(result: pb.BatchResult) -> list[SearchItem]:
    hits = [_decode.hit(hit) for hit in result.search.hits]
    return [
        SearchItem(hit.namespace, hit.key, hit.value, hit.created_at, hit.updated_at, hit.score)
        for hit in hits
    ]


def _read_namespaces(result: pb.BatchResult) -> list[tuple[str, ...]]:
    return [tuple(namespace.labels) for namespace in result.list_namespaces.namespaces]


def _lifetime(minutes: float | None) -> timedelta | None:
    if minutes is None:
        return None
    if minutes == FOR_EVER:
        return timedelta()
    if not minutes > 0:
        raise ValueError(f"`ttl` is {minutes} minutes: must be positive, or None for ever")
    return timedelta(minutes=minutes)


def _filter(condition: Mapping[str, Any]) -> dict[str, Any]:
    """LangGraph's keys are names, the service's are paths: quotes those that would be read so."""
    return {
        key if key.startswith("$") else _quoted(key): _operand(key, value)
        for key, value in condition.items()
    }


def _operand(key: str, value: Any) -> Any:
    if isinstance(value, Mapping) and (not key.startswith("$") or key == "$not"):
        return _filter(value)
    if key in ("$and", "$or") and isinstance(value, Sequence):
        return [_filter(one) if isinstance(one, Mapping) else one for one in value]
    return value


def _quoted(key: str) -> str:
    if key and not any(character in key for character in '.[]"'):
        return key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _merged(
    conditions: Iterable[MatchCondition], kind: Literal["prefix", "suffix"]
) -> tuple[str, ...] | None:
    """All conditions of a kind as one; ``None`` if nothing can fulfil them."""
    merged: list[str] = []
    for condition in conditions:
        if condition.match_type == kind:
            path = condition.path if kind == "prefix" else tuple(reversed(condition.path))
            for place, label in enumerate(path):
                if place == len(merged):
                    merged.append(label)
                elif merged[place] == "*":
                    merged[place] = label
                elif label not in ("*", merged[place]):
                    return None
    return tuple(merged if kind == "prefix" else reversed(merged))
