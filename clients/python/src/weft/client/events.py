"""What streams of runs are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from weft.client.values import Checkpoint, ErrorDetail, Interrupt, Run, Usage


class StreamMode(str, Enum):
    """Selects events of a stream."""

    VALUES = "values"
    """The output of the entrypoint, or its interrupts."""
    UPDATES = "updates"
    """Each task's result as it is recorded, then the output."""
    MESSAGES = "messages"
    """Pieces of messages as language models write them, also inside tasks."""
    CUSTOM = "custom"
    """What entrypoints and tasks write to the stream themselves."""
    TASKS = "tasks"
    """Start, retry and end of each task."""
    CHECKPOINTS = "checkpoints"
    """Checkpoints as they are written."""
    STATES = "states"
    """Changes of the run's state."""


class TaskStep(str, Enum):
    """Step in the life of a task call."""

    STARTED = "STARTED"
    """An attempt began."""
    RETRYING = "RETRYING"
    """An attempt failed and another follows."""
    SUCCEEDED = "SUCCEEDED"
    """The result was recorded."""
    FAILED = "FAILED"
    """It failed for good."""


@dataclass(frozen=True)
class Value:
    """The entrypoint's output."""

    value: Any
    """What it returned."""


@dataclass(frozen=True)
class Interrupted:
    """The run stopped to ask."""

    interrupts: tuple[Interrupt, ...]
    """The questions."""


@dataclass(frozen=True)
class Update:
    """A recorded result."""

    task: str
    """Task that returned it; the entrypoint's name for its output."""
    task_id: str
    """Call of the task within the run; empty for the entrypoint."""
    result: Any
    """The result."""
    cached: bool
    """Whether it came from the task's cache."""


@dataclass(frozen=True)
class ToolCallPiece:
    """A piece of a call of a tool that a model writes; those with the same index make one call."""

    index: int
    """Place of the call among those of its message, from 0."""
    id: str
    """Id of the call; empty as long as the provider has not told it."""
    name: str
    """Name of the tool; empty likewise."""
    arguments: str
    """Text to append to the arguments, which are JSON once they are whole."""


@dataclass(frozen=True)
class MessagePiece:
    """A piece of a message that a model writes: of its text, its thoughts, or a call of a tool."""

    task: str
    """Task that called the model."""
    task_id: str
    """Call of the task within the run."""
    message_id: str
    """Message that the piece belongs to."""
    text: str
    """Text to append."""
    reset: bool
    """True when the task is tried again: forget this message's pieces."""
    model: str
    """Model that writes, as ``provider:model``."""
    thinking: str = ""
    """Thoughts to append. They are no part of the text."""
    tool_call: ToolCallPiece | None = None
    """Call of a tool that goes on, if the piece is one of such a call."""


@dataclass(frozen=True)
class Custom:
    """Something that user code wrote to the stream."""

    task: str
    """Task that wrote it; empty for the entrypoint."""
    task_id: str
    """Call of the task within the run."""
    value: Any
    """What it wrote."""


@dataclass(frozen=True)
class TaskChanged:
    """A step in the life of one call of a task."""

    task: str
    """Name of the task."""
    task_id: str
    """Call of the task within the run; the same after every replay."""
    step: TaskStep
    """What happened."""
    attempt: int
    """1 for the first attempt."""
    input: Any
    """Argument; of STARTED."""
    result: Any
    """Result; of SUCCEEDED."""
    error: ErrorDetail | None
    """Why it failed; of RETRYING or FAILED."""
    next_attempt_time: datetime | None
    """When the next attempt starts; of RETRYING."""
    usage: Usage = field(default_factory=Usage)
    """What language models took in all its attempts; of SUCCEEDED and FAILED."""


@dataclass(frozen=True)
class Warned:
    """Something that people should know, and that does not stop the run."""

    task: str
    """Task that it is about; empty for the entrypoint."""
    task_id: str
    """Call of the task within the run."""
    reason: str
    """Stable reason, for programs, e.g. ``INPUT_CHANGED``."""
    message: str
    """Sentence for people."""


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint was written."""

    checkpoint: Checkpoint
    """The checkpoint."""


@dataclass(frozen=True)
class StateChanged:
    """The run is in another state."""

    run: Run
    """The run, in its new state."""


@dataclass(frozen=True)
class Gap:
    """Events were dropped: this reader was too slow or too late, or they were too many at once."""

    dropped_count: int
    """How many."""


Happening = (
    Value
    | Interrupted
    | Update
    | MessagePiece
    | Custom
    | TaskChanged
    | Warned
    | CheckpointWritten
    | StateChanged
    | Gap
)


@dataclass(frozen=True)
class Event:
    """Something that happened in a run."""

    sequence: int
    """Grows with every event of the run; gaps are possible."""
    run_id: str
    """Run it belongs to."""
    time: datetime | None
    """When it happened."""
    mode: StreamMode | None
    """Mode that selects it; ``None`` for a gap."""
    data: Happening
    """What happened."""
