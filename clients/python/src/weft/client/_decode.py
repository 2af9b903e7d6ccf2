"""Messages of the contract as what the clients return."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from weft._payload import decode
from weft.client import events, values
from weft.memory.v1 import memory_pb2
from weft.workflow.v1 import workflow_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


def _time(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=timezone.utc)


def interrupts(of: Iterable[pb.Interrupt]) -> tuple[values.Interrupt, ...]:
    """Questions."""
    return tuple(values.Interrupt(decode(one.value), one.id, one.task) for one in of)


def error(one: pb.RunError) -> values.ErrorDetail:
    """Why something failed."""
    return values.ErrorDetail(one.reason, one.message, one.task, dict(one.metadata))


def run(one: pb.Run) -> values.Run:
    """A run."""
    return values.Run(
        id=one.id,
        thread_id=one.thread_id,
        entrypoint=one.entrypoint,
        version=one.version,
        state=values.RunState(pb.Run.State.Name(one.state).removeprefix("STATE_")),
        state_reason=one.state_reason,
        input=decode(one.input),
        config=decode(one.config),
        output=decode(one.output),
        error=error(one.error) if one.HasField("error") else None,
        interrupts=interrupts(one.interrupts),
        checkpoint_id=one.checkpoint_id,
        attempt=one.attempt,
        last_sequence=one.last_sequence,
        create_time=_time(one.create_time) if one.HasField("create_time") else None,
        start_time=_time(one.start_time) if one.HasField("start_time") else None,
        end_time=_time(one.end_time) if one.HasField("end_time") else None,
        labels=dict(one.labels),
        usage=_usage(one.usage),
    )


def _usage(one: pb.Usage) -> values.Usage:
    return values.Usage(
        model_calls=one.model_calls,
        input_tokens=one.input_tokens,
        output_tokens=one.output_tokens,
        cache_read_tokens=one.cache_read_tokens,
        cache_write_tokens=one.cache_write_tokens,
        reasoning_tokens=one.reasoning_tokens,
    )


def entrypoint(one: pb.Entrypoint) -> values.Entrypoint:
    """An entrypoint."""
    schema = decode(one.input_schema)
    return values.Entrypoint(one.name, one.version, one.description, schema, one.worker_count)


def task(one: pb.Task) -> values.OfferedTask:
    """A task on offer."""
    taken, given = decode(one.input_schema), decode(one.output_schema)
    return values.OfferedTask(one.name, one.description, taken, given, one.worker_count)


def checkpoint(one: pb.Checkpoint) -> values.Checkpoint:
    """A checkpoint."""
    return values.Checkpoint(
        id=one.id,
        thread_id=one.thread_id,
        parent_id=one.parent_id,
        run_id=one.run_id,
        value=decode(one.value),
        saved=decode(one.saved),
        source=one.source,
        create_time=_time(one.create_time) if one.HasField("create_time") else None,
    )


def thread(one: pb.Thread) -> values.Thread:
    """A thread."""
    return values.Thread(
        id=one.id,
        state=values.ThreadState(pb.Thread.State.Name(one.state).removeprefix("STATE_")),
        checkpoint=checkpoint(one.checkpoint) if one.HasField("checkpoint") else None,
        interrupts=interrupts(one.interrupts),
        create_time=_time(one.create_time) if one.HasField("create_time") else None,
        update_time=_time(one.update_time) if one.HasField("update_time") else None,
    )


def event(one: pb.Event) -> events.Event:
    """Something that happened in a run."""
    mode = pb.StreamMode.Name(one.mode).removeprefix("STREAM_MODE_").lower()
    return events.Event(
        sequence=one.sequence,
        run_id=one.run_id,
        time=_time(one.time) if one.HasField("time") else None,
        mode=None if mode == "unspecified" else events.StreamMode(mode),
        data=_happening(one),
    )


def _happening(one: pb.Event) -> events.Happening:
    match one.WhichOneof("kind"):
        case "value":
            return events.Value(decode(one.value))
        case "interrupted":
            return events.Interrupted(interrupts(one.interrupted.interrupts))
        case "update":
            update = one.update
            result = decode(update.result)
            return events.Update(update.task, update.task_id, result, update.cached)
        case "message":
            piece = one.message
            return events.MessagePiece(
                task=piece.task,
                task_id=piece.task_id,
                message_id=piece.message_id,
                text=piece.text,
                reset=piece.reset,
                model=piece.model,
                thinking=piece.thinking,
                tool_call=_tool_call(piece.tool_call) if piece.HasField("tool_call") else None,
            )
        case "custom":
            return events.Custom(one.custom.task, one.custom.task_id, decode(one.custom.value))
        case "task":
            return _task(one.task)
        case "warning":
            warned = one.warning
            return events.Warned(warned.task, warned.task_id, warned.reason, warned.message)
        case "checkpoint":
            return events.CheckpointWritten(checkpoint(one.checkpoint))
        case "run":
            return events.StateChanged(run(one.run))
        case _:
            return events.Gap(one.gap.dropped_count)


def _tool_call(one: pb.ToolCallPiece) -> events.ToolCallPiece:
    return events.ToolCallPiece(one.index, one.id, one.name, one.arguments)


def _task(one: pb.TaskEvent) -> events.TaskChanged:
    next_time = _time(one.next_attempt_time) if one.HasField("next_attempt_time") else None
    return events.TaskChanged(
        task=one.task,
        task_id=one.task_id,
        step=events.TaskStep(pb.TaskEvent.Step.Name(one.step).removeprefix("STEP_")),
        attempt=one.attempt,
        input=decode(one.input),
        result=decode(one.result),
        error=error(one.error) if one.HasField("error") else None,
        next_attempt_time=next_time,
        usage=_usage(one.usage),
    )


def item(one: memory_pb2.Item) -> values.Item:
    """An item."""
    return values.Item(
        namespace=tuple(one.namespace),
        key=one.key,
        value=decode(one.value),
        created_at=_time(one.create_time),
        updated_at=_time(one.update_time),
        expires_at=_time(one.expire_time) if one.HasField("expire_time") else None,
        etag=one.etag,
    )


def hit(one: memory_pb2.SearchHit) -> values.SearchItem:
    """An item that a search found."""
    found = item(one.item)
    score = one.score if one.HasField("score") else None
    return values.SearchItem(**vars(found), score=score)


def namespace(one: memory_pb2.Namespace) -> values.Namespace:
    """A namespace."""
    return values.Namespace(tuple(one.labels), one.item_count)
