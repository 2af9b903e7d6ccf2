"""Connections to a service: where it is, how calls are tried again, and what errors become."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from weft import _io
from weft.errors import BY_CODE, FieldViolation, ServiceError, Unavailable

Q = TypeVar("Q")
A = TypeVar("A")

#: Seconds that a call may take, all tries together, unless it says otherwise.
DEFAULT_TIMEOUT = 30.0
#: Seconds for which a stream or a wait looks for a service that went away.
RECONNECT_TIMEOUT = 60.0
#: Seconds before the second try; doubled for each further one, up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

#: What the services take, 16 or 17 MiB, and the largest that they send: a run with its input, its
#: config and what was saved before.
MAX_SENT_BYTES, MAX_RECEIVED_BYTES = 17 * 1024 * 1024, 40 * 1024 * 1024

#: Ports of addresses that name none, by scheme.
_PORTS = {"http": 80, "https": 443}

OPTIONS = (
    ("grpc.max_send_message_length", MAX_SENT_BYTES),
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    # A connection that is gone without a word is noticed within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Two clients of one process do not share a connection that one of them closes.
    ("grpc.use_local_subchannel_pool", 1),
)


class Service:
    """One service, connected to on first use."""

    def __init__(self, url: str | None, variable: str, default: str) -> None:
        self.url = url or os.environ.get(variable) or default
        self.patience = DEFAULT_TIMEOUT
        """Seconds that a call may take, all tries together, unless it says otherwise."""
        self._channel: grpc.aio.Channel | None = None

    def channel(self) -> grpc.aio.Channel:
        """The connection. Only in the thread of `_io`."""
        if self._channel is None:
            target, is_secure = _target(self.url)
            if is_secure:
                credentials = grpc.ssl_channel_credentials()
                self._channel = grpc.aio.secure_channel(target, credentials, OPTIONS)
            else:
                self._channel = grpc.aio.insecure_channel(target, OPTIONS)
        return self._channel

    @_io.in_io
    async def close(self) -> None:
        """Closes the connection; the next call opens another one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def call(
        self,
        method: Callable[..., grpc.aio.UnaryUnaryCall[Q, A]],
        request: Q,
        *,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> A:
        """Calls a method; again, if the service was away and a repeat does no harm."""
        seconds = self.patience if timeout is None else timeout
        deadline = time.monotonic() + seconds
        pauses = Pauses()
        while True:
            try:
                return await method(request, timeout=max(deadline - time.monotonic(), 0.001))
            except grpc.aio.AioRpcError as error:
                told = service_error(error)
            pause = pauses.next(told.retry_after)
            patient = time.monotonic() + pause < deadline
            if not (repeatable and patient and isinstance(told, Unavailable)):
                raise told
            await asyncio.sleep(pause)


def _target(url: str) -> tuple[str, bool]:
    """Where a service is, as ``host:port``, and whether it is spoken to by TLS."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or (_PORTS.get(parts.scheme) if "://" in url else None)
    except ValueError:
        port = None
    host = parts.hostname or ""
    is_whole = parts.scheme in _PORTS and host and port is not None
    if not is_whole or parts.path not in ("", "/") or parts.query:
        known = "use `host:port`, `http://host:port` or `https://host:port`"
        raise ValueError(f"`{url}` is not the address of a service: {known}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", parts.scheme == "https"


class Pauses:
    """Growing pauses between tries, spread so that clients do not return together."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def next(self, at_least: float | None = None) -> float:
        """Seconds until the next try."""
        pause = self._pause * random.uniform(0.5, 1.0)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return max(pause, at_least or 0.0)

    def reset(self) -> None:
        """Starts over, after something went well."""
        self._pause = FIRST_PAUSE


def service_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """What a service said, with everything that it said about it."""
    code = error.code().name
    reason, domain, metadata = "", "", {}
    violations: Sequence[FieldViolation] = ()
    retry_after: float | None = None
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, domain, metadata = info.reason, info.domain, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            wrong = error_details_pb2.BadRequest()
            detail.Unpack(wrong)
            violations = tuple(
                FieldViolation(violation.field, violation.description)
                for violation in wrong.field_violations
            )
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return BY_CODE.get(code, ServiceError)(
        error.details() or code.lower(),
        code=code,
        reason=reason,
        domain=domain,
        metadata=metadata,
        violations=violations,
        retry_after=retry_after,
    )


def _details(error: grpc.aio.AioRpcError) -> Sequence[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return tuple(status_pb2.Status.FromString(value).details)
    return ()
