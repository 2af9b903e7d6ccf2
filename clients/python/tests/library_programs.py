"""Programs of LangGraph's shape that use what other libraries make: models, and chat models."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
from types import SimpleNamespace
from typing import Any

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import BaseModel


def classes(of: SimpleNamespace) -> Any:
    """State that is a class, over many turns of a thread."""

    @of.task
    def added(state: Basket, item: Item) -> Basket:
        return dataclasses.replace(state, items=[*state.items, item], seen={*state.seen, item.name})

    @of.entrypoint()
    def workflow(item: Item, *, previous: Basket | None = None) -> Basket:
        return added(previous or Basket(), item).result()

    config: Any = {"configurable": {"thread_id": "classes"}}
    baskets = [workflow.invoke(Item(name=f"n{turn}"), config) for turn in range(12)]
    old = next(
        state
        for state in workflow.get_state_history(config)
        if state.values and len(state.values.items) == 5
    )
    forked = workflow.invoke(Item(name="other"), old.config)
    workflow.update_state(config, Basket(mood=Mood.BAD))
    mended = workflow.invoke(Item(name="last"), config)
    return [baskets[-1], forked, mended, workflow.get_state(config).values.mood]


class Mood(enum.Enum):
    """How it goes."""

    GOOD = "good"
    BAD = "bad"


class Item(BaseModel):
    """A model of pydantic."""

    name: str
    on: datetime.date = datetime.date(2026, 1, 1)


@dataclasses.dataclass
class Basket:
    """State that is a class."""

    items: list[Item] = dataclasses.field(default_factory=list)
    seen: set[str] = dataclasses.field(default_factory=set)
    mood: Mood = Mood.GOOD


class Whole(BaseChatModel):
    """A model that does not stream."""

    @property
    def _llm_type(self) -> str:
        return "whole"

    def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("all at once"))])


def models(of: SimpleNamespace) -> Any:
    """What chat models of LangChain write within tasks, streamed as they write it."""
    streaming = GenericFakeChatModel(messages=iter([AIMessage("word by word")] * 10))

    @of.task
    def ask(text: str) -> str:
        return str(streaming.invoke(text).content)

    @of.task
    async def ask_whole(text: str) -> str:
        return str((await Whole().ainvoke(text)).content)

    @of.entrypoint()
    async def workflow(text: str) -> list[str]:
        return [await ask(text), await ask_whole(text)]

    async def main() -> Any:
        config = {"configurable": {"thread_id": "models"}}
        texts: dict[str, str] = {}
        async for chunk, about in workflow.astream("hi", config, stream_mode="messages"):
            node = about["langgraph_node"]
            texts[node] = texts.get(node, "") + chunk.content
        return texts

    return asyncio.run(main())
