"""Celery in a project: its tasks, what submits them and asks for their results."""

import re
from dataclasses import dataclass, field

import libcst as cst

from .change import Change, Spot
from .module import Module
from .parts import Parts
from .plan import Plan
from .shared import shared
from .variables import Variable, Variables

_DECORATORS = re.compile(r"(celery\.Celery\(\)\.task|celery\.(?:app\.)?shared_task)(\(\))?")
RESULTS = ("celery.result.AsyncResult", "celery.Celery().AsyncResult", "celery.AsyncResult")
REVOKE = "celery.Celery().control.revoke"


@dataclass(eq=False)
class CeleryTask:
    """A task's function. `settings` are what its decorator says of it, `options` what
    `@tasks.task` will; `why` says why it stays."""

    module: Module
    function: cst.FunctionDef
    decorator: cst.Decorator
    options: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    bound: str = ""
    parts: Parts = field(default_factory=Parts)
    why: str = ""
    change: Change | None = None

    @property
    def name(self) -> str:
        return self.function.name.value

    @property
    def is_done(self) -> bool:
        """Whether it becomes one of ours: for edits, when that is known."""
        return self.change is not None and not self.change.blocked

    def stay(self, why: str) -> None:
        self.why = self.why or why


class CeleryProject:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.tasks = [
            task
            for module in plan.project.modules.values()
            for function in module.all(cst.FunctionDef)
            if (task := self._task(module, function)) is not None
        ]
        # What is about any task: a status route over `AsyncResult(task_id)`.
        self.generic = Parts()
        self.generic_nodes: list[Spot] = []
        self.generic_why = ""
        self.is_settled = False
        self.is_cleared = False
        self.tracks_started = any(map(_tracks_started, plan.project.modules.values()))

    def uses(self, task: CeleryTask) -> list[tuple[Module, cst.CSTNode]]:
        """Where a task is named, but for its own definition."""
        return shared(self._plan, Variables).uses(Variable(task.module, task.name))

    def is_named(self, task: CeleryTask, text: cst.BaseExpression) -> bool:
        """Whether a string is the task's name."""
        known = (f"{task.module.name}.{task.name}", task.options.get("name", "").strip("\"'"))
        return isinstance(text, cst.SimpleString) and text.evaluated_value in known

    def is_scheduled(self, task: CeleryTask) -> bool:
        """Whether a beat schedule names it."""
        return any(
            self.is_named(task, text)
            for module in self._plan.project.modules.values()
            for text in module.all(cst.SimpleString)
            if _is_value_of(module, text, "task")
        )

    def _task(self, module: Module, function: cst.FunctionDef) -> CeleryTask | None:
        for decorator in function.decorators:
            origin = self._plan.origins.of(module, decorator.decorator)
            if _DECORATORS.fullmatch(origin):
                return CeleryTask(module, function, decorator)
        return None


def _tracks_started(module: Module) -> bool:
    """Whether `task_track_started` is set, in whatever of Celery's spellings."""
    names = [name.value for name in module.all(cst.Name)]
    names += [str(text.evaluated_value) for text in module.all(cst.SimpleString)]
    return any(name.lower().endswith("track_started") for name in names)


def _is_value_of(module: Module, text: cst.SimpleString, key: str) -> bool:
    """Whether it is the value in `{"task": "…"}`."""
    element = module.parent(text)
    return (
        isinstance(element, cst.DictElement)
        and element.value is text
        and isinstance(element.key, cst.SimpleString)
        and element.key.evaluated_value == key
    )
