"""`.delay()` and `.apply_async()`: what submits a Celery task."""

import re

import libcst as cst

from .call_arguments import by_name, ended_like, spread_all
from .celery_project import CeleryTask
from .celery_results import ResultUses, wrapped
from .edits import argument
from .jobs import Jobs
from .module import Module
from .plan import Plan
from .shared import shared
from .task_home import TaskHome

Built = tuple[cst.BaseExpression, list[cst.Arg]]

_OPTIONS = {"countdown": "delay", "eta": "eta", "expires": "expires", "time_limit": "timeout"}
_NEEDLESS = {
    "args", "kwargs", "retry", "retry_policy", "serializer", "compression", "ignore_result",
}  # fmt: skip
_NOW = ("datetime.datetime.utcnow()", "datetime.datetime.now()")
_NUMBER = re.compile(r"[\d._ */+()-]+")
_ETA = "`eta` needs its offset from UTC here: make it aware, or give `countdown`."


class Submissions:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def read(self, task: CeleryTask, module: Module, call: cst.Call, method: str) -> None:
        """Note the edits of one, or why its task stays."""
        build = self._delayed
        if method == "apply_async":
            if why := self._why_not(module, call):
                task.stay(why)
                return
            build = self._applied
        in_thread = shared(self._plan, Jobs).is_target(module, module.function(call))
        home = shared(self._plan, TaskHome)
        uses = ResultUses(self._plan, task.parts)
        why, is_wrapped = uses.of_submission(module, call)
        if why:
            task.stay(why)
            return

        def rewrite(new: cst.Call) -> cst.BaseExpression:
            function, args = build(module, call, new)
            if in_thread:
                name = cst.Attribute(cst.Name(home.name()), cst.Name("submit_sync"))
                made: cst.BaseExpression = cst.Call(name, [cst.Arg(function), *args])
            else:
                made = new.with_changes(func=cst.Attribute(function, cst.Name("submit")), args=args)
            if not is_wrapped:
                return made
            return wrapped(made if in_thread else cst.Await(made))

        task.parts.edit(module, call, rewrite)
        if in_thread:
            task.parts.homes.append((module, call))
        elif is_wrapped:
            task.parts.needs.append((module, call))
        else:
            task.parts.waits.append((module, call))

    def _delayed(self, module: Module, old: cst.Call, new: cst.Call) -> Built:
        return cst.ensure_type(new.func, cst.Attribute).value, list(new.args)

    def _applied(self, module: Module, old: cst.Call, new: cst.Call) -> Built:
        given = by_name(new, "args", "kwargs")
        options = []
        for name, value in given.items():
            if name in _OPTIONS and not (isinstance(value, cst.Name) and value.value == "None"):
                options.append(self._option(module, old, name, value))
        function = cst.ensure_type(new.func, cst.Attribute).value
        if options:
            function = cst.Call(cst.Attribute(function, cst.Name("with_options")), options)
        return function, ended_like(spread_all(given), new.args)

    def _option(
        self, module: Module, old: cst.Call, name: str, value: cst.BaseExpression
    ) -> cst.Arg:
        if name == "eta" and self._from_now(module, by_name(old)["eta"]):
            span = cst.ensure_type(value, cst.BinaryOperation).right
            if not isinstance(span, cst.Call | cst.Name | cst.Attribute):
                span = span.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
            return argument("delay", cst.Call(cst.Attribute(span, cst.Name("total_seconds"))))
        return argument(_OPTIONS[name], value)

    def _why_not(self, module: Module, call: cst.Call) -> str:
        for name, value in by_name(call, "args", "kwargs").items():
            if name not in _OPTIONS and name not in _NEEDLESS:
                return f"`{name}` of `apply_async` is left to you."
            if name == "eta" and not self._from_now(module, value):
                return _ETA
            if name == "expires" and not _NUMBER.fullmatch(module.text(value)):
                return "`expires` takes seconds: say in how many it must have started."
        return ""

    def _from_now(self, module: Module, value: cst.BaseExpression) -> bool:
        """Whether it is `datetime.utcnow() + span`, aware or not: then the span is the delay."""
        return (
            isinstance(value, cst.BinaryOperation)
            and isinstance(value.operator, cst.Add)
            and self._plan.origins.of(module, value.left) in _NOW
        )
