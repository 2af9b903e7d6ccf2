"""What the clients return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from weft.errors import RunCancelled, RunFailed, RunInterrupted, RunPaused


class RunState(str, Enum):
    """State of a run. It rests in INTERRUPTED, PAUSED and the three final states."""

    QUEUED = "QUEUED"
    """Recorded; waits for its thread, its start time or a worker."""
    RUNNING = "RUNNING"
    """A worker executes it."""
    WAITING = "WAITING"
    """Holds no worker; waits for a timer or for a task that runs elsewhere."""
    INTERRUPTED = "INTERRUPTED"
    """Waits for an answer."""
    PAUSED = "PAUSED"
    """Cannot go on until someone acts; ``error`` says why."""
    SUCCEEDED = "SUCCEEDED"
    """Finished with an output."""
    FAILED = "FAILED"
    """Finished with an error."""
    CANCELLED = "CANCELLED"
    """Stopped on request."""

    @property
    def rests(self) -> bool:
        """Whether nothing happens until someone acts."""
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.WAITING)


class ThreadState(str, Enum):
    """State of a thread."""

    IDLE = "IDLE"
    """No run is unfinished."""
    BUSY = "BUSY"
    """A run is queued, running or waiting."""
    INTERRUPTED = "INTERRUPTED"
    """A run waits for an answer."""
    ERROR = "ERROR"
    """The last run failed or is paused."""


class Concurrency(str, Enum):
    """What becomes of a new run whose thread has an unfinished one."""

    ENQUEUE = "ENQUEUE"
    """It waits its turn."""
    REJECT = "REJECT"
    """It is refused with `weft.errors.Aborted`."""
    INTERRUPT = "INTERRUPT"
    """The unfinished run is cancelled; what it recorded stays."""
    ROLLBACK = "ROLLBACK"
    """The unfinished run is cancelled and deleted with its checkpoints."""


class Durability(str, Enum):
    """When task results reach the disk."""

    SYNC = "SYNC"
    """Before the entrypoint sees them."""
    ASYNC = "ASYNC"
    """While it goes on; all of them before the run ends."""
    EXIT = "EXIT"
    """When the run rests. A crash before that starts it over."""


@dataclass(frozen=True)
class ErrorDetail:
    """Why a run or a task failed."""

    reason: str
    """Stable UPPER_SNAKE_CASE reason."""
    message: str
    """Sentence for people."""
    task: str = ""
    """Task that failed, if one did."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Details for programs."""


@dataclass(frozen=True)
class Usage:
    """What language models took."""

    model_calls: int = 0
    """Answers of models."""
    input_tokens: int = 0
    """Tokens that were read, cached ones included."""
    output_tokens: int = 0
    """Tokens that were written, thoughts included."""
    cache_read_tokens: int = 0
    """Of those read: taken from a provider's cache."""
    cache_write_tokens: int = 0
    """Of those read: put into a provider's cache."""
    reasoning_tokens: int = 0
    """Of those written: thoughts, where the provider tells."""


@dataclass(frozen=True)
class Interrupt:
    """A question that a run waits for an answer to."""

    value: Any
    """The question."""
    id: str
    """Unique within the run, the same after every replay."""
    task: str = ""
    """Task that asked; empty for the entrypoint itself."""


@dataclass(frozen=True)
class Run:
    """One execution of an entrypoint on a thread."""

    id: str
    """A UUIDv7."""
    thread_id: str
    """Thread the run belongs to."""
    entrypoint: str
    """Name of the entrypoint."""
    version: str
    """Version of the entrypoint that the run is pinned to."""
    state: RunState
    """Current state."""
    state_reason: str
    """Why it waits, in a few words."""
    input: Any
    """What the entrypoint was called with."""
    config: Any
    """Settings of the run."""
    output: Any
    """What it returned; of a run that SUCCEEDED."""
    error: ErrorDetail | None
    """Why it failed; of one that FAILED or is PAUSED."""
    interrupts: tuple[Interrupt, ...]
    """Its open questions: what it waits for, when INTERRUPTED.

    One that is QUEUED or RUNNING since some were answered still has the others.
    """
    checkpoint_id: str
    """Checkpoint that the run wrote last."""
    attempt: int
    """Times the entrypoint was started, replays included."""
    last_sequence: int
    """Number of its last event."""
    create_time: datetime | None
    """When it was recorded."""
    start_time: datetime | None
    """When a worker first took it."""
    end_time: datetime | None
    """When it reached a final state."""
    labels: Mapping[str, str]
    """The caller's labels."""
    usage: Usage = field(default_factory=Usage)
    """What language models took in its recorded calls; nothing as long as it is not told."""

    def result(self) -> Any:
        """The output, or an exception that says why there is none."""
        if self.state is RunState.SUCCEEDED:
            return self.output
        said = f"run {self.id} of `{self.entrypoint}`"
        why = f": {self.error.reason}: {self.error.message}" if self.error else ""
        if self.state is RunState.FAILED:
            raise RunFailed(f"{said} failed{why}", self)
        if self.state is RunState.CANCELLED:
            raise RunCancelled(f"{said} was cancelled{why}", self)
        if self.state is RunState.PAUSED:
            raise RunPaused(f"{said} is paused{why}", self)
        if self.state is RunState.INTERRUPTED:
            raise RunInterrupted(f"{said} waits for {len(self.interrupts)} answer(s)", self)
        raise ValueError(f"{said} is {self.state.value}: wait for it first")


@dataclass(frozen=True)
class Entrypoint:
    """A workflow that can be run."""

    name: str
    """Registered name."""
    version: str
    """Version that new runs are pinned to."""
    description: str
    """One sentence for people."""
    input_schema: Any
    """JSON Schema of the input; ``None`` if any JSON is taken."""
    worker_count: int
    """Workers connected now that host it; the service itself counts as one."""


@dataclass(frozen=True)
class OfferedTask:
    """A task that workers offer to the runs of others."""

    name: str
    """Name that it is called by."""
    description: str
    """What it does, for people and models."""
    input_schema: Any
    """JSON Schema of the argument; ``None`` if any JSON is taken."""
    output_schema: Any
    """JSON Schema of the result; ``None`` if that is not told."""
    worker_count: int
    """Workers connected now that offer it."""


@dataclass(frozen=True)
class Checkpoint:
    """The state that a run, or an update by hand, left on a thread."""

    id: str
    """A UUIDv7; greater means newer."""
    thread_id: str
    """Thread it belongs to."""
    parent_id: str
    """Checkpoint before it; empty for the first."""
    run_id: str
    """Run that wrote it; empty if written by hand."""
    value: Any
    """What the entrypoint returned."""
    saved: Any
    """What it saved for the next run: that run's ``previous``."""
    source: str
    """Who wrote it: ``run``, ``update`` or ``fork``."""
    create_time: datetime | None
    """When it was written."""


@dataclass(frozen=True)
class Thread:
    """A sequence of runs that hand state to one another."""

    id: str
    """The caller's id, or a UUIDv7."""
    state: ThreadState
    """Current state."""
    checkpoint: Checkpoint | None
    """Newest checkpoint, or the one asked for."""
    interrupts: tuple[Interrupt, ...]
    """Open questions of the run that has the thread: what it waits for, when INTERRUPTED."""
    create_time: datetime | None
    """When the thread was first used."""
    update_time: datetime | None
    """When its state last changed."""


@dataclass(frozen=True)
class Item:
    """One document in memory."""

    namespace: tuple[str, ...]
    """Path of labels, outermost first."""
    key: str
    """Unique within the namespace."""
    value: dict[str, Any]
    """The document."""
    created_at: datetime
    """When the item was first written."""
    updated_at: datetime
    """When the item was last written."""
    expires_at: datetime | None
    """From when on the item is gone; ``None`` for never."""
    etag: str
    """Opaque version; changes on every write."""


@dataclass(frozen=True)
class SearchItem(Item):
    """An item that a search found."""

    score: float | None = None
    """Higher is closer; ``None`` when nothing was ranked."""


@dataclass(frozen=True)
class Namespace:
    """A path of labels that holds items."""

    labels: tuple[str, ...]
    """The labels, outermost first."""
    item_count: int
    """Items in the namespace; in a cut one, items in it and below it."""
