"""JSON Schemas of what functions take, made from their annotations."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Union

from weft._payload import dumps

_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
}
_ARRAYS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable)
_OBJECTS = (dict, collections.abc.Mapping)


def of_parameters(
    function: Callable[..., Any], parameters: Iterable[inspect.Parameter]
) -> dict[str, Any]:
    """The schema of an object that has these parameters of a function, by name.

    A string in ``Annotated[…, "…"]`` describes its parameter.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # Names that exist for type checkers only.
        hints = {}
    properties, required, is_open = {}, [], False
    shared: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            properties[parameter.name] = _of(hints.get(parameter.name, Any), shared)
            if parameter.default is inspect.Parameter.empty:
                required.append(parameter.name)
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": is_open,
    }
    return {**schema, "$defs": shared} if shared else schema


def checked(field: str, schema: Any) -> Any:
    """A schema that a program gives itself; the service says what is wrong within it."""
    if schema is None:
        return None
    if not isinstance(schema, collections.abc.Mapping):
        raise TypeError(f"`{field}` must be a JSON Schema, not a `{type(schema).__name__}`")
    try:
        dumps(schema).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"`{field}` is no JSON: {error}") from error
    return schema


def _of(hint: Any, shared: dict[str, Any]) -> dict[str, Any]:
    """The schema of an annotation; of one that is not known, that of anything."""
    if _is_simple(hint):
        return dict(_SIMPLE[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        schema = _of(arguments[0], shared)
        texts = [one for one in arguments[1:] if isinstance(one, str)]
        return {**schema, "description": texts[0]} if texts else schema
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        schemas = [_of(one, shared) for one in arguments]
        # Before 3.11, Python takes `Any = None` for `Any | None`.
        return {} if {} in schemas else {"anyOf": schemas}
    if origin in _ARRAYS:
        items = [one for one in arguments if one is not Ellipsis]
        # Tuples may have elements of different kinds.
        return {"type": "array", **({"items": _of(items[0], shared)} if len(items) == 1 else {})}
    if origin in _OBJECTS:
        return {"type": "object", "additionalProperties": _of(arguments[1], shared)}
    return _of_class(hint, shared) if isinstance(hint, type) else {}


def _is_simple(hint: Any) -> bool:
    try:
        return hint in _SIMPLE
    except TypeError:
        return False


def _of_class(kind: type, shared: dict[str, Any]) -> dict[str, Any]:
    if issubclass(kind, enum.Enum):
        return {"enum": [one.value for one in kind]}
    if dataclasses.is_dataclass(kind):
        fields = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if _is_required(field) else None,
            )
            for field in dataclasses.fields(kind)
            if field.init
        ]
        schema = of_parameters(kind, fields)
        shared.update(schema.pop("$defs", {}))
        return schema
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(kind, pydantic.BaseModel):
        model: Any = kind
        schema = dict(model.model_json_schema())
        shared.update(schema.pop("$defs", {}))
        return schema
    return {}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing
