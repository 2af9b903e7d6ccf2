"""What programs say, checked where they say it: within the limits of the service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from numbers import Real
from typing import Any

#: Longest duration that the service takes, in seconds: 100 years.
LONGEST = 100 * 31_557_600.0
#: Longest name of an entrypoint, a version or a task, in bytes.
MAX_NAME_BYTES = 256
#: Longest name of a task that a worker offers: calls ask for `task/` and that.
MAX_OFFERED_NAME_BYTES = MAX_NAME_BYTES - len("task/")
#: Most versions that an entrypoint accepts.
MAX_VERSIONS = 1000
#: Largest number of attempts that can be told.
MAX_ATTEMPTS = 2**31 - 1


def seconds(field: str, value: Any, *, zero: bool) -> float:
    """A duration in seconds; ``zero`` says whether it can be none at all."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    number = _number(field, value, "a number of seconds, or a timedelta")
    if number < 0 or (number == 0 and not zero):
        least = "must not be negative" if zero else "must be positive"
        raise ValueError(f"`{field}` is {number:g} s: {least}")
    if number > LONGEST:
        raise ValueError(f"`{field}` is {number:g} s: must be at most {LONGEST:g} s, 100 years")
    return number


def factor(field: str, value: Any) -> float:
    """What something is multiplied with to grow."""
    number = _number(field, value, "a number")
    if not 1 <= number < math.inf:
        raise ValueError(f"`{field}` is {number:g}: must be a number from 1 on")
    return number


def count(field: str, value: Any, *, least: int) -> int:
    """A number of things."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"`{field}` must be a whole number, not {_kind(value)}")
    if not least <= value <= MAX_ATTEMPTS:
        raise ValueError(f"`{field}` is {value}: must be {least} to {MAX_ATTEMPTS}")
    return value


def name(field: str, value: Any, *, most: int = MAX_NAME_BYTES) -> str:
    """A name that the service takes."""
    if not isinstance(value, str):
        raise TypeError(f"`{field}` must be a string, not {_kind(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"`{field}` has half of a surrogate pair, which cannot be sent") from None
    if not 1 <= size <= most:
        raise ValueError(f"`{field}` has {size} bytes: must have 1 to {most}")
    return value


def versions(field: str, value: Any) -> tuple[str, ...]:
    """Versions of an entrypoint."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"`{field}` must be a sequence of versions, not {_kind(value)}")
    if len(value) > MAX_VERSIONS:
        raise ValueError(f"`{field}` has {len(value)} versions: at most {MAX_VERSIONS} can be told")
    return tuple(name(f"{field}[{place}]", one) for place, one in enumerate(value))


def instance(field: str, value: Any, kind: type, article: str = "a") -> Any:
    """A value of a type."""
    if not isinstance(value, kind):
        raise TypeError(f"`{field}` must be {article} `{kind.__name__}`, not {_kind(value)}")
    return value


def _number(field: str, value: Any, what: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"`{field}` must be {what}, not {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        # An integer that no float holds.
        return math.inf if value == abs(value) else -math.inf
    if math.isnan(number):
        raise ValueError(f"`{field}` is not a number")
    return number


def _kind(value: Any) -> str:
    """The type of a value; for those that are taken for others, with their module."""
    kind = type(value)
    return "None" if value is None else f"`{kind.__module__}.{kind.__qualname__}`"
