"""JSON values as they travel: exact text."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.struct_pb2 import Value

from weft.common.v1 import payload_pb2

TEXT = payload_pb2.PAYLOAD_FORM_TEXT


def dumps(value: Any) -> str:
    """Compact JSON text. NaN and infinities are refused, since they are not JSON."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def encode(value: Any) -> payload_pb2.Payload:
    """A value as a payload."""
    return payload_pb2.Payload(json_text=dumps(value))


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
