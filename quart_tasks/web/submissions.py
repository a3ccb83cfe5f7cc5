"""Bodies: JSON from outside, checked and turned into submissions."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from ..arguments import split_error
from ..definition import NO_OPTIONS, Options, Submission, prepare
from ..exceptions import InvalidArguments, UnknownTask
from ..service import Service
from ..task import Task
from .access import ask
from .problems import BadRequest

T = TypeVar("T")

MAX_BATCH = 1000
MAX_KEY = 255  # characters
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]

_fingerprint = msgspec.json.Encoder(order="deterministic").encode


class TaskBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    options: Options = NO_OPTIONS
    idempotency_key: IdempotencyKey | None = None


class BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tasks: Annotated[list[msgspec.Raw], Meta(max_length=MAX_BATCH)]


def decode(data: bytes | str, type: type[T], at: str = "#") -> T:
    """JSON as `type`. Raises BadRequest for what is no JSON, InvalidArguments for JSON that
    does not fit."""
    try:
        try:
            return msgspec.json.decode(data, type=type)
        except msgspec.ValidationError as error:
            misfit = split_error(str(error))
            msgspec.json.decode(data)  # it may not fit before it is found to be no JSON
    except msgspec.ValidationError as error:  # a number that no type can hold
        misfit = split_error(str(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRequest(400, "invalid-json", f"The body is not JSON: {error}.") from None
    raise InvalidArguments(errors=[(at + misfit[0], misfit[1])])


async def submit(service: Service, body: TaskBody, key: str | None = None) -> Task:
    return await accept(service, await prepare_task(service, body, key))


async def accept(service: Service, submission: Submission) -> Task:
    """Accept one task, or give the one that the same idempotency key gave before."""
    if (known := _known(service, submission)) is not None:
        await service.accepted(known)
        return known
    return (await service.submit([submission]))[0]


def idempotency_of(owner: str | None, key: str, digest: bytes) -> tuple[Any, ...]:
    """What a submission says of its Idempotency-Key. Raises InvalidArguments."""
    if not 0 < len(key) <= MAX_KEY:
        raise InvalidArguments(errors=[("#/idempotency_key", "must have 1 to 255 characters")])
    return (owner, key), digest


async def submit_batch(service: Service, items: list[msgspec.Raw]) -> list[Task]:
    """Accept all or none. Raises InvalidArguments, which names each bad item."""
    if not items:
        await ask(service, "submit")
    submissions: list[Submission] = []
    keys: dict[Any, bytes] = {}
    errors: list[tuple[str, str]] = []
    for number, item in enumerate(items):
        at = f"#/tasks/{number}"
        try:
            submission = await prepare_task(service, decode(bytes(item), TaskBody, at))
            _known(service, submission)
            _check_unique(submission, keys)
            submissions.append(submission)
        except InvalidArguments as error:
            errors += error.at(at).errors
        except UnknownTask as error:
            errors.append((f"{at}/name", str(error)))
    if errors:
        raise InvalidArguments(
            f"{len({each.split('/')[2] for each, _ in errors})} of {len(items)} tasks do not fit, "
            f"so none was accepted.",
            errors,
        )
    tasks = [_known(service, each) for each in submissions]
    new = [each for each, known in zip(submissions, tasks, strict=True) if known is None]
    accepted = iter(await service.submit(new))
    for known in tasks:
        if known is not None:
            await service.accepted(known)
    return [known or next(accepted) for known in tasks]


async def prepare_task(service: Service, body: TaskBody, header: str | None = None) -> Submission:
    """Check what a body asks for. Raises UnknownTask, InvalidArguments, or what the app's hook
    does."""
    owner = await ask(service, "submit", body.name)
    definition = service.catalog.get(body.name)
    if not definition.public:
        raise UnknownTask(f"There is no task {body.name!r}; GET /tasks/types lists them.")
    options = body.options
    errors = []
    if options.delay is not None and options.eta is not None:
        errors.append(("#/options/eta", "give either delay or eta, not both"))
    if options.timeout is not None and options.timeout > (definition.timeout or options.timeout):
        errors.append(("#/options/timeout", f"may only lower {definition.timeout:g} s"))
    if options.retries is not None and options.retries > (most := definition.retry.retries):
        why = f"may only lower {most}" if most else f"{definition.name} allows no retries"
        errors.append(("#/options/retries", why))
    key = body.idempotency_key
    if header is not None:
        if key not in (None, header):
            errors.append(("#/idempotency_key", "differs from the header Idempotency-Key"))
        key = header
    try:
        idempotency = None
        if key is not None:
            content = (body.name, body.args, body.kwargs, options)
            digest = blake2b(_fingerprint(content), digest_size=16).digest()
            idempotency = idempotency_of(owner, key, digest)
        submission = prepare(
            definition, body.args, body.kwargs, options=options, owner=owner,
            idempotency=idempotency,
        )  # fmt: skip
    except InvalidArguments as error:
        errors += error.errors or [("#/args", str(error))]
    except RecursionError:
        errors.append(("#", "is nested too deeply"))
    if errors:
        raise InvalidArguments(errors=errors)
    return submission


def _check_unique(submission: Submission, keys: dict[Any, bytes]) -> None:
    if submission.idempotency is not None:
        key, digest = submission.idempotency
        if keys.setdefault(key, digest) != digest:
            raise InvalidArguments(
                errors=[("#/idempotency_key", "is used for another body in this batch")]
            )


def _known(service: Service, submission: Submission) -> Task | None:
    """The task that the submission's idempotency key gave before.

    Raises InvalidArguments if that was for another body.
    """
    if submission.idempotency is None:
        return None
    key, digest = submission.idempotency
    task = service.registry.submitted(key)
    if task is not None and task.submission is not None and task.submission[1] != digest:
        raise InvalidArguments(
            errors=[("#/idempotency_key", "was used for another body; use a new key")]
        )
    return task
