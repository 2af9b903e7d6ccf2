"""What `entrypoint` makes of a function: a program that can be called like LangGraph's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from weft import _io
from weft.client.connection import AsyncClient
from weft.client.events import StreamMode
from weft.client.values import Concurrency, Durability, Run, RunState
from weft.errors import EmptyInput, NotFound
from weft.func import _codec, _hosting, _streams
from weft.func._calls import TaskCall, scope_of
from weft.func._definition import EntrypointDefinition, TaskDefinition
from weft.func._future import TaskFuture, current_scope
from weft.func.types import Command, Final, StateSnapshot

#: Settings of a call: ``{"configurable": {"thread_id": …, …}}``.
Config = Mapping[str, Any]
#: States of runs whose thread another run can not use.
_UNFINISHED = (RunState.INTERRUPTED, RunState.PAUSED, RunState.FAILED, RunState.CANCELLED)


class Program:
    """An entrypoint, with LangGraph's ways to call it and to look at its threads.

    Runs are executed by workers: those of this process if there are any, else the first call
    starts one. A call waits for its run; a caller that goes away does not stop it.
    """

    def __init__(
        self, definition: EntrypointDefinition, workflow: str | None, timeout: timedelta | None
    ) -> None:
        self.definition = definition
        """What is executed."""
        self.name = definition.name
        """The name that runs are started by."""
        self.hosts = 0
        """Workers of this process that host it."""
        self._workflow = workflow
        self._timeout = timeout
        self._client = AsyncClient(workflow)

    # Calls.

    def invoke(self, input: Any, config: Config | None = None, **options: Any) -> Any:  # noqa: A002
        """Runs with an input and returns the output.

        ``Command(resume=…)`` in place of an input answers what the thread's run asked, and ``None``
        goes on with a run that failed. If the run asks something, the result is
        ``{"__interrupt__": [Interrupt(…), …]}``. Takes ``durability="sync" | "async" | "exit"``.
        """
        if current_scope.get() is not None:
            return self._nested(input).result()
        self._host_in_background()
        return _io.wait(self._invoke(input, config or {}, options))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        **options: Any,
    ) -> Any:
        """Runs with an input and returns the output; see `invoke`."""
        if current_scope.get() is not None:
            return await self._nested(input)
        await self._host()
        return await _io.call(self._invoke(input, config or {}, options))

    def stream(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        **options: Any,
    ) -> Iterator[Any]:
        """Runs with an input and yields what happens.

        ``stream_mode`` is one of ``values``, ``updates``, ``custom``, ``messages``, ``tasks``,
        ``checkpoints``, or a list of them: then pairs of mode and item are yielded.
        """
        self._refuse_within_a_run("stream")
        self._host_in_background()
        yield from _Facade(self).stream(input, config or {}, stream_mode, options)

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Runs with an input and yields what happens; see `stream`."""
        self._refuse_within_a_run("astream")
        await self._host()
        async for item in self._stream(input, config or {}, stream_mode, options):
            yield item

    def batch(self, inputs: Sequence[Any], config: Config | None = None) -> list[Any]:
        """Runs with each of several inputs at once."""
        self._refuse_within_a_run("batch")
        self._host_in_background()
        return _io.wait(self._batch(inputs, config or {}))

    async def abatch(self, inputs: Sequence[Any], config: Config | None = None) -> list[Any]:
        """Runs with each of several inputs at once."""
        self._refuse_within_a_run("abatch")
        await self._host()
        return await _io.call(self._batch(inputs, config or {}))

    # Threads.

    def get_state(self, config: Config) -> StateSnapshot:
        """The state of a thread, now or at the checkpoint that ``config`` names."""
        return _io.wait(self.aget_state(config))

    @_io.in_io
    async def aget_state(self, config: Config) -> StateSnapshot:
        """The state of a thread, now or at the checkpoint that ``config`` names."""
        thread_id, checkpoint_id, _ = split(config, thread_is_required=True)
        try:
            thread = await self._client.threads.get(thread_id, checkpoint_id=checkpoint_id)
        except NotFound:
            return _streams.no_state(config, {})
        return _streams.state_of_thread(thread, self.name, newest=not checkpoint_id)

    def get_state_history(
        self, config: Config, *, limit: int | None = None
    ) -> Iterator[StateSnapshot]:
        """The checkpoints of a thread, newest first."""
        yield from _Facade(self).history(config, limit)

    @_io.iterated_in_io
    async def aget_state_history(
        self, config: Config, *, limit: int | None = None
    ) -> AsyncIterator[StateSnapshot]:
        """The checkpoints of a thread, newest first."""
        thread_id, _, _ = split(config, thread_is_required=True)
        count = 0
        async for checkpoint in self._client.threads.checkpoints(thread_id):
            if limit is not None and count >= limit:
                return
            count += 1
            yield _streams.state_of_checkpoint(checkpoint)

    def update_state(self, config: Config, values: Any, **save: Any) -> Config:
        """Writes a checkpoint by hand; see `aupdate_state`."""
        return _io.wait(self.aupdate_state(config, values, **save))

    @_io.in_io
    async def aupdate_state(self, config: Config, values: Any, **save: Any) -> Config:
        """Writes a checkpoint by hand: the next run is given ``values`` as ``previous``.

        With ``save=`` it is given that. Returns what leads to the checkpoint.
        """
        thread_id, checkpoint_id, _ = split(config, thread_is_required=True)
        saved = {"saved": plain(save["save"])} if "save" in save else {}
        checkpoint = await self._client.threads.update(
            thread_id, plain(values), checkpoint_id=checkpoint_id, **saved
        )
        return _streams.config_of(checkpoint.thread_id, checkpoint.id)

    # How.

    async def _invoke(self, given: Any, config: Config, options: Mapping[str, Any]) -> Any:
        # Starting and waiting are one call, where they can be.
        start = await self._started(given, config, options, self._client.runs.invoke)
        run = start if start.state.rests else await self._client.runs.wait(start.id)
        return result_of(run)

    async def _started(
        self,
        given: Any,
        config: Config,
        options: Mapping[str, Any],
        start: Callable[..., Coroutine[Any, Any, Run]],
    ) -> Run:
        """The run that a call is about: a new one, or the thread's, which goes on."""
        thread_id, checkpoint_id, settings = split(config, thread_is_required=False)
        unfinished = await self._unfinished(thread_id)
        if isinstance(given, Command) or given is None:
            if unfinished is None:
                return await self._at_rest(thread_id)
            if given is None:
                if unfinished.state is RunState.INTERRUPTED:
                    return unfinished
                return await self._client.runs.retry(unfinished.id)
            return await self._resumed(unfinished, given.resume)
        # A new input gives up what the thread's run waits for; a run at work is waited for.
        waits = unfinished is not None and unfinished.state in (
            RunState.INTERRUPTED,
            RunState.PAUSED,
        )
        concurrency = Concurrency.INTERRUPT if waits else Concurrency.ENQUEUE
        return await start(
            self.name,
            plain(given),
            version=self.definition.version,
            thread_id=thread_id,
            checkpoint_id=checkpoint_id,
            config=settings,
            concurrency=options.get("concurrency", concurrency),
            durability=Durability(str(options.get("durability") or "sync").upper()),
            timeout=self._timeout,
        )

    async def _unfinished(self, thread_id: str) -> Run | None:
        """The thread's newest run of this entrypoint, if it has not succeeded."""
        if not thread_id:
            return None
        runs = self._client.runs
        async for run in runs.list(thread_id=thread_id, entrypoint=self.name, page_size=1):
            return await runs.get(run.id) if run.state in _UNFINISHED else None
        return None

    async def _at_rest(self, thread_id: str) -> Run:
        """The run that a thread's last output comes from."""
        runs = self._client.runs
        if thread_id:
            async for run in runs.list(thread_id=thread_id, entrypoint=self.name, page_size=1):
                return await runs.get(run.id)
        raise EmptyInput(f"`{self.name}` got no input, and its thread has no run to go on with")

    async def _resumed(self, run: Run, answer: Any) -> Run:
        if run.state is not RunState.INTERRUPTED:
            return await self._client.runs.retry(run.id)
        ids = {interrupt.id for interrupt in run.interrupts}
        if isinstance(answer, dict) and answer and set(answer) <= ids:
            answers = {interrupt: plain(one) for interrupt, one in answer.items()}
            return await self._client.runs.resume(run.id, answers=answers)
        return await self._client.runs.resume(run.id, plain(answer))

    async def _batch(self, inputs: Sequence[Any], config: Config) -> list[Any]:
        return await asyncio.gather(*(self._invoke(one, config, {}) for one in inputs))

    @_io.iterated_in_io
    async def _stream(
        self,
        given: Any,
        config: Config,
        stream_mode: str | Sequence[str],
        options: Mapping[str, Any],
    ) -> AsyncIterator[Any]:
        modes = [stream_mode] if isinstance(stream_mode, str) else list(stream_mode)
        wanted = [_streams.mode_of(mode) for mode in modes]
        run = await self._started(given, config, options, self._client.runs.start)
        goes_on = isinstance(given, Command) or given is None
        after = run.last_sequence if goes_on else 0
        if goes_on and run.state.rests:
            for mode, item in _streams.of_run(run, wanted):
                yield item if isinstance(stream_mode, str) else (mode, item)
            result_of(run)
            return
        last: Run = run
        asked = [*wanted, StreamMode.STATES]
        async for event in self._client.runs.join(run.id, modes=asked, after_sequence=after):
            last = _streams.run_of(event) or last
            for mode, item in _streams.items_of(event, wanted, self.name):
                yield item if isinstance(stream_mode, str) else (mode, item)
        result_of(last if last.state.rests else await self._client.runs.wait(run.id))

    def _nested(self, given: Any) -> TaskFuture[Any]:
        """A call from within another entrypoint: recorded like that of a task."""
        scope = scope_of(f"`{self.name}`")

        def value(returned: Any) -> Any:
            return returned.value if isinstance(returned, Final) else returned

        definition = self.definition
        if definition.is_async:

            async def acall(given: Any) -> Any:
                return value(await definition.call(scope_of(self.name), given))

            function: Callable[..., Any] = acall
        else:

            def call(given: Any) -> Any:
                return value(definition.call(scope_of(self.name), given))

            function = call
        nested = TaskDefinition(
            function,
            name=self.name,
            retry_policy=definition.retry_policy,
            cache_policy=definition.cache_policy,
            timeout=None,
        )
        return TaskCall(scope, nested, (given,), {}).future

    def _refuse_within_a_run(self, call: str) -> None:
        if current_scope.get() is not None:
            raise RuntimeError(
                f"`{self.name}.{call}` within a run would start another one in each replay: "
                "use `invoke` or `ainvoke`, which are recorded"
            )

    async def _host(self) -> None:
        if _hosting.is_wanted(self):
            await _hosting.host(self, self._workflow)

    def _host_in_background(self) -> None:
        if _hosting.is_wanted(self):
            _hosting.host_in_background(self, self._workflow)


class _Facade:
    """The blocking twins of a program's iterations."""

    def __init__(self, program: Program) -> None:
        self._async = program

    stream = _io.iterating(Program._stream)

    def history(self, config: Config, limit: int | None) -> Iterator[StateSnapshot]:
        yield from self._history(config, limit=limit)

    _history = _io.iterating(Program.aget_state_history)


def split(config: Config, *, thread_is_required: bool) -> tuple[str, str, dict[str, Any]]:
    """A call's thread, checkpoint, and the settings that its run can read."""
    settings = dict(config.get("configurable") or {})
    thread_id = str(settings.pop("thread_id", "") or "")
    checkpoint_id = str(settings.pop("checkpoint_id", "") or "")
    settings.pop("checkpoint_ns", None)
    if thread_is_required and not thread_id:
        raise ValueError('`config` must name a thread: {"configurable": {"thread_id": "…"}}')
    return thread_id, checkpoint_id, settings


def plain(value: Any) -> Any:
    """A value as JSON that a client can send."""
    return json.loads(_codec.encode(value, "the input"))


def result_of(run: Run) -> Any:
    """What a call returns of its run."""
    if run.state is RunState.INTERRUPTED:
        return {"__interrupt__": [_streams.interrupt(one) for one in run.interrupts]}
    return _codec.from_plain(run.result())
