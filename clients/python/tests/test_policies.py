"""What is said to decorators, policies and workers is checked where it is said."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import langgraph.types
import pytest
from engine import Engine

from weft.func import (
    CachePolicy,
    Failure,
    RetryPolicy,
    Worker,
    entrypoint,
    task,
)

INF, NAN = math.inf, math.nan


def function(value: Any) -> Any:
    return value


async def asynchronous(value: Any) -> Any:
    return value


def generator(value: Any) -> Any:
    yield value


@pytest.mark.parametrize(
    ("field", "values", "error"),
    [
        ("initial_interval", [-1, -0.001, NAN, INF, 1e300, 10**400, -(10**400)], ValueError),
        ("initial_interval", ["1", None, True, [1]], TypeError),
        ("max_interval", [-1, NAN, INF, 1e300, timedelta.max, timedelta(-1)], ValueError),
        ("max_interval", ["1", None, False], TypeError),
        ("backoff_factor", [0, 0.99, -2, NAN, INF, 10**400], ValueError),
        ("backoff_factor", ["2", None, timedelta(2)], TypeError),
        ("max_attempts", [0, -1, 2**31], ValueError),
        ("max_attempts", [1.5, "3", None, True, INF], TypeError),
        ("jitter", [1, None, "yes"], TypeError),
        ("retry_on", [None, "ValueError", int, [], [ValueError, 7], ValueError()], TypeError),
    ],
)
def test_a_retry_policy_that_cannot_be_applied_is_refused_by_the_name_of_its_field(
    field: str, values: list[Any], error: type[Exception]
) -> None:
    for value in values:
        with pytest.raises(error, match=f"`{field}`"):
            RetryPolicy(**{field: value})


@pytest.mark.parametrize(
    "fields",
    [
        {"initial_interval": 0, "max_interval": 0, "max_attempts": 1, "backoff_factor": 1},
        {"initial_interval": timedelta(seconds=1), "max_interval": timedelta(days=36525)},
        {"initial_interval": Fraction(1, 2), "backoff_factor": 1e300, "max_attempts": 2**31 - 1},
        {"retry_on": (ValueError, KeyError)},
        {"retry_on": lambda _: True},
    ],
)
def test_a_retry_policy_of_any_other_kind_can_be_told(fields: dict[str, Any]) -> None:
    message = RetryPolicy(**fields).message()
    assert message.max_attempts == fields.get("max_attempts", 3)
    assert type(message).FromString(message.SerializeToString()) == message


@pytest.mark.parametrize(
    ("field", "values", "error"),
    [
        ("ttl", [0, -1, NAN, INF, 1e300, timedelta.max], ValueError),
        ("ttl", ["60", [], True], TypeError),
        ("key_func", ["key", 7], TypeError),
    ],
)
def test_a_cache_policy_that_cannot_be_applied_is_refused_by_the_name_of_its_field(
    field: str, values: list[Any], error: type[Exception]
) -> None:
    for value in values:
        with pytest.raises(error, match=f"`{field}`"):
            CachePolicy(**{field: value})
    assert CachePolicy(ttl=timedelta(minutes=1)).lifetime == CachePolicy(ttl=60).lifetime


NAMES = ["", "x" * 257, "é" * 129, "half \ud800"]


@pytest.mark.parametrize(
    ("field", "values", "error"),
    [
        ("name", NAMES, ValueError),
        ("name", [7, b"name"], TypeError),
        ("version", NAMES, ValueError),
        ("version", [1, None], TypeError),
        ("accepts", [[""], ["1", "x" * 257], ["1"] * 1001], ValueError),
        ("accepts", ["1", [1], 1, None, {"1"}], TypeError),
        ("timeout", [0, -1, NAN, INF, 1e300, timedelta(0)], ValueError),
        ("timeout", ["1", True, []], TypeError),
        ("retry_policy", [langgraph.types.RetryPolicy(), 3, [3], "no"], TypeError),
        ("cache_policy", [langgraph.types.CachePolicy(), 60], TypeError),
        ("input_schema", ["object", 7, []], TypeError),
        ("strict", [None, 1, "yes"], TypeError),
        ("input_schema", [{"type": object()}, {"title": "\ud800"}], ValueError),
    ],
)
def test_an_entrypoint_that_cannot_be_hosted_is_refused_by_what_is_wrong(
    field: str, values: list[Any], error: type[Exception]
) -> None:
    for value in values:
        with pytest.raises(error, match=f"`{field}"):
            entrypoint(**{field: value})(function)


@pytest.mark.parametrize(
    ("field", "values", "error"),
    [
        ("name", NAMES, ValueError),
        ("name", [7, b"name"], TypeError),
        ("timeout", [0, -1, NAN, INF, 1e300], ValueError),
        ("timeout", ["1", True, {}], TypeError),
        ("retry_policy", [langgraph.types.RetryPolicy(), {}, 3], TypeError),
        ("cache_policy", [langgraph.types.CachePolicy(), {}, 60], TypeError),
        ("description", [7, b"text"], TypeError),
        ("input_schema", ["object", []], TypeError),
    ],
)
def test_a_task_that_cannot_be_called_is_refused_by_what_is_wrong(
    field: str, values: list[Any], error: type[Exception]
) -> None:
    for value in values:
        with pytest.raises(error, match=f"`{field}"):
            task(**{field: value})(asynchronous)


def test_a_policy_of_langgraph_is_told_from_one_of_this_package() -> None:
    with pytest.raises(TypeError, match=r"`weft.func.RetryPolicy`.* `langgraph.types.RetryPolicy`"):
        task(retry_policy=langgraph.types.RetryPolicy())(function)  # type: ignore[arg-type]


@pytest.mark.parametrize("decorator", [task, entrypoint()])
def test_a_generator_is_refused_by_its_name(decorator: Callable[..., Any]) -> None:
    with pytest.raises(NotImplementedError, match="`generator` is a generator"):
        decorator(generator)


def test_a_worker_takes_what_decorators_made_and_bounds_that_can_be_told() -> None:
    plain: Any = function
    hosted: Any = entrypoint()(plain)
    offered: Any = task(plain)
    many: Any = "many"
    Worker(hosted, tasks=[offered])
    refused: list[tuple[Callable[[], Worker], str, type[Exception]]] = [
        (lambda: Worker(plain), "`function` is not an entrypoint", TypeError),
        (lambda: Worker(offered), "is not an entrypoint", TypeError),
        (lambda: Worker(tasks=[hosted]), "is not a task", TypeError),
        (lambda: Worker(hosted, max_runs=many), "`max_runs`", TypeError),
        (lambda: Worker(hosted, max_runs=-1), "`max_runs`", ValueError),
        (lambda: Worker(hosted, drain_timeout=NAN), "`drain_timeout`", ValueError),
        (lambda: Worker(tasks=[task(name="x" * 252)(plain)]), "`name`", ValueError),
    ]
    for make, told, error in refused:
        with pytest.raises(error, match=told):
            make()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"reason": ""}, ValueError),
        ({"reason": None}, TypeError),
        ({"retry_after": -1}, ValueError),
        ({"retry_after": NAN}, ValueError),
        ({"retry_after": "1"}, TypeError),
    ],
)
def test_a_failure_that_cannot_be_told_is_refused_where_it_is_made(
    given: dict[str, Any], error: type[Exception]
) -> None:
    (field,) = given
    with pytest.raises(error, match=f"`{field}`"):
        Failure(**{"reason": "REFUSED", **given})


async def test_a_long_name_is_one() -> None:
    longest = task(name="é" * 128)(function)

    @entrypoint(name="x" * 256)
    def workflow(value: Any) -> Any:
        return longest(value).result()

    assert await Engine(workflow, 7).output() == 7


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: entrypoint()(lambda: None), ValueError),
        (lambda: entrypoint(name="x")(lambda: None), ValueError),
        (lambda: entrypoint(name="x")(lambda a, b: None), TypeError),
    ],
)
def test_functions_that_cannot_be_one_are_refused(
    wrong: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        wrong()
