"""A function's parameters: what may be passed, checked before a task is accepted."""

from __future__ import annotations

import collections.abc
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any
from urllib.parse import quote

import msgspec

from .defaults import converter, decoder
from .encoding import Blob, decode
from .exceptions import InvalidArguments

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)


class Parameters:
    """The parameters of `function`, with the types that their hints name.

    Hints are resolved at first use, when all that they refer to is defined. A hint that has
    no JSON schema is not checked.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._parameters = list(inspect.signature(function).parameters.values())
        self.none = not self._parameters

    @cached_property
    def hints(self) -> dict[str, Any]:
        return {each.name: self._type(each.annotation) for each in self._parameters}

    @cached_property
    def _kinds(self) -> dict[str, tuple[Any, Callable[[Any, Any], Any]]]:
        return {name: (hint, converter(hint)) for name, hint in self.hints.items()}

    def _type(self, hint: Any) -> Any:
        if isinstance(hint, str):
            try:
                hint = eval(hint, getattr(self._function, "__globals__", {}))
            except Exception:  # noqa: BLE001 - a hint for type checkers alone
                return Any
        if hint is inspect.Parameter.empty or not _has_schema(hint):
            return Any
        return hint

    @cached_property
    def _positional(self) -> list[inspect.Parameter]:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [each for each in self._parameters if each.kind in kinds]

    @cached_property
    def _named(self) -> dict[str, inspect.Parameter]:
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return {each.name: each for each in self._parameters if each.kind in kinds}

    def _catch_all(self, kind: Any) -> inspect.Parameter | None:
        return next((each for each in self._parameters if each.kind is kind), None)

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """The arguments as the function gets them: JSON turned into what the hints name.

        Raises InvalidArguments with an error for each argument that does not fit.
        """
        if self.none and not args and not kwargs:
            return (), {}
        errors: list[tuple[str, str]] = []
        positional = self._positional
        rest = self._catch_all(inspect.Parameter.VAR_POSITIONAL)
        keywords = self._catch_all(inspect.Parameter.VAR_KEYWORD)
        checked_args = []
        for number, value in enumerate(args):
            parameter = positional[number] if number < len(positional) else rest
            if parameter is None:
                errors.append((f"#/args/{number}", f"at most {len(positional)} are taken"))
                continue
            checked_args.append(self._convert(f"#/args/{number}", value, parameter.name, errors))
        taken = {each.name for each in positional[: len(args)]}
        checked_kwargs = {}
        for name, value in kwargs.items():
            pointer = f"#/kwargs/{_escape(name)}"
            if name in taken and name in self._named:
                errors.append((pointer, "is given in args already"))
            elif name in self._named:
                checked_kwargs[name] = self._convert(pointer, value, name, errors)
            elif keywords is not None:
                checked_kwargs[name] = self._convert(pointer, value, keywords.name, errors)
            else:
                known = ", ".join(self._named) or "none"
                errors.append((pointer, f"there is no such parameter; there are: {known}"))
        for each in [*positional, *self._named.values()]:
            missing = each.default is inspect.Parameter.empty and each.name not in taken
            if missing and not (each.name in kwargs and each.name in self._named):
                taken.add(each.name)  # it may be in both lists
                errors.append((f"#/kwargs/{each.name}", "is missing"))
        if errors:
            raise InvalidArguments(errors=errors)
        return tuple(checked_args), checked_kwargs

    def _convert(self, pointer: str, value: Any, name: str, errors: list[tuple[str, str]]) -> Any:
        kind, convert = self._kinds[name]
        if kind is Any:
            return value
        try:
            return convert(value, kind)
        except (msgspec.ValidationError, RecursionError) as error:
            try:  # an instance of a subclass, say: what its JSON says counts
                return convert(msgspec.to_builtins(value), kind)
            except (msgspec.ValidationError, TypeError, RecursionError):
                path, detail = split_error(str(error))
                errors.append((pointer + path, detail))
                return None

    def schema(self) -> dict[str, Any]:
        """The parameters as a JSON Schema of an object (2020-12)."""
        schemas, definitions = msgspec.json.schema_components(
            self.hints.values(), ref_template="#/$defs/{name}"
        )
        properties: dict[str, Any] = {}
        required = []
        open_ended = False
        for each, schema in zip(self._parameters, schemas, strict=True):
            if each.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                open_ended = open_ended or each.kind is inspect.Parameter.VAR_KEYWORD
                continue
            properties[each.name] = dict(schema)
            if each.default is inspect.Parameter.empty:
                required.append(each.name)
            else:
                with suppress(TypeError):  # a default that JSON cannot show
                    properties[each.name]["default"] = msgspec.to_builtins(each.default)
        result: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        if not open_ended:
            result["additionalProperties"] = False
        if definitions:
            result["$defs"] = definitions
        return result

    @cached_property
    def result_type(self) -> Any:
        """What a result is decoded into; of a generator, the list of what it yields."""
        hint = inspect.signature(self._function).return_annotation
        if isinstance(hint, str):
            try:
                hint = eval(hint, getattr(self._function, "__globals__", {}))
            except Exception:  # noqa: BLE001 - a hint for type checkers alone
                return Any
        if typing.get_origin(hint) in _STREAMS:
            hint = types.GenericAlias(list, typing.get_args(hint)[:1])
        if hint in (Blob, bytes, bytearray):
            return hint
        return hint if hint is not inspect.Signature.empty and _has_schema(hint) else Any

    @cached_property
    def _read(self) -> Callable[[bytes], Any]:
        return decoder(self.result_type)

    def result(self, data: bytes, mimetype: str | None) -> Any:
        """A kept result as the function's return annotation has it: equal wherever it ran."""
        kind = self.result_type
        if mimetype is not None:
            if kind is Blob or (kind is not bytes and mimetype != "application/octet-stream"):
                return Blob(data, mimetype)
            return bytearray(data) if kind is bytearray else data
        try:
            return self._read(data)
        except msgspec.ValidationError:  # the function did not keep its word
            return decode(data)


def _has_schema(hint: Any) -> bool:
    try:
        msgspec.json.schema(hint)
    except Exception:  # noqa: BLE001 - whatever a strange hint makes msgspec raise
        return False
    return True


def split_error(message: str) -> tuple[str, str]:
    """msgspec's "Expected `int`, got `str` - at `$[0].x`" as ("/0/x", "Expected `int`, …")."""
    detail, _, path = message.partition(" - at `$")
    pointer = ""
    for index, name in re.findall(r"\[(\d+|\.\.\.)\]|\.([^.\[`]+)", path):
        if index == "...":
            break
        pointer += f"/{index or _escape(name)}"
    return pointer, detail


def _escape(name: str) -> str:
    """A name in a JSON pointer as a URI fragment (RFC 6901, sections 3 and 6)."""
    return quote(
        name.replace("~", "~0").replace("/", "~1"), safe="!$&'()*+,;=:@?", errors="replace"
    )
