"""The recorded outcomes of a run, and the order in which code gets to see them.

Outcomes, recorded earlier or acknowledged now, are handed out one at a time and in commit order.
Code that races calls sees the same winner again only so, and only if it comes to rest in between.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from weft.workflow.v1 import worker_pb2 as pb

logger = logging.getLogger("weft.worker")

_NOUNS = {
    pb.Call.KIND_TASK: "task",
    pb.Call.KIND_INTERRUPT: "interrupt",
    pb.Call.KIND_SIDE: "side value",
}

#: What a call that waits is given.
Receive = Callable[[pb.Outcome], None]


@dataclass
class _Next:
    call_id: str
    outcome: pb.Outcome


class Replay:
    """The journal of one execution, and what is acknowledged while it lasts."""

    def __init__(
        self,
        journal: Iterable[pb.JournalEntry],
        *,
        strict: bool,
        stream: Callable[[pb.Emit], None],
    ) -> None:
        entries = list(journal)
        ids = {entry.call.id for entry in entries}
        # A recorded call is not made again, so what it called itself will not be asked for.
        self._unmade = {
            entry.call.id: entry for entry in entries if not any(_callers(entry.call.id, ids))
        }
        self._order = deque(
            _Next(call_id, entry.outcome)
            for call_id, entry in ((entry.call.id, entry) for entry in entries)
            if call_id in self._unmade
        )
        self._waiting: dict[str, Receive] = {}
        self._strict = strict
        self._stream = stream
        self._taken: set[str] = set()
        self.replayed_count = 0
        """Recorded calls that were made again."""
        self.mismatch: pb.Failure | None = None
        """Why the code does not fit the journal."""

    def recorded(self, call: pb.Call) -> bool:
        """Notes that the code makes a call; whether it is recorded, as this call."""
        entry = self._unmade.pop(call.id, None)
        if entry is None:
            return False
        if (entry.call.kind, entry.call.task) != (call.kind, call.task):
            self._fail(
                call,
                entry.call,
                f"call {call.id} was recorded as {_named(entry.call)}, "
                f"but the code now makes it {_named(call)}",
            )
        elif entry.call.input_hash and entry.call.input_hash != call.input_hash:
            what = f"call {call.id} of {_named(call)} was recorded with another argument"
            if self._strict:
                self._fail(call, entry.call, what)
            else:
                what = f"{what}; its recorded result stands"
                logger.warning("%s", what)
                warning = pb.Warning(reason="INPUT_CHANGED", message=what)
                self._stream(pb.Emit(call_id=call.id, task=call.task, warning=warning))
        self.replayed_count += 1
        return True

    def is_ahead(self, call_id: str) -> bool:
        """Whether a call that the code has not made yet is recorded."""
        return call_id in self._unmade

    def answer(self, call: pb.Call) -> pb.Outcome | None:
        """Makes an interrupt's call; its recorded answer, at once.

        Answers come with a journal, never later: code gets them at the same place in every replay.
        """
        if not self.recorded(call):
            return None
        self._taken.add(call.id)
        return next(one.outcome for one in self._order if one.call_id == call.id)

    def wait(self, call_id: str, receive: Receive) -> None:
        """Lets a call wait for its outcome."""
        self._waiting[call_id] = receive

    def forget(self, call_id: str) -> None:
        """Lets a call wait no longer."""
        self._waiting.pop(call_id, None)

    def acknowledge(self, call_id: str, outcome: pb.Outcome) -> None:
        """Queues an outcome that was committed after everything queued so far."""
        self._order.append(_Next(call_id, outcome))

    def release_next(self) -> bool:
        """Releases the next outcome; not if there is none or if code has not made its call yet."""
        while self._order and self._order[0].call_id in self._taken:
            self._order.popleft()
        if not self._order:
            return False
        receive = self._waiting.pop(self._order[0].call_id, None)
        if receive is None:
            return False
        receive(self._order.popleft().outcome)
        return True

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to come: no outcome to release, none to wait for."""
        return not self._waiting and not self.is_held_back

    @property
    def is_held_back(self) -> bool:
        """Whether an outcome waits for code to make its call."""
        return any(one.call_id not in self._taken for one in self._order)

    def mismatch_at_end(self) -> pb.Failure | None:
        """The mismatch if the code ended now: one found before, or calls that it did not make."""
        if self.mismatch is None and self._unmade:
            first = min(self._unmade.values(), key=lambda entry: entry.call.id).call
            self._fail(
                None,
                first,
                f"{len(self._unmade)} recorded call(s) were not made again, "
                f"the first is call {first.id} of {_named(first)}",
            )
        return self.mismatch

    def _fail(self, call: pb.Call | None, recorded: pb.Call, what: str) -> None:
        if self.mismatch is None:
            self.mismatch = pb.Failure(
                reason="NON_DETERMINISTIC",
                message=f"{what}; restore the code that recorded it, or start a new run",
                metadata={"call": recorded.id, "recorded_task": recorded.task},
            )
            if call is not None:
                self.mismatch.metadata["task"] = call.task


def _callers(call_id: str, ids: set[str]) -> Iterable[str]:
    parts = call_id.split("/")
    paths = ("/".join(parts[:length]) for length in range(1, len(parts)))
    return (path for path in paths if path in ids)


def _named(call: pb.Call) -> str:
    return f"{_NOUNS.get(call.kind, 'call')} `{call.task}`"
