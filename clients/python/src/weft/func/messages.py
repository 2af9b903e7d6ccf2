"""Conversations as plain data: messages are objects with ``role``, ``content`` and ``id``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from weft.func._calls import target
from weft.func._future import TaskFuture, current_scope
from weft.func._repeatable import derived_uuid

#: One message, or several. A string is said by the user.
Messages = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]


def add_messages(left: Messages, right: Messages) -> list[dict[str, Any]]:
    """Adds new messages to old ones.

    A message with the id of an old one replaces it; one with the role ``remove`` takes the message
    with its id away. Messages without an id are given one, which in a run is the same in every
    replay. For messages of LangChain use LangGraph's function of this name.
    """
    merged = _listed(left)
    for message in _listed(right):
        places = [place for place, old in enumerate(merged) if old["id"] == message["id"]]
        if message["role"] == "remove":
            if not places:
                raise ValueError(f"there is no message `{message['id']}` to remove")
            merged = [old for old in merged if old["id"] != message["id"]]
        elif places:
            merged[places[-1]] = message
        else:
            merged.append(message)
    return merged


def ask_model(
    messages: Messages,
    *,
    system: str = "",
    model: str | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> TaskFuture[dict[str, Any]]:
    """Asks a language model through the service, which has the keys; the message it answers.

    The answer is recorded, and its pieces are streamed as ``messages``.

    Args:
        messages: The conversation.
        system: What the model is told about its role.
        model: The model, as ``provider:model``; the service's own if left out.
        tools: Tools that the model may call.
        options: What else is asked for, as ``llm/chat`` takes it.
    """
    question: dict[str, Any] = {"messages": _listed(messages), "system": system}
    if model is not None:
        question["model"] = model
    if tools:
        question["tools"] = list(tools)
    if options:
        question["options"] = dict(options)
    return target("llm/chat", question)


def _listed(messages: Messages) -> list[dict[str, Any]]:
    single = isinstance(messages, str | Mapping)
    listed = [messages] if single else messages
    return [_message(message) for message in listed]  # type: ignore[arg-type]


def _message(message: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(message, str):
        message = {"role": "user", "content": message}
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise TypeError("a message is a string, or an object with `role` and `content`")
    if message.get("id") is not None:
        return dict(message)
    made_up = uuid.uuid4() if current_scope.get() is None else derived_uuid()
    return {**message, "id": str(made_up)}
