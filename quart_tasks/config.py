"""Configuration: one struct; the keys of `app.config` and the environment follow from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from .exceptions import InvalidConfig

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
MiB = 1024 * 1024

logger = logging.getLogger("quart_tasks")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set. The key of each field is `TASKS_` and its name in capitals; an
    environment variable of that name wins over `app.config`. Sizes are bytes, times seconds.
    """

    url_prefix: str | None = "/tasks"
    token: str | None = None
    allowed_origins: tuple[str, ...] = ()
    async_concurrency: Positive = 1000
    threads: Positive = 16
    processes: Positive = os.cpu_count() or 1
    process_nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 10
    max_abandoned_threads: Count = 16
    max_pending: Positive = 100_000
    retention: Seconds = 3600.0
    max_finished: Count = 100_000
    max_results_bytes: Count = 256 * MiB
    max_result_size: Positive = 16 * MiB
    event_buffer: Count = 10_000
    max_body_size: Positive = MiB
    drain_timeout: Seconds = 10.0
    journal: str | None = None


def key(field: str) -> str:
    return f"TASKS_{field.upper()}"


def load(config: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration.

    Raises InvalidConfig, which names the key, for a value that does not fit.
    """
    values = {
        field.name: value
        for field in msgspec.structs.fields(Config)
        if (value := _value(field, config, environ)) is not msgspec.UNSET
    }
    known = {key(field.name) for field in msgspec.structs.fields(Config)} | {"TASKS_URL"}
    for name in sorted({*config, *environ}):
        if name.startswith("TASKS_") and name not in known:
            logger.warning("%s is no key of quart_tasks, and means nothing to it.", name)
    return Config(**values)


def load_prefix(config: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> str | None:
    """The one value that is needed before the start. Raises InvalidConfig."""
    field = next(each for each in msgspec.structs.fields(Config) if each.name == "url_prefix")
    value = _value(field, config, environ)
    return Config().url_prefix if value is msgspec.UNSET else value


def _value(field: Any, config: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    name = key(field.name)
    # An empty variable is what an unset one becomes in many a deployment: it must not switch the
    # guard off, nor the journal.
    if name in environ and (environ[name] or name not in ("TASKS_TOKEN", "TASKS_JOURNAL")):
        return _convert(name, _from_text(field.type, environ[name]), field.type)
    if name in config:
        return _convert(name, config[name], field.type)
    return msgspec.UNSET


def _from_text(kind: Any, text: str) -> Any:
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text if text or kind is str else None


def _convert(name: str, value: Any, kind: Any) -> Any:
    if value == "" and name in ("TASKS_TOKEN", "TASKS_JOURNAL"):
        return None  # an empty token would let everybody pass who sends one
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        value = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"{name} is {value!r}: {error}. Correct it and start again.") from None
    if name == "TASKS_URL_PREFIX" and value is not None:
        value = value.rstrip("/")
        if not value.startswith("/") or "<" in value or "//" in value:
            raise InvalidConfig(f"{name} is {value!r}: it must be a path such as '/tasks'.")
    return value
