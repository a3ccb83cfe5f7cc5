"""When Celery tries a task again, as a `RetryPolicy`."""

import re

import libcst as cst
import libcst.matchers as m

from .call_arguments import by_name
from .celery_project import CeleryTask
from .module import Module

_NUMBER = re.compile(r"\d+(\.\d+)?")
_LONGEST = 300  # seconds that a RetryPolicy waits at most, if not told
_PAUSE = "180"  # seconds that Celery waits, if not told
_TIMES = "3"


def set_policy(task: CeleryTask, policy: str | None) -> None:
    if policy is None or "retries" in task.options:
        task.stay(f"`{task.name}` stays with Celery: its retries are left to you.")
        return
    task.options["retries"] = f"RetryPolicy({policy})"
    task.parts.imports.append((task.module, "quart_tasks.RetryPolicy"))


def automatic(module: Module, given: dict[str, cst.BaseExpression]) -> str | None:
    """The arguments for `autoretry_for=` and the options beside it; None if they are not plain."""
    text = {name: module.text(value) for name, value in given.items()}
    match given.get("retry_kwargs"):
        case cst.Dict(elements=elements):
            for element in elements:
                match element:
                    case cst.DictElement(key=cst.SimpleString() as key, value=value):
                        text[str(key.evaluated_value)] = module.text(value)
                    case _:
                        return None
        case cst.BaseExpression():
            return None
    if not isinstance(given["autoretry_for"], cst.Tuple):
        return None
    times = text.get("max_retries", _TIMES)
    backoff = text.get("retry_backoff", "False")
    if backoff == "False":
        pause = text.get("countdown", text.get("default_retry_delay", _PAUSE))
        return _policy(times, [f"delay={pause}", "factor=1"], pause, False, text["autoretry_for"])
    first = "1" if backoff == "True" else backoff
    jitter = text.get("retry_jitter", "True") == "True"
    longest = text.get("retry_backoff_max", "600")
    return _policy(times, [f"delay={first}"], longest, jitter, text["autoretry_for"])


def by_hand(task: CeleryTask, calls: list[cst.Call]) -> None:
    """`raise self.retry(exc=error, countdown=5)` in handlers: they raise what they caught, and
    the policy has the task tried again."""
    module = task.module
    kinds: list[str] = []
    asked = set()
    for call in calls:
        given = {name: module.text(value) for name, value in by_name(call).items()}
        handler = next((p for p in module.parents(call) if isinstance(p, cst.ExceptHandler)), None)
        line = module.statement(call)
        is_all = m.matches(line, m.SimpleStatementLine(body=[m.Raise(m.Call())]))
        is_all |= m.matches(line, m.SimpleStatementLine(body=[m.Expr(m.Call())]))
        if handler is None or handler.type is None or not is_all:
            set_policy(task, None)
            return
        if not set(given) <= {"exc", "countdown", "max_retries"}:
            set_policy(task, None)
            return
        kind = handler.type
        parts = [each.value for each in kind.elements] if isinstance(kind, cst.Tuple) else [kind]
        kinds += [text for part in parts if (text := module.text(part)) not in kinds]
        asked.add((given.get("countdown", ""), given.get("max_retries", "")))
        task.parts.edit(module, line, lambda new: new.with_changes(body=[cst.Raise()]))
    countdown, times = asked.pop()
    settings = task.settings
    pause = countdown or settings.get("default_retry_delay", _PAUSE)
    times = times or settings.get("max_retries", _TIMES)
    pauses = [f"delay={pause}", "factor=1"]
    if re.fullmatch(rf"2 ?\*\* ?{task.bound}\.request\.retries", pause):
        pauses, pause = ["delay=1"], "86400"  # Celery knows no longest pause
    elif not _NUMBER.fullmatch(pause):
        asked.add(("", ""))
    on = f"({', '.join(kinds)}{',' if len(kinds) == 1 else ''})"
    set_policy(task, None if asked else _policy(times, pauses, pause, False, on))


def _policy(times: str, pauses: list[str], longest: str, jitter: bool, on: str) -> str | None:
    if not times.isdigit():  # None is for ever
        return None
    if longest.isdigit() and int(longest) > _LONGEST:
        pauses = [*pauses, f"max_delay={longest}"]
    return ", ".join([times, *pauses, *([] if jitter else ["jitter=False"]), f"on={on}"])
