"""What calls of an entrypoint are given beside an input."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from services import Cluster

from weft.func import entrypoint


def test_what_a_call_is_given_is_named_where_it_cannot_be_sent(
    cluster: Cluster, unique: str
) -> None:
    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(_: Any, *, config: Any, runtime: Any) -> Any:
        return [config["configurable"]["at"], runtime.context]

    at = datetime.date(2026, 1, 2)
    assert workflow.invoke(1, {"at": at}, context={"user": "u"}) == [at, {"user": "u"}]
    wrong: Any = "thread"
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: workflow.invoke(object()), "the input cannot be recorded"),
        (lambda: workflow.invoke(1, {"a": object()}), r"the config cannot be recorded: \$\.a is"),
        (lambda: workflow.invoke(1, context=object()), "`context` cannot be recorded"),
        (
            lambda: workflow.invoke(1, {"metadata": {"m": object()}}),
            "`metadata` cannot be recorded",
        ),
        (lambda: workflow.update_state({"thread_id": unique}, object()), "the values cannot be"),
        (lambda: workflow.invoke(1, wrong), "`config` must be a mapping, not a `str`"),
    ]
    for call, told in refused:
        with pytest.raises(TypeError, match=told):
            call()
    with pytest.raises(ValueError, match="2 inputs, but 1 configs"):
        workflow.batch([1, 2], [{}])
