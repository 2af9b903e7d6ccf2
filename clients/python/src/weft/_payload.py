"""JSON values as they travel: exact text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.struct_pb2 import Value

from weft.common.v1 import payload_pb2

TEXT = payload_pb2.PAYLOAD_FORM_TEXT

#: Levels of a value in which the part that is no JSON is looked for.
_MAX_LOOK_DEPTH = 100


def dumps(value: Any) -> str:
    """Compact JSON text. NaN and infinities are refused, since they are not JSON."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def encode(value: Any, what: str = "the value") -> payload_pb2.Payload:
    """A value as a payload, or an error that names ``what`` and what in it is no JSON."""
    try:
        return payload_pb2.Payload(json_text=dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        place, why = first_fault(value, _fault, _parts)
        # A value of a wrong type, or a wrong one of a right type.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what} cannot be sent: {place} {why}") from error


def sendable(text: str) -> str:
    """Text without halves of surrogate pairs, which cannot be sent."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def first_fault(
    value: Any,
    fault_of: Callable[[Any], Exception | None],
    parts_of: Callable[[Any], Iterable[tuple[Any, Any]]],
) -> tuple[str, str]:
    """The innermost part of a value that has a fault, as a path like ``$.a[3]``, and the fault."""
    place, within = "$", [value]
    while len(within) < _MAX_LOOK_DEPTH:
        found = _faulty_part(value, fault_of, parts_of)
        if found is None:
            return place, _said(fault_of(value))
        key, part = found
        place += _segment(key)
        if any(part is outer for outer in within):
            return place, "contains itself"
        value = part
        within.append(part)
    return place, "nests too deep"


def _faulty_part(
    value: Any,
    fault_of: Callable[[Any], Exception | None],
    parts_of: Callable[[Any], Iterable[tuple[Any, Any]]],
) -> tuple[Any, Any] | None:
    try:
        return next((one for one in parts_of(value) if fault_of(one[1]) is not None), None)
    except Exception:
        # It cannot be looked into.
        return None


def _segment(key: Any) -> str:
    if isinstance(key, str) and key.isidentifier() and key.isascii():
        return f".{key}"
    return f"[{ascii(key) if isinstance(key, str | int) else type(key).__name__}]"


def _said(error: Exception | None) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "has half of a surrogate pair"
    if isinstance(error, RecursionError):
        return "nests too deep"
    try:
        return f"is no JSON: {error}"
    except Exception:
        return "is no JSON"


def _fault(value: Any) -> Exception | None:
    try:
        payload_pb2.Payload(json_text=dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        return error
    return None


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return ((key, part) for key, element in value.items() for part in (key, element))
    return enumerate(value) if isinstance(value, list | tuple) else ()


def decode(payload: payload_pb2.Payload) -> Any:
    """The value of a payload; ``None`` if it is not set."""
    if payload.HasField("json_text"):
        return json.loads(payload.json_text)
    # What services send in this form fits it; only the few answers whose form cannot be asked for.
    return _plain(payload.json)


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return {key: _plain(field) for key, field in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(element) for element in value.list_value.values]
        case _:
            return None
