"""The engine's side of the protocol for one run, in memory: what the service would do."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from weft.func import Program, entrypoint
from weft.func._execution import Execution
from weft.workflow.v1 import worker_pb2 as pb

#: Seconds that an execution may take to say its last word.
PATIENCE = 20.0


class Engine:
    """One run, executed as often as a test wants."""

    def __init__(self, program: Program, value: Any = None, **start: Any) -> None:
        self.program = program
        self.journal: list[pb.JournalEntry] = []
        self.emitted: list[pb.Emit] = []
        self.run_id = str(uuid.uuid4())
        self.attempts = 0
        self.input = value
        self.more = start
        self.cache: dict[str, pb.Outcome] = {}
        self.delegated: asyncio.Queue[pb.Delegate] = asyncio.Queue()

    async def execute(self, *, records: int | None = None) -> Any:
        """Executes the run; returns its last word, or ``None`` after so many records: a crash."""
        self.attempts += 1
        start = pb.StartRun(
            run_id=self.run_id,
            thread_id="thread",
            entrypoint=self.program.name,
            version="1",
            attempt=self.attempts,
            journal=self.journal,
            journal_length=len(self.journal),
            **self.more,
        )
        start.input.json_text = json.dumps(self.input)
        start.config.json_text = start.config.json_text or "{}"
        inbox: asyncio.Queue[pb.ConnectRequest] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self.execution = Execution(1, start, self.program.definition, inbox.put_nowait, loop)
        self.execution.run()
        while records is None or records > 0:
            message = await asyncio.wait_for(inbox.get(), PATIENCE)
            match message.WhichOneof("message"):
                case "record":
                    records = None if records is None else records - 1
                    self._record(message.record)
                case "lookup":
                    self._look_up(message.lookup)
                case "delegate":
                    self.delegated.put_nowait(message.delegate)
                case "emit":
                    self.emitted.append(message.emit)
                case "suspend":
                    return message.suspend
                case "finish":
                    return message.finish
        self.execution.end()
        return None

    def _record(self, record: pb.Record) -> None:
        failure = record.outcome.failure
        again = failure.retryable and record.attempt < record.retry.max_attempts
        if record.outcome.HasField("failure") and again:
            self.execution.retry(record.call.id, 0.001)
            return
        if record.HasField("cache"):
            self.cache[f"{record.call.task}/{record.cache.key}"] = record.outcome
        self._commit(record.call, record.outcome)

    def _look_up(self, lookup: pb.Lookup) -> None:
        cached = self.cache.get(f"{lookup.call.task}/{lookup.key}")
        if cached is None:
            self.execution.retry(lookup.call.id, 0.0)
        else:
            self._commit(lookup.call, cached)

    def _commit(self, call: pb.Call, outcome: pb.Outcome) -> None:
        self.journal.append(pb.JournalEntry(call=call, outcome=outcome))
        self.execution.acknowledge(call.id, outcome)

    def answer(self, question: pb.Question, value: Any) -> None:
        """Answers a question."""
        outcome = pb.Outcome()
        outcome.value.json_text = json.dumps(value)
        self.journal.append(pb.JournalEntry(call=question.call, outcome=outcome))

    async def output(self) -> Any:
        """Executes the run to its end; what it returned."""
        return returned(await self.execute())


def returned(finish: pb.Finish) -> Any:
    """What an execution returned."""
    assert isinstance(finish, pb.Finish), finish
    assert finish.WhichOneof("end") == "returned", finish
    return json.loads(finish.returned.value.json_text)


def failed(finish: pb.Finish) -> pb.Failure:
    """Why an execution failed."""
    assert finish.WhichOneof("end") == "failed", finish
    return finish.failed.failure


def paused(finish: pb.Finish) -> pb.Failure:
    """Why an execution did not fit its journal."""
    assert finish.WhichOneof("end") == "mismatch", finish
    return finish.mismatch


def calling(called: Any, *args: Any, **kwargs: Any) -> list[Program]:
    """Programs, blocking and asynchronous, that call a task."""

    @entrypoint()
    def blocking(_: Any) -> Any:
        return called(*args, **kwargs).result()

    @entrypoint()
    async def asynchronous(_: Any) -> Any:
        return await called(*args, **kwargs)

    return [blocking, asynchronous]
