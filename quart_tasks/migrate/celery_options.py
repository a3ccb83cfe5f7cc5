"""The options of `@celery.task`, as those of `@tasks.task`."""

import libcst as cst

from .celery_project import CeleryTask
from .celery_retries import automatic, set_policy

# They say how Celery talks to its workers, or what is so here anyway.
_NEEDLESS = {
    "bind", "ignore_result", "track_started", "serializer", "compression", "trail", "send_events",
    "store_errors_even_if_ignored", "acks_on_failure_or_timeout", "reject_on_worker_lost", "typing",
}  # fmt: skip
_RETRIES = {
    "autoretry_for", "max_retries", "default_retry_delay", "retry_kwargs", "retry_backoff",
    "retry_backoff_max", "retry_jitter",
}  # fmt: skip
_WHY = {
    "base": "make what its class does a part of the function",
    "queue": "there are no queues: limit it with `concurrency=`, or rank it with `priority=`",
    "rate_limit": "there is no rate limit: `concurrency=` limits how many run at once",
    "soft_time_limit": "a thread is not interrupted: use `timeout=`, in a process or `async def`",
}


def read_options(task: CeleryTask) -> None:
    """Fill a task's `options`, or say why it stays."""
    call = task.decorator.decorator
    given: dict[str, cst.BaseExpression] = {}
    for arg in call.args if isinstance(call, cst.Call) else ():
        if arg.keyword is None:
            task.stay(f"`{task.name}` has options that are not written out here.")
            return
        given[arg.keyword.value] = arg.value
    text = {name: task.module.text(value) for name, value in given.items()}
    task.options["executor"] = '"thread"'
    if text.get("bind") == "True" and task.function.params.params:
        task.bound = task.function.params.params[0].name.value
    for name, value in text.items():
        if name == "name":
            task.options["name"] = value
        elif name == "time_limit":
            task.options["timeout"] = value
        elif name == "acks_late":
            if value == "True":
                task.options["idempotent"] = "True"
        elif name not in _NEEDLESS | _RETRIES:
            why = _WHY.get(name, f"`{name}` of Celery is left to you")
            task.stay(f"`{task.name}` stays with Celery: {why}.")
    if "autoretry_for" in given:
        set_policy(task, automatic(task.module, given))
    task.settings = text
