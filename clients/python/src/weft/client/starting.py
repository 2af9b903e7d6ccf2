"""How a run is started."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from weft._payload import encode
from weft.client.values import Concurrency, Durability
from weft.workflow.v1 import workflow_pb2 as pb

#: Options that are texts, and those that are mappings.
_TEXTS = ("thread_id", "version", "checkpoint_id", "request_id")
_MAPPINGS = ("config", "labels")


class StartOptions(TypedDict, total=False):
    """How a run is started."""

    thread_id: str
    """Thread to run on, created if absent; empty for a new one."""
    config: Mapping[str, Any] | None
    """Settings that the entrypoint and its tasks can read."""
    version: str
    """Version of the entrypoint; empty for the default one."""
    checkpoint_id: str
    """Checkpoint of the thread to branch from; empty for the newest."""
    concurrency: Concurrency
    """What to do if the thread has an unfinished run; `Concurrency.ENQUEUE` if left out."""
    durability: Durability
    """When task results reach the disk; `Durability.SYNC` if left out."""
    timeout: timedelta | None
    """Longest time to execute, rests excluded."""
    start_after: datetime | None
    """Not before this time."""
    labels: Mapping[str, str]
    """The caller's labels."""
    request_id: str
    """Makes repeats of this call return the first call's run, for 24 hours. Made up if left out."""


def start_request(
    entrypoint: str,
    input: Any,  # noqa: A002
    options: StartOptions,
) -> pb.StartRunRequest:
    """The request to start a run."""
    _refuse_unknown(options)
    concurrency = Concurrency(options.get("concurrency", Concurrency.ENQUEUE))
    durability = Durability(options.get("durability", Durability.SYNC))
    request = pb.StartRunRequest(
        entrypoint=entrypoint,
        input=encode(input, "`input`"),
        thread_id=options.get("thread_id", ""),
        version=options.get("version", ""),
        checkpoint_id=options.get("checkpoint_id", ""),
        concurrency=pb.Concurrency.Value(f"CONCURRENCY_{concurrency.value}"),
        durability=pb.Durability.Value(f"DURABILITY_{durability.value}"),
        labels=options.get("labels") or {},
        # A call that is tried again after a lost answer starts one run, not two.
        request_id=options.get("request_id") or str(uuid.uuid4()),
    )
    config = options.get("config")
    if config is not None:
        request.config.CopyFrom(encode(dict(config), "`config`"))
    timeout = options.get("timeout")
    if timeout is not None:
        if not isinstance(timeout, timedelta):
            raise TypeError(f"`timeout` must be a timedelta, not `{type(timeout).__name__}`")
        request.timeout.FromTimedelta(timeout)
    start_after = options.get("start_after")
    if start_after is not None:
        # One without a zone is local, as everywhere in Python.
        request.start_after.FromDatetime(start_after.astimezone())
    return request


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """Refuses what is no option, as Python does of other functions."""
    for name, value in options.items():
        if name not in StartOptions.__annotations__:
            known = ", ".join(f"`{option}`" for option in StartOptions.__annotations__)
            raise TypeError(f"a run is not started with `{name}`: there are {known}")
        if name in _TEXTS and not isinstance(value, str):
            raise TypeError(f"`{name}` must be a string, not `{type(value).__name__}`")
        if name in _MAPPINGS and not isinstance(value, Mapping | None):
            raise TypeError(f"`{name}` must be a mapping, not `{type(value).__name__}`")
