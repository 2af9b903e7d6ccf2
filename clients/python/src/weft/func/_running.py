"""Runs of an entrypoint: how they are started, gone on with, waited for and watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from weft import _io
from weft.client.events import StreamMode
from weft.client.runs import AsyncRuns
from weft.client.values import Concurrency, Durability, Run, RunState
from weft.errors import EmptyInput, RunFailed
from weft.func import _codec, _streams
from weft.func._definition import EntrypointDefinition
from weft.func._injected import CARRIED
from weft.func.failures import of_run
from weft.func.types import Command

#: Settings of a call: ``{"configurable": {"thread_id": …, …}}``.
Config = Mapping[str, Any]
#: What LangChain's configs have, beside settings that it does not know.
_OF_LANGCHAIN = (
    "callbacks",
    "configurable",
    "max_concurrency",
    "metadata",
    "recursion_limit",
    "run_id",
    "run_name",
    "tags",
)
#: States of runs whose thread another run can not use.
_UNFINISHED = (RunState.INTERRUPTED, RunState.PAUSED, RunState.FAILED, RunState.CANCELLED)


@dataclass(frozen=True)
class How:
    """How an entrypoint is called."""

    given_config: Config | None
    context: Any = None
    durability: str | None = None
    concurrency: Concurrency | None = None

    @property
    def config(self) -> Config:
        return self.given_config or {}


class Runs:
    """The runs of one entrypoint. Asynchronous methods are for the thread of `_io`."""

    def __init__(
        self, runs: AsyncRuns, definition: EntrypointDefinition, timeout: timedelta | None
    ) -> None:
        self._runs = runs
        self._definition = definition
        self._timeout = timeout

    async def invoke(self, given: Any, how: How) -> Any:
        """Runs with an input and returns the output."""
        # Starting and waiting are one call, where they can be.
        start = await self._started(given, how, self._runs.invoke)
        run = start if start.state.rests else await self._runs.wait(start.id)
        return result_of(run)

    async def _started(
        self,
        given: Any,
        how: How,
        start: Callable[..., Coroutine[Any, Any, Run]],
    ) -> Run:
        """The run that a call is about: a new one, or the thread's, which goes on."""
        thread_id, checkpoint_id, settings = split(how.config, thread_is_required=False)
        settings = plain(settings, "the config")
        for name, key in CARRIED.items():
            value = how.context if name == "context" else how.config.get(name)
            if value is not None:
                settings[key] = plain(value, f"`{name}`")
        if isinstance(given, Command):
            return await self._resumed(thread_id, given.resume)
        unfinished = await self._unfinished(thread_id)
        if given is None:
            if unfinished is None:
                return await self._at_rest(thread_id)
            if unfinished.state is RunState.INTERRUPTED:
                return unfinished
            return await self._runs.retry(unfinished.id)
        # A new input gives up what the thread's run waits for; a run at work is waited for.
        waits = unfinished is not None and unfinished.state in (
            RunState.INTERRUPTED,
            RunState.PAUSED,
        )
        concurrency = Concurrency.INTERRUPT if waits else Concurrency.ENQUEUE
        return await start(
            self._definition.name,
            plain(given, "the input"),
            version=self._definition.version,
            thread_id=thread_id,
            checkpoint_id=checkpoint_id,
            config=settings,
            concurrency=how.concurrency or concurrency,
            durability=Durability((how.durability or "sync").upper()),
            timeout=self._timeout,
        )

    async def _unfinished(self, thread_id: str) -> Run | None:
        """The thread's newest run of this entrypoint, if it has not succeeded."""
        if not thread_id:
            return None
        async for run in self._newest(thread_id):
            return await self._runs.get(run.id) if run.state in _UNFINISHED else None
        return None

    def _newest(self, thread_id: str) -> AsyncIterator[Run]:
        name = self._definition.name
        return self._runs.list(thread_id=thread_id, entrypoint=name, page_size=1)

    async def _at_rest(self, thread_id: str) -> Run:
        """The run that a thread's last output comes from."""
        if thread_id:
            async for run in self._newest(thread_id):
                return await self._runs.get(run.id)
        name = self._definition.name
        raise EmptyInput(f"`{name}` got no input, and its thread has no run to go on with")

    async def _resumed(self, thread_id: str, answer: Any) -> Run:
        run = await self._to_resume(thread_id)
        if run.state is RunState.SUCCEEDED:
            # There is nothing to answer: as in LangGraph, this is what the thread has come to.
            return run
        if run.state in _UNFINISHED and run.state is not RunState.INTERRUPTED:
            return await self._runs.retry(run.id)
        # One at work may wait for other answers, too. If not, the service refuses this one.
        ids = {interrupt.id for interrupt in run.interrupts}
        if isinstance(answer, dict) and answer and set(answer) <= ids:
            answers = {interrupt: plain(one, "the answer") for interrupt, one in answer.items()}
            return await self._runs.resume(run.id, answers=answers)
        return await self._runs.resume(run.id, plain(answer, "the answer"))

    async def _to_resume(self, thread_id: str) -> Run:
        """The run that has a thread, or else its last one."""
        if thread_id:
            states = (RunState.RUNNING, RunState.INTERRUPTED)
            name = self._definition.name
            holding = self._runs.list(
                thread_id=thread_id, entrypoint=name, states=states, page_size=1
            )
            async for run in holding:
                return await self._runs.get(run.id)
        return await self._at_rest(thread_id)

    async def batch(
        self, inputs: Sequence[Any], config: Config | Sequence[Config] | None
    ) -> list[Any]:
        """Runs with each of several inputs at once, all with one config or each with its own."""
        each = [config] * len(inputs) if config is None or isinstance(config, Mapping) else config
        if len(each) != len(inputs):
            raise ValueError(f"there are {len(inputs)} inputs, but {len(each)} configs")
        calls = [self.invoke(one, How(its_own)) for one, its_own in zip(inputs, each, strict=True)]
        return await asyncio.gather(*calls)

    @_io.iterated_in_io
    async def stream(
        self,
        given: Any,
        how: How,
        stream_mode: str | Sequence[str],
    ) -> AsyncIterator[Any]:
        """Runs with an input and yields what happens."""
        modes = [stream_mode] if isinstance(stream_mode, str) else list(stream_mode)
        wanted = [_streams.mode_of(mode) for mode in modes]
        run = await self._started(given, how, self._runs.start)
        goes_on = isinstance(given, Command) or given is None
        after = run.last_sequence if goes_on else 0
        if goes_on and run.state.rests:
            for mode, item in _streams.of_run(run, wanted):
                yield item if isinstance(stream_mode, str) else (mode, item)
            result_of(run)
            return
        last: Run = run
        asked = [*wanted, StreamMode.STATES]
        async for event in self._runs.join(run.id, modes=asked, after_sequence=after):
            last = _streams.run_of(event) or last
            for mode, item in _streams.items_of(event, wanted, self._definition.name):
                yield item if isinstance(stream_mode, str) else (mode, item)
        result_of(last if last.state.rests else await self._runs.wait(run.id))


def split(config: Config, *, thread_is_required: bool) -> tuple[str, str, dict[str, Any]]:
    """A call's thread, checkpoint, and the settings that its run can read."""
    if not isinstance(config, Mapping):
        raise TypeError(f"`config` must be a mapping, not a `{type(config).__name__}`")
    # What LangChain does not know is a setting, too, as it is there.
    settings = {name: value for name, value in config.items() if name not in _OF_LANGCHAIN}
    settings.update(config.get("configurable") or {})
    thread_id = str(settings.pop("thread_id", "") or "")
    checkpoint_id = str(settings.pop("checkpoint_id", "") or "")
    settings.pop("checkpoint_ns", None)
    if thread_is_required and not thread_id:
        raise ValueError('`config` must name a thread: {"configurable": {"thread_id": "…"}}')
    return thread_id, checkpoint_id, settings


def plain(value: Any, what: str) -> Any:
    """A value as JSON that a client can send; ``what`` names it where it has none."""
    return json.loads(_codec.encode(value, what))


def result_of(run: Run) -> Any:
    """What a call returns of its run."""
    if run.state is RunState.INTERRUPTED:
        return {"__interrupt__": [_streams.interrupt(one) for one in run.interrupts]}
    try:
        output = run.result()
    except RunFailed as failed:
        raise of_run(failed) from None
    return _codec.from_plain(output)
