"""Events and threads in the shapes that LangGraph gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.client import events
from weft.client.events import StreamMode
from weft.client.values import Checkpoint, Interrupt, Run, RunState, Thread, ThreadState
from weft.func import _codec
from weft.func.types import StateSnapshot, StateTask

_MODES = {
    mode.value: mode
    for mode in StreamMode
    # LangGraph has no such mode.
    if mode is not StreamMode.STATES
}


@dataclass(frozen=True)
class MessageChunk:
    """A piece of a message that a model writes."""

    content: str
    """Text to append."""
    id: str
    """Message that the piece belongs to."""
    reset: bool = False
    """True when the task is tried again: forget this message's pieces."""
    thinking: str = ""
    """Thoughts to append. They are no part of the content."""
    tool_call: events.ToolCallPiece | None = None
    """Call of a tool that goes on, if the piece is one of such a call."""


def mode_of(name: str) -> StreamMode:
    """A mode of a stream, by LangGraph's name for it."""
    if name not in _MODES:
        known = ", ".join(f"`{mode}`" for mode in _MODES)
        raise ValueError(f"there is no stream mode `{name}`: use {known}")
    return _MODES[name]


def interrupt(one: Interrupt) -> Interrupt:
    """A question, with its value as the program asked it."""
    return Interrupt(_codec.from_plain(one.value), one.id, one.task)


def run_of(event: events.Event) -> Run | None:
    """The run, if the event shows it in a new state."""
    return event.data.run if isinstance(event.data, events.StateChanged) else None


def of_run(run: Run, wanted: Sequence[StreamMode]) -> Iterator[tuple[str, Any]]:
    """What is streamed of a run that rested before anybody looked, with its modes."""
    if run.state is RunState.INTERRUPTED:
        asked = {"__interrupt__": tuple(interrupt(one) for one in run.interrupts)}
        for mode in (StreamMode.VALUES, StreamMode.UPDATES):
            if mode in wanted:
                yield mode.value, asked
    elif run.state is RunState.SUCCEEDED and StreamMode.VALUES in wanted:
        yield StreamMode.VALUES.value, _codec.from_plain(run.output)


def items_of(
    event: events.Event, wanted: Sequence[StreamMode], entrypoint: str
) -> Iterator[tuple[str, Any]]:
    """What is streamed of an event, with the mode that it is of."""
    data = event.data
    match data:
        case events.Interrupted():
            asked = {"__interrupt__": tuple(interrupt(one) for one in data.interrupts)}
            for mode in (StreamMode.VALUES, StreamMode.UPDATES):
                if mode in wanted:
                    yield mode.value, asked
            return
        case events.StateChanged() | events.Gap() | events.Warned():
            return
        case _:
            pass
    if event.mode is not None and event.mode in wanted:
        yield event.mode.value, _item(data, entrypoint)


def _item(data: events.Happening, entrypoint: str) -> Any:
    match data:
        case events.Value():
            return _codec.from_plain(data.value)
        case events.Update():
            update = {data.task: _codec.from_plain(data.result)}
            return {**update, "__metadata__": {"cached": True}} if data.cached else update
        case events.Custom():
            return _codec.from_plain(data.value)
        case events.MessagePiece():
            node = {"langgraph_node": data.task or entrypoint, "model": data.model}
            chunk = MessageChunk(
                data.text, data.message_id, data.reset, data.thinking, data.tool_call
            )
            return chunk, node
        case events.TaskChanged():
            return _task(data)
        case events.CheckpointWritten():
            state = state_of_checkpoint(data.checkpoint)
            return {
                "config": state.config,
                "parent_config": state.parent_config,
                "values": state.values,
                "metadata": state.metadata,
                "next": [],
                "tasks": [],
            }
        case _:
            return None


def _task(data: events.TaskChanged) -> dict[str, Any]:
    told: dict[str, Any] = {"id": data.task_id, "name": data.task, "attempt": data.attempt}
    if data.step is events.TaskStep.STARTED:
        arguments = data.input if isinstance(data.input, dict) else {}
        args, kwargs = arguments.get("args", []), arguments.get("kwargs", {})
        return {**told, "input": (tuple(args), kwargs), "triggers": ("__pregel_push",)}
    error = f"{data.error.reason}: {data.error.message}" if data.error else None
    result = None if error else _codec.from_plain(data.result)
    return {**told, "error": error, "result": result, "interrupts": []}


def config_of(thread_id: str, checkpoint_id: str) -> dict[str, Any]:
    """What leads to a checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_id": checkpoint_id}}


def no_state(config: Mapping[str, Any], values: Any) -> StateSnapshot:
    """The state of a thread without a checkpoint."""
    return StateSnapshot(values, (), dict(config), None, None, None)


def state_of_checkpoint(checkpoint: Checkpoint) -> StateSnapshot:
    """The state that a checkpoint holds."""
    thread, parent = checkpoint.thread_id, checkpoint.parent_id
    return StateSnapshot(
        values=_codec.from_plain(checkpoint.value),
        next=(),
        config=config_of(thread, checkpoint.id),
        metadata={"source": checkpoint.source, "run_id": checkpoint.run_id},
        created_at=checkpoint.create_time.isoformat() if checkpoint.create_time else None,
        parent_config=config_of(thread, parent) if parent else None,
        saved=_codec.from_plain(checkpoint.saved),
    )


def state_of_thread(
    thread: Thread, entrypoint: str, *, newest: bool, failed: Run | None
) -> StateSnapshot:
    """The state of a thread, whose last run may have ``failed``."""
    asked = tuple(interrupt(one) for one in thread.interrupts) if newest else ()
    unfinished = newest and thread.state is not ThreadState.IDLE
    if thread.checkpoint is None:
        state = no_state({"configurable": {"thread_id": thread.id}}, None)
    else:
        state = state_of_checkpoint(thread.checkpoint)
    tasks = tuple(StateTask(one.id, one.task or entrypoint, (one,)) for one in asked)
    if failed is not None and failed.error is not None:
        error = f"{failed.error.reason}: {failed.error.message}"
        tasks = (*tasks, StateTask(failed.id, failed.error.task or entrypoint, (), error))
    return StateSnapshot(
        values=state.values,
        next=(entrypoint,) if unfinished else (),
        config=state.config,
        metadata=state.metadata,
        created_at=state.created_at,
        parent_config=state.parent_config,
        tasks=tasks,
        interrupts=asked,
        saved=state.saved,
    )
