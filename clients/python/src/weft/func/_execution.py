"""One execution of a run: the entrypoint's code, fed with outcomes in commit order.

All of it happens in one event loop, in which asynchronous code runs too. Blocking code has threads
of its own and talks to the execution through the loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.func import _last_words
from weft.func._future import TaskFuture
from weft.func._replay import Replay
from weft.func._rest import RestWatch
from weft.func._runner import Runner, guarded
from weft.func._scope import Scope
from weft.func.failures import Cancelled, ExecutionEnded, retryable, to_message
from weft.workflow.v1 import worker_pb2 as pb

if TYPE_CHECKING:
    from weft.func._definition import Code

#: Seconds that code may rest without making a call that is recorded before it counts as changed.
HELD_BACK_LIMIT = 10.0
#: Seconds that tasks at work have after the code that called them failed.
FAILURE_GRACE = 10.0
#: Seconds of a timer that is waited for; for a longer one the run gives its worker back.
SHORT_WAIT = 5.0


class Execution(Runner):
    """One dispatch of a run to this worker."""

    def __init__(
        self,
        execution_id: int,
        start: pb.StartRun,
        definition: Code,
        send: Callable[[pb.ConnectRequest], None],
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[Execution], None] = lambda _: None,
    ) -> None:
        super().__init__(start.entrypoint, loop)
        self._ended = ended
        self.id = execution_id
        self.start = start
        self.definition = definition
        self.replay = Replay(
            start.journal, strict=start.strict, stream=lambda emit: self.send(emit=emit)
        )
        self.attempts: dict[str, Scope] = {}
        """Attempts of tasks that are at work, by call."""
        self.pauses: dict[str, asyncio.TimerHandle] = {}
        """Tasks that will be tried again, by call."""
        self.unacknowledged: set[str] = set()
        """Calls whose end or place was told to the service and not answered."""
        self.retries: dict[str, Callable[[float], None]] = {}
        """What starts the next attempt of a task after some seconds, by call."""
        self.wakers: dict[str, asyncio.TimerHandle] = {}
        """Timers that go off while this lasts, by call."""
        self.timers: dict[str, float] = {}
        """When timers are due, in seconds since the epoch, by call."""
        self.questions: dict[str, pb.Question] = {}
        """Questions without an answer, in the order of their calls."""
        self.cancelled: str | None = None
        """Why the run is to stop, if it is."""
        self._send = send
        self._futures: dict[str, TaskFuture[Any]] = {}
        self._body_end: Callable[[], Any] | None = None
        self._looking = False
        self._overdue: asyncio.TimerHandle | None = None

    # Running code.

    @guarded
    def run(self) -> None:
        """Starts the entrypoint's code."""
        scope = Scope(self, "", "", 1, in_thread=not self.definition.is_async)
        scope.is_busy = scope.in_thread
        self.run_code(scope, self.definition.bound(scope), self._body_ended)

    def break_down(self, error: BaseException) -> None:
        """Ends the execution with a failure of the worker itself."""
        if not self.has_ended:
            try:
                self._finish(_last_words.failed(_last_words.of_worker(error)))
            finally:
                self.end()

    # Messages.

    def send(self, **message: Any) -> None:
        """Tells the service something about this execution."""
        self._send(pb.ConnectRequest(execution_id=self.id, **message))

    @guarded
    def acknowledge(self, call_id: str, outcome: pb.Outcome) -> None:
        """A call is recorded."""
        self.unacknowledged.discard(call_id)
        self.retries.pop(call_id, None)
        self.replay.acknowledge(call_id, outcome)
        self.look_again()

    @guarded
    def retry(self, call_id: str, seconds: float) -> None:
        """A task is to be executed: again, or since no result of it is cached."""
        self.unacknowledged.discard(call_id)
        start = self.retries.pop(call_id, None)
        if start is not None:
            start(seconds)
        self.look_again()

    @guarded
    def cancel(self, reason: str) -> None:
        """The run is to stop: calls fail from now on."""
        self.cancelled = reason
        for handle in (*self.pauses.values(), *self.wakers.values()):
            handle.cancel()
        self.pauses.clear()
        self.timers.clear()
        for call_id, future in list(self._futures.items()):
            if call_id not in self.unacknowledged:
                self.replay.forget(call_id)
                self.resolve(future, error=Cancelled(reason))
        for scope, task in list(self._scopes.items()):
            # Code that waits for a call has its answer; other code is to stop where it is.
            if task is not None and not scope.is_idle:
                task.cancel()
        self.look_again()

    def end(self) -> None:
        """Ends the execution: nothing that its code does counts any longer."""
        if self.has_ended:
            return
        self.has_ended = True
        if self._overdue is not None:
            self._overdue.cancel()
        for handle in (*self.pauses.values(), *self.wakers.values()):
            handle.cancel()
        for future in list(self._futures.values()):
            self.resolve(future, error=ExecutionEnded())
        for task in list(self._scopes.values()):
            if task is not None:
                task.cancel()
        self._ended(self)

    # Futures of calls.

    def open(self, call_id: str, future: TaskFuture[Any]) -> None:
        """Keeps the future of a call that was made."""
        self._futures[call_id] = future
        future.add_done_callback(lambda _: self._futures.pop(call_id, None))

    def resolve(
        self, future: TaskFuture[Any], value: Any = None, error: BaseException | None = None
    ) -> None:
        """Gives a result to the code that waits for it."""
        if future.done():
            return
        for scope in self._scopes:
            scope.resume(future)
        # Code may give a call up at any time.
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    # What to do when code has come to rest.

    def look_again(self) -> None:
        """Looks, once the loop has done all that is ready, what the code waits for."""
        if not self._looking and not self.has_ended:
            self._looking = True
            RestWatch.of(self.loop).when_at_rest(self._at_rest)

    @guarded
    def _at_rest(self) -> None:
        self._looking = False
        if self.has_ended:
            return
        if self.replay.mismatch is not None:
            self._finish(pb.Finish(mismatch=self.replay.mismatch))
        elif any(scope.is_busy for scope in self._scopes):
            # It will say when it has come to rest.
            return
        elif self.replay.release_next():
            self._not_overdue()
            self.look_again()
        elif self._body_end is not None and not self.questions:
            self._wind_up(self._body_end)
        elif (suspend := self._suspension()) is not None:
            self.send(suspend=suspend)
            self.end()
        elif self.replay.is_held_back and not self._is_at_work():
            self._watch_overdue(HELD_BACK_LIMIT, self._held_back)

    def _is_at_work(self) -> bool:
        return bool(self.pauses or self.unacknowledged) or any(
            not attempt.is_idle for attempt in self.attempts.values()
        )

    def _suspension(self) -> pb.Suspend | None:
        """What the code waits for, if that is all it can do: answers, and timers that take long."""
        body_rests = all(scope.is_idle for scope in self._scopes if not scope.call_id)
        if not self.replay.is_settled or self._is_at_work() or not body_rests:
            return None
        due = min(self.timers.values(), default=None)
        if due is not None and due - time.time() <= SHORT_WAIT:
            return None
        if due is None and not self.questions:
            return None
        suspend = _last_words.suspended(self.questions.values())
        if due is not None:
            suspend.wake_time.FromDatetime(
                datetime.datetime.fromtimestamp(due, datetime.timezone.utc)
            )
        return suspend

    def _held_back(self) -> None:
        mismatch = None if self._is_at_work() else self.replay.mismatch_at_end()
        if mismatch is not None:
            self._finish(pb.Finish(mismatch=mismatch))

    def _watch_overdue(self, seconds: float, then: Callable[[], None]) -> None:
        def overdue() -> None:
            self._overdue = None
            then()

        if self._overdue is None:
            self._overdue = self.later(seconds, overdue)

    def _not_overdue(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    # The end.

    def _body_ended(self, outcome: Callable[[], Any]) -> None:
        self._not_overdue()
        self._body_end = outcome

    def _wind_up(self, outcome: Callable[[], Any]) -> None:
        try:
            returned = outcome()
        except ExecutionEnded:
            # It asked something that is not asked any more.
            return
        except BaseException as error:
            if self.attempts or self.pauses or self.unacknowledged:
                # What is under way is recorded, so that a retry need not repeat it.
                self._watch_overdue(FAILURE_GRACE, functools.partial(self._fail, error))
            else:
                self._fail(error)
        else:
            if not (self.attempts or self.pauses or self.unacknowledged):
                self._return(returned)

    def _return(self, returned: Any) -> None:
        mismatch = self.replay.mismatch_at_end()
        if mismatch is not None:
            self._finish(pb.Finish(mismatch=mismatch))
            return
        try:
            finish = _last_words.returned(returned, self.start.entrypoint)
        except Exception as error:
            self._fail(error)
        else:
            self._finish(finish)

    def _fail(self, error: BaseException) -> None:
        if self.has_ended:
            return
        mismatch = self.replay.mismatch
        if mismatch is not None:
            self._finish(pb.Finish(mismatch=mismatch))
            return
        if self.cancelled is not None:
            # Whatever it ended by: also what a group of tasks makes of it.
            error = Cancelled(self.cancelled)
        policy = self.definition.policy_for(error)
        failure = to_message(error, "", "", retryable=retryable(error, policy))
        self._finish(_last_words.failed(failure, policy))

    def _finish(self, finish: pb.Finish) -> None:
        finish.replayed_count = self.replay.replayed_count
        self.send(finish=finish)
        self.end()
