"""Python values as JSON, and back.

What JSON has is itself; tuples are lists. Other values are an object with the key ``__weft__`` that
names their kind. Classes are only made from names that the program has registered: what a caller
sends cannot choose code to run.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import hashlib
import json
import math
import pathlib
import sys
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weft._payload import dumps, first_fault
from weft.func.failures import Failure, NotSerializable

TAG = "__weft__"

#: Largest value that the service keeps, in bytes of JSON.
MAX_BYTES = 8 * 1024 * 1024

T = typing.TypeVar("T", bound=type)

_SCALARS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bytes": (bytes, lambda v: base64.b64encode(v).decode(), base64.b64decode),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "datetime": (
        datetime.datetime,
        datetime.datetime.isoformat,
        # Python 3.10 does not read the "Z" that others write.
        lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")),
    ),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "timedelta": (
        datetime.timedelta,
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda v: datetime.timedelta(*v),
    ),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "path": (pathlib.PurePath, str, pathlib.Path),
    "uuid": (uuid.UUID, str, uuid.UUID),
}
_BY_TYPE = {kind: name for name, (kind, _, _) in _SCALARS.items()}
_registered: dict[str, type] = {}


def serializable(kind: T) -> T:
    """Lets values of a dataclass, a pydantic model or an enum be arguments and results.

    Types that stand in the annotations of entrypoints and tasks need no registration.
    """
    if dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum) or _is_model(kind):
        if f"{kind.__module__}:{kind.__qualname__}" not in _registered:
            _registered[f"{kind.__module__}:{kind.__qualname__}"] = kind
            register_annotations(kind)
        return kind
    raise TypeError(f"`{kind.__qualname__}` is no dataclass, pydantic model or enum")


def register_annotations(annotated: Any) -> None:
    """Registers the types in the annotations of a function or a class."""
    try:
        hints = typing.get_type_hints(annotated)
    except (NameError, TypeError, AttributeError):
        # Names that exist for type checkers only.
        return
    for hint in hints.values():
        register_hint(hint)


def register_hint(hint: Any) -> None:
    """Registers the types in an annotation."""
    for argument in typing.get_args(hint):
        register_hint(argument)
    if isinstance(hint, type) and (
        dataclasses.is_dataclass(hint) or issubclass(hint, enum.Enum) or _is_model(hint)
    ):
        serializable(hint)


def encode(value: Any, what: str) -> str:
    """JSON text of a value, or a `Failure` that names ``what`` and what in it has none."""
    try:
        text = dumps(_plain(value, None))
        size = _size(text)
    except Exception as error:
        # Whatever a class makes of itself may fail in any way.
        raise NotSerializable(what, *first_fault(value, _fault, _parts)) from error
    if size > MAX_BYTES:
        message = f"{what} has {size} bytes of JSON, at most {MAX_BYTES} are kept"
        raise Failure("PAYLOAD_TOO_LARGE", message)
    return text


def encode_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """JSON text of the arguments of a call; what has no JSON is named by its type."""
    # A task is called with its arguments as they are; the text is for people, keys and comparison.
    arguments = {"args": args, "kwargs": dict(kwargs)}
    try:
        return dumps(_plain(arguments, lambda value: _tagged("opaque", _name(value))))
    except Exception:
        return dumps(_tagged("opaque", "arguments that contain themselves, or have no JSON"))


def shown(text: str) -> str:
    """JSON text that is streamed to people: without what cannot travel."""
    try:
        size = _size(text)
    except UnicodeEncodeError:
        return dumps(_tagged("opaque", "text with half of a surrogate pair"))
    return text if size <= MAX_BYTES else dumps(_tagged("opaque", f"{size} bytes of JSON"))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def decode(text: str) -> Any:
    """The value of JSON text."""
    return from_plain(json.loads(text))


def hashed(text: str) -> bytes:
    """SHA-256 of JSON text with sorted keys."""
    canonical = json.dumps(
        json.loads(text), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).digest()


def _fault(value: Any) -> Exception | None:
    """Why a value cannot be recorded."""
    try:
        _size(dumps(_plain(value, None)))
    except Exception as error:
        return error
    return None


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a value is made of, by key."""
    if isinstance(value, Mapping):
        for key, element in value.items():
            yield key, key
            yield key, element
    elif isinstance(value, list | tuple | set | frozenset):
        yield from enumerate(value)
    elif _name(value) in _registered and dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)


def _plain(value: Any, otherwise: Callable[[Any], Any] | None) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else _tagged("float", repr(value))
    if kind is dict:
        if TAG not in value and all(type(key) is str for key in value):
            return {key: _plain(element, otherwise) for key, element in value.items()}
        pairs = [[_plain(k, otherwise), _plain(v, otherwise)] for k, v in value.items()]
        return _tagged("dict", pairs)
    if isinstance(value, list | tuple):
        return [_plain(element, otherwise) for element in value]
    if isinstance(value, set | frozenset):
        elements = [_plain(element, otherwise) for element in value]
        # In one order, whatever that of the set is.
        return _tagged("set", sorted(elements, key=dumps))
    for base in kind.__mro__:
        if base in _BY_TYPE:
            name = _BY_TYPE[base]
            return _tagged(name, _SCALARS[name][1](value))
    return _object(value, otherwise)


def _object(value: Any, otherwise: Callable[[Any], Any] | None) -> Any:
    name = _name(value)
    if _is_message(type(value)):
        return _tagged(f"message:{type(value).__name__}", value.model_dump(mode="json"))
    if name in _registered:
        if isinstance(value, enum.Enum):
            return _tagged(f"type:{name}", value.name)
        if dataclasses.is_dataclass(value):
            fields = {
                field.name: _plain(getattr(value, field.name), otherwise)
                for field in dataclasses.fields(value)
                if field.init
            }
            return _tagged(f"type:{name}", fields)
        return _tagged(f"type:{name}", value.model_dump(mode="json"))
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return _plain(dict(value), otherwise)
    if otherwise is not None:
        return otherwise(value)
    raise TypeError(
        f"a value of `{name}`; use plain data, or register it with `weft.func.serializable`"
    )


def from_plain(plain: Any) -> Any:
    """The value of parsed JSON."""
    if isinstance(plain, list):
        return [from_plain(element) for element in plain]
    if not isinstance(plain, dict):
        return plain
    if TAG not in plain:
        return {key: from_plain(element) for key, element in plain.items()}
    return _untagged(plain)


def _untagged(plain: dict[str, Any]) -> Any:
    tag, value = plain[TAG], plain.get("value")
    kind, _, name = tag.partition(":") if isinstance(tag, str) else ("", "", "")
    if kind in _SCALARS:
        return _SCALARS[kind][2](value)
    if kind == "float":
        return float(str(value))
    if kind == "dict" and isinstance(value, list):
        return {from_plain(key): from_plain(element) for key, element in value}
    if kind == "set" and isinstance(value, list):
        return {from_plain(element) for element in value}
    if kind == "message":
        return _message(name, value)
    if kind == "type" and name in _registered:
        found: Any = _registered[name]
        if issubclass(found, enum.Enum):
            return found[str(value)]
        if dataclasses.is_dataclass(found):
            return _registered[name](
                **{key: from_plain(field) for key, field in dict(value or {}).items()}
            )
        return found.model_validate(value)
    if kind == "type":
        raise TypeError(
            f"a value of type `{name}` was recorded, which this program has not registered; "
            "annotate with it, or register it with `weft.func.serializable`"
        )
    raise TypeError(f"a value of an unknown kind was recorded: `{tag}`")


def _tagged(kind: str, value: Any) -> dict[str, Any]:
    return {TAG: kind, "value": value}


def _name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _is_model(kind: type) -> bool:
    """Whether it is a pydantic model, of a program that uses pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _is_message(kind: type) -> bool:
    messages = sys.modules.get("langchain_core.messages")
    return (
        messages is not None
        and issubclass(kind, messages.BaseMessage)
        and getattr(messages, kind.__name__, None) is kind
    )


def _message(name: str, value: Any) -> Any:
    from langchain_core import messages

    kind = getattr(messages, name, None)
    if not (isinstance(kind, type) and issubclass(kind, messages.BaseMessage)):
        raise TypeError(f"a message of an unknown kind was recorded: `{name}`")
    return kind.model_validate(value)
