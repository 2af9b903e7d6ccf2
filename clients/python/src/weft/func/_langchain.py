"""Streams what chat models of LangChain write within tasks, as the pieces of their messages."""

from __future__ import annotations

import functools
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from weft._payload import sendable
from weft.workflow.v1 import worker_pb2 as pb
from weft.workflow.v1 import workflow_pb2

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.outputs import LLMResult

    from weft.func._scope import Scope


logger = logging.getLogger("weft.worker")


def listen(scope: Scope) -> None:
    """Lets models that the code of a scope calls be heard. To be called in the code's context."""
    # Pieces of messages are those of a call.
    if "langchain_core.language_models" not in sys.modules or not scope.call_id:
        return
    listener = _listener()
    if listener is not None:
        from langchain_core.runnables.config import var_child_runnable_config

        var_child_runnable_config.set({"callbacks": [listener(scope)]})


@functools.cache
def _listener() -> type[Any] | None:
    try:
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_core.tracers._streaming import _StreamingCallbackHandler
    except ImportError as error:
        # Where LangGraph finds it, too; not in every version.
        logger.warning("what models of LangChain write is not streamed: %s", error)
        return None

    # The second base asks models for what they write as they write it.
    class Listener(BaseCallbackHandler, _StreamingCallbackHandler[Any]):
        run_inline = True

        def __init__(self, scope: Scope) -> None:
            self._scope = scope
            self._models: dict[UUID, str] = {}
            """Models that write, by the run of LangChain."""
            self._heard: set[UUID] = set()
            """Those of them that streamed something."""

        def on_chat_model_start(
            self,
            serialized: dict[str, Any],
            messages: list[Any],
            *,
            run_id: UUID,
            metadata: dict[str, Any] | None = None,
            **kwargs: Any,
        ) -> None:
            told = metadata or {}
            names = (told.get("ls_provider"), told.get("ls_model_name"))
            self._models[run_id] = ":".join(name for name in names if name)

        def on_llm_new_token(
            self, token: Any, *, run_id: UUID, chunk: Any = None, **kwargs: Any
        ) -> None:
            if run_id in self._models:
                self._heard.add(run_id)
                self._tell(run_id, getattr(chunk, "message", None), _text(token))

        def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
            if run_id in self._models and run_id not in self._heard:
                # One that does not stream.
                for generation in (one for several in response.generations for one in several):
                    self._tell(run_id, getattr(generation, "message", None), generation.text)
            self._forget(run_id)

        def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
            self._forget(run_id)

        def _forget(self, run_id: UUID) -> None:
            self._models.pop(run_id, None)
            self._heard.discard(run_id)

        def tap_output_aiter(self, run_id: UUID, output: Any) -> Any:
            return output

        def tap_output_iter(self, run_id: UUID, output: Any) -> Any:
            return output

        def _tell(self, run_id: UUID, message: Any, text: str) -> None:
            parts: list[dict[str, Any]] = [{"text": sendable(text)}] if text else []
            parts += [{"tool_call": call} for call in _tool_calls(message)]
            execution = self._scope.execution
            for part in parts:
                emit = pb.Emit(call_id=self._scope.call_id, task=self._scope.task)
                piece = {"message_id": str(run_id), "model": self._models[run_id], **part}
                emit.message_piece.CopyFrom(pb.MessagePiece(**piece))
                execution.in_loop(functools.partial(execution.send, emit=emit))

    return Listener


def _text(token: Any) -> str:
    """The text of what a model wrote: that, or blocks of which some are texts."""
    if isinstance(token, str):
        return token
    blocks = [one for one in token if isinstance(one, dict)]
    return "".join(str(block.get("text", "")) for block in blocks)


def _tool_calls(message: Any) -> list[workflow_pb2.ToolCallPiece]:
    """Calls of tools in a piece of a message, or in a whole one."""
    chunks = getattr(message, "tool_call_chunks", None)
    if chunks is None:
        whole = getattr(message, "tool_calls", None) or []
        chunks = [{**call, "args": json.dumps(call["args"])} for call in whole]
    return [
        workflow_pb2.ToolCallPiece(
            index=chunk["index"] if isinstance(chunk.get("index"), int) else place,
            id=chunk.get("id") or "",
            name=chunk.get("name") or "",
            arguments=sendable(chunk.get("args") or ""),
        )
        for place, chunk in enumerate(chunks)
    ]
