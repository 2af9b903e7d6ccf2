"""What `entrypoint` makes of a function: a program that can be called like LangGraph's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from weft import _io
from weft.client.connection import AsyncClient
from weft.client.values import Concurrency, ThreadState
from weft.errors import NotFound
from weft.func import _hosting, _streams
from weft.func._calls import TaskCall, scope_of
from weft.func._definition import EntrypointDefinition, TaskDefinition
from weft.func._future import TaskFuture, current_scope
from weft.func._running import Config, How, Runs, plain, split
from weft.func.types import Final, StateSnapshot

#: In place of a value to save: the same as the caller gets.
_SAME: Any = object()


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
        self.hosts: list[asyncio.AbstractEventLoop] = []
        """The loops of the `Worker`s of this process that host it."""
        self._workflow = workflow
        self._client = AsyncClient(workflow)
        self._runs = Runs(self._client.runs, definition, timeout)

    # Calls.

    def invoke(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        *,
        context: Any = None,
        durability: str | None = None,
        concurrency: Concurrency | None = None,
    ) -> Any:
        """Runs with an input and returns the output.

        ``Command(resume=…)`` in place of an input answers what the thread's run asked, and ``None``
        goes on with a run that failed. If the run asks something, the result is
        ``{"__interrupt__": [Interrupt(…), …]}``.

        Args:
            input: What the entrypoint is given.
            config: ``{"configurable": {"thread_id": …, …}}``.
            context: What the code finds in its ``runtime.context``.
            durability: ``sync``, ``async`` or ``exit``; ``sync`` if left out.
            concurrency: What to do about another run of the thread, if not to wait for its end.
        """
        if current_scope.get() is not None:
            return self._nested(input).result()
        self._host_in_background("invoke")
        how = How(config, context, durability, concurrency)
        return _io.wait(self._runs.invoke(input, how))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        *,
        context: Any = None,
        durability: str | None = None,
        concurrency: Concurrency | None = None,
    ) -> Any:
        """Runs with an input and returns the output; see `invoke`."""
        if current_scope.get() is not None:
            return await self._nested(input)
        await self._host()
        how = How(config, context, durability, concurrency)
        return await _io.call(self._runs.invoke(input, how))

    def stream(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        context: Any = None,
        durability: str | None = None,
        concurrency: Concurrency | None = None,
    ) -> Iterator[Any]:
        """Runs with an input and yields what happens; see `invoke`.

        ``stream_mode`` is one of ``values``, ``updates``, ``custom``, ``messages``, ``tasks``,
        ``checkpoints``, or a list of them: then pairs of mode and item are yielded.
        """
        self._refuse_within_a_run("stream")
        self._host_in_background("stream")
        how = How(config, context, durability, concurrency)
        yield from _Streaming(self._runs).stream(input, how, stream_mode)

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        context: Any = None,
        durability: str | None = None,
        concurrency: Concurrency | None = None,
    ) -> AsyncIterator[Any]:
        """Runs with an input and yields what happens; see `stream`."""
        self._refuse_within_a_run("astream")
        await self._host()
        how = How(config, context, durability, concurrency)
        async for item in self._runs.stream(input, how, stream_mode):
            yield item

    def batch(
        self, inputs: Sequence[Any], config: Config | Sequence[Config] | None = None
    ) -> list[Any]:
        """Runs with each of several inputs at once, all with one config or each with its own."""
        self._refuse_within_a_run("batch")
        self._host_in_background("batch")
        return _io.wait(self._runs.batch(inputs, config))

    async def abatch(
        self, inputs: Sequence[Any], config: Config | Sequence[Config] | None = None
    ) -> list[Any]:
        """Runs with each of several inputs at once; see `batch`."""
        self._refuse_within_a_run("abatch")
        await self._host()
        return await _io.call(self._runs.batch(inputs, config))

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
        failed = None
        if thread.state is ThreadState.ERROR and not checkpoint_id:
            async for run in self._client.runs.list(thread_id=thread_id, page_size=1):
                failed = await self._client.runs.get(run.id)
                break
        return _streams.state_of_thread(thread, self.name, newest=not checkpoint_id, failed=failed)

    def get_state_history(
        self, config: Config, *, limit: int | None = None
    ) -> Iterator[StateSnapshot]:
        """The checkpoints of a thread, newest first."""
        yield from _Facade(self).history(config, limit=limit)

    @_io.iterated_in_io
    async def aget_state_history(
        self, config: Config, *, limit: int | None = None
    ) -> AsyncIterator[StateSnapshot]:
        """The checkpoints of a thread, newest first."""
        thread_id, _, _ = split(config, thread_is_required=True)
        count = 0
        try:
            async for checkpoint in self._client.threads.checkpoints(thread_id):
                if limit is not None and count >= limit:
                    return
                count += 1
                yield _streams.state_of_checkpoint(checkpoint)
        except NotFound:
            # A thread that is not there has no state, as in `get_state`.
            return

    def update_state(
        self, config: Config, values: Any, as_node: str | None = None, *, save: Any = _SAME
    ) -> Config:
        """Writes a checkpoint by hand; see `aupdate_state`."""
        return _io.wait(self.aupdate_state(config, values, as_node, save=save))

    @_io.in_io
    async def aupdate_state(
        self, config: Config, values: Any, as_node: str | None = None, *, save: Any = _SAME
    ) -> Config:
        """Writes a checkpoint by hand: the next run is given ``values`` as ``previous``.

        With ``save=`` it is given that. ``as_node`` can only be the entrypoint. Returns what leads
        to the checkpoint.
        """
        if as_node not in (None, self.name):
            raise ValueError(f"`as_node` must be `{self.name}`: nothing else writes to its threads")
        thread_id, checkpoint_id, _ = split(config, thread_is_required=True)
        saved = {} if save is _SAME else {"saved": plain(save, "what is saved")}
        checkpoint = await self._client.threads.update(
            thread_id, plain(values, "the values"), checkpoint_id=checkpoint_id, **saved
        )
        return _streams.config_of(checkpoint.thread_id, checkpoint.id)

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

    def _host_in_background(self, call: str) -> None:
        _hosting.refuse_to_block(self, call)
        if _hosting.is_wanted(self):
            _hosting.host_in_background(self, self._workflow)


class _Streaming:
    """The blocking twin of what streams."""

    def __init__(self, runs: Runs) -> None:
        self._async = runs

    stream = _io.iterating(Runs.stream)


class _Facade:
    """The blocking twin of a program's other iteration."""

    def __init__(self, program: Program) -> None:
        self._async = program

    history = _io.iterating(Program.aget_state_history)
