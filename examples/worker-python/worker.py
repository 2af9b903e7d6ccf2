"""A worker of Weft on plain grpcio. README.md goes through it part by part."""

import asyncio
import json
import random
from collections import deque
from functools import partial
from hashlib import sha256
from itertools import count

import grpc
from weft.workflow.v1 import worker_pb2 as pb
from weft.workflow.v1 import worker_pb2_grpc as rpc


class Failure(Exception):
    def __init__(self, reason, message, retryable=False):
        self.told = pb.Failure(reason=reason, message=message, retryable=retryable)


class Over(BaseException):
    """The last word of an execution is said: its code is to end."""


def give(future, outcome):
    if not future.done():  # Nobody may wait for it any more.
        future.set_result(outcome)


def told(error):
    return error.told if isinstance(error, Failure) else Failure("FAILED", repr(error), True).told


# --- 1. An execution: calls that are recorded before code sees what they came to ---


class Execution:
    def __init__(self, start, tell):
        self.start, self.tell, self.input = start, tell, json.loads(start.input.json_text)
        self.journal = {entry.call.id: entry.call for entry in start.journal}

        def inner(id):  # What a recorded call called itself is not asked for again.
            return any(id.startswith(f"{caller}/") for caller in self.journal)

        self.order = deque((e.call.id, e.outcome) for e in start.journal if not inner(e.call.id))
        self.waiting, self.made, self.replayed, self.resting = {}, 0, 0, 0
        self.is_cancelled, self.save = False, None

    def call(self, task, argument=None, attempts=1):
        """Calls a task, or returns what is recorded of the call; to be awaited."""
        call = self.next_call(pb.Call.KIND_TASK, task.__name__, argument)
        return self.called(call, task, argument, attempts)

    async def called(self, call, task, argument, attempts):
        outcome = await self.outcome(call.id) if call.id in self.journal else None
        attempt = 0
        while outcome is None:
            if self.is_cancelled:
                raise Failure("CANCELLED", "the run was cancelled")
            attempt += 1
            record = pb.Record(call=call, attempt=attempt)
            record.retry.max_attempts, record.retry.factor = attempts, 2
            record.retry.initial_delay.FromMilliseconds(50)
            try:
                result = await task(argument, f"{self.start.run_id}/{call.id}", attempt)
                record.outcome.value.json_text = json.dumps(result)
            except Exception as error:
                record.outcome.failure.CopyFrom(told(error))
            self.tell(record=record)
            outcome = await self.outcome(call.id)
        if outcome.HasField("failure"):
            raise Failure(outcome.failure.reason, outcome.failure.message)
        return json.loads(outcome.value.json_text)

    async def interrupt(self, question):
        """Asks a question; its answer is in the journal of the next execution."""
        call = self.next_call(pb.Call.KIND_INTERRUPT, "interrupt", question)
        if call.id in self.journal:
            return json.loads((await self.outcome(call.id)).value.json_text)
        asked = pb.Question(call=call)
        asked.value.json_text = json.dumps(question)
        self.tell(suspend=pb.Suspend(questions=[asked]))
        raise Over

    def next_call(self, kind, task, argument):
        """The next call that code makes. Its number is its place in the journal."""
        text = json.dumps(argument, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = sha256(text.encode()).digest()
        call = pb.Call(id=str(self.made), kind=kind, task=task, input_hash=digest)
        self.made += 1
        recorded = self.journal.get(call.id, call)
        self.replayed += recorded is not call
        if (recorded.kind, recorded.task) != (kind, task):
            why = f"call {call.id} is recorded as `{recorded.task}`, but is now `{task}`"
            self.tell(finish=pb.Finish(mismatch=Failure("NON_DETERMINISTIC", why).told))
            raise Over
        return call

    def outcome(self, call_id):
        """What becomes of a call; None if its task is to be executed once more."""
        future = self.waiting[call_id] = asyncio.get_running_loop().create_future()
        self.release()
        return future

    def release(self):
        """Lets code see the next outcome in commit order, once it rests after the last one."""
        if not self.resting and self.order and self.order[0][0] in self.waiting:
            call_id, outcome = self.order.popleft()
            give(self.waiting.pop(call_id), outcome)
            self.rest(16)

    def rest(self, passes):
        self.resting = passes
        if passes:
            asyncio.get_running_loop().call_soon(self.rest, passes - 1)
        else:
            self.release()

    def hear(self, message):
        """The service says something about this execution."""
        if message.HasField("ack"):
            self.order.append((message.ack.call_id, message.ack.outcome))
            self.release()
        elif message.HasField("retry"):
            future, delay = self.waiting.pop(message.retry.call_id), message.retry.delay
            asyncio.get_running_loop().call_later(delay.ToMilliseconds() / 1000, give, future, None)
        elif message.HasField("cancel"):
            self.is_cancelled = True

    async def execute(self, entrypoints):
        """Executes the entrypoint to its end."""
        finish = pb.Finish()
        try:
            value = await entrypoints[self.start.entrypoint](self)
            finish.returned.value.json_text = json.dumps(value)
            finish.returned.saved.json_text = json.dumps(value if self.save is None else self.save)
        except Over:
            return
        except Exception as error:
            finish.failed.failure.CopyFrom(told(error))
        finish.replayed_count = self.replayed
        self.tell(finish=finish)


# --- 2. A stream: Hello, pings, and messages for executions; a new one when it is lost ---


async def connect(stub, entrypoints):
    """Executes runs until the stream ends."""
    outbox, starting, executions = asyncio.Queue(), {}, {}
    hosted = [pb.HostedEntrypoint(name=name, version="1") for name in entrypoints]
    hello = pb.Hello(protocol=1, worker_name="worker.py", entrypoints=hosted, max_runs=10)
    outbox.put_nowait(pb.ConnectRequest(hello=hello))

    async def requests():
        while True:
            yield await outbox.get()

    def tell(id, **said):
        if id in executions:  # One that is fenced is not heard any more.
            outbox.put_nowait(pb.ConnectRequest(execution_id=id, **said))

    try:
        async for message in stub.Connect(requests()):
            id = message.execution_id
            if message.HasField("ping"):
                heartbeat = pb.Heartbeat(execution_ids=[*starting, *executions])
                outbox.put_nowait(pb.ConnectRequest(heartbeat=heartbeat))
            elif message.HasField("start_run"):
                starting[id] = message.start_run
            elif message.HasField("journal_chunk") and id in starting:
                starting[id].journal.extend(message.journal_chunk.entries)
            elif message.HasField("fenced"):
                starting.pop(id, None)
                if id in executions:
                    executions.pop(id).code.cancel()
            elif id in executions:
                executions[id].hear(message)
            if id in starting and len(starting[id].journal) == starting[id].journal_length:
                execution = executions[id] = Execution(starting.pop(id), partial(tell, id))
                execution.code = asyncio.create_task(execution.execute(entrypoints))
    finally:
        while executions:
            executions.popitem()[1].code.cancel()


async def serve(address, entrypoints):
    """Hosts entrypoints, functions by name, for as long as the process lives."""
    options = [("grpc.max_receive_message_length", 40 << 20), ("grpc.keepalive_time_ms", 5000)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        for tries in count():
            try:
                await connect(rpc.WorkerServiceStub(channel), entrypoints)
            except grpc.aio.AioRpcError as lost:
                # INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED
                if lost.code().value[0] in (3, 7, 12, 16):
                    raise
            await asyncio.sleep(random.uniform(0, min(5, 2**tries / 4)))
