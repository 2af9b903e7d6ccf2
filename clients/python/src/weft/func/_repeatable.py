"""Time, ids and chance: what is not the same every time, and yet in every replay."""

from __future__ import annotations

import datetime
import hashlib
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft._payload import dumps
from weft.func import _checks, _codec
from weft.func._calls import opened, receive, scope_of
from weft.func._future import TaskFuture
from weft.func._scope import Scope
from weft.func.failures import Cancelled
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from weft.func._execution import Execution

_NOTHING = _codec.hashed("null")


def now() -> TaskFuture[datetime.datetime]:
    """The current time, as it was when the run first asked for it here."""
    scope = scope_of("`now`")
    future: TaskFuture[datetime.datetime] = TaskFuture()

    def read(micros: Any) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(micros / 1e6, datetime.timezone.utc)

    call = _side_call(scope, "now")
    scope.execution.in_loop(
        _side, scope.execution, call, lambda: int(time.time() * 1e6), future, read
    )
    return future


def sleep(seconds: float | datetime.timedelta) -> TaskFuture[None]:
    """Waits for a time that goes on while the run has no worker and while the service is down.

    Blocking code is held up by the call. Asynchronous code awaits what it returns; code that ends
    without having done so fails.

    Args:
        seconds: How long: from 0 to 100 years.
    """
    duration = _checks.seconds("seconds", seconds, zero=True)
    scope = scope_of("`sleep`")
    execution = scope.execution
    # Both places are taken now: when the time has come is not the same in every replay.
    timer, wake = _side_call(scope, "sleep"), _side_call(scope, "wake")
    due: TaskFuture[float] = TaskFuture()
    woken: TaskFuture[None] = TaskFuture()

    def wake_up() -> None:
        execution.wakers.pop(timer.id, None)
        execution.timers.pop(timer.id, None)
        # Recorded too, so that a race against a timer has the same winner in every replay.
        if not execution.has_ended:
            _side(execution, wake, lambda: None, woken, lambda _: None)

    def wait() -> None:
        if due.exception() is not None:
            execution.resolve(woken, error=due.exception())
            return
        left = due.result() - time.time()
        # What has ended has ended, also by a clock that is behind the one it ended by.
        if left <= 0 or execution.replay.is_ahead(wake.id):
            wake_up()
        else:
            execution.timers[timer.id] = due.result()
            execution.wakers[timer.id] = execution.later(left, wake_up)
            execution.look_again()

    def start() -> None:
        due.add_done_callback(lambda _: execution.guard(wait))
        execution.open(wake.id, woken)
        set_at = int((time.time() + duration) * 1e6)
        _side(execution, timer, lambda: set_at, due, lambda micros: micros / 1e6)

    execution.in_loop(start)
    if scope.in_thread:
        woken.result()
    else:
        scope.to_await[woken] = f"sleep({duration:g})"
    return woken


def derived_uuid() -> uuid.UUID:
    """A UUID that is the same in every replay, and no other call's. Nothing is recorded."""
    scope = scope_of("`uuid`")
    return uuid.uuid5(uuid.UUID(scope.execution.start.run_id), f"uuid/{scope.next_value()}")


def derived_random() -> float:
    """A number from 0 up to but not including 1 that is the same in every replay."""
    scope = scope_of("`random`")
    name = f"random/{scope.execution.start.run_id}/{scope.next_value()}"
    bits = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    # The 53 bits that a double holds exactly.
    return (bits >> 11) / (1 << 53)


def _side_call(scope: Scope, name: str) -> pb.Call:
    return pb.Call(id=scope.next_call_id(), kind=pb.Call.KIND_SIDE, task=name, input_hash=_NOTHING)


def _side(
    execution: Execution,
    call: pb.Call,
    value: Callable[[], Any],
    future: TaskFuture[Any],
    read: Callable[[Any], Any],
) -> None:
    """A value that is made here and recorded."""
    if not opened(execution, call, future):
        return
    recorded = execution.replay.recorded(call)
    if not recorded and execution.cancelled is not None:
        execution.resolve(future, error=Cancelled(execution.cancelled))
        return
    if not recorded:
        record = pb.Record(call=call, attempt=1)
        record.outcome.value.json_text = dumps(value())
        execution.unacknowledged.add(call.id)
        execution.send(record=record)
    execution.replay.wait(call.id, lambda outcome: receive(execution, future, outcome, read=read))
    execution.look_again()
