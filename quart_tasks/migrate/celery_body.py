"""What the function of a bound Celery task does with `self`."""

import libcst as cst
import libcst.matchers as m

from .call_arguments import by_name
from .celery_project import CeleryTask
from .celery_retries import by_hand
from .edits import argument
from .local_names import names_in
from .plan import Plan

_KEYS = ("current", "total", "status")
_BOUND = m.AssignTarget(m.Name("progress")) | m.Param(m.Name("progress"))
_META = "`progress()` has `current`, `total` and a message: say with these how far it is."
_STATE = "There are no states of one's own: say with `progress()` how far it is."


def read_body(plan: Plan, task: CeleryTask) -> None:
    """Note the edits of `self.update_state` and its like, or why the task stays."""
    if not task.bound:
        return
    module = task.module
    param = task.function.params.params[0].name
    retries: list[cst.Call] = []
    for name in names_in(module, param, task.function):
        attribute = module.parent(name)
        above = module.parent(attribute) if attribute is not None else None
        if any(parent in retries for parent in module.parents(name)):
            continue  # `countdown=2 ** self.request.retries`
        if not isinstance(attribute, cst.Attribute):
            task.stay(f"`{task.name}` hands its `{task.bound}` on, which a task does not have.")
        elif attribute.attr.value == "update_state" and isinstance(above, cst.Call):
            _progress(plan, task, above)
        elif attribute.attr.value == "retry" and isinstance(above, cst.Call):
            retries.append(above)
        elif attribute.attr.value == "request" and isinstance(above, cst.Attribute):
            _request(task, above)
        elif attribute.attr.value == "name":
            task.parts.edit(module, attribute, lambda new: _current("name"))
            task.parts.imports.append((module, "quart_tasks.current_task"))
        else:
            task.stay(f"`{module.text(attribute)}` of Celery is left to you.")
    if retries:
        by_hand(task, retries)


def _request(task: CeleryTask, node: cst.Attribute) -> None:
    what = node.attr.value
    if what not in ("id", "retries"):
        task.stay(f"`{task.module.text(node)}` of Celery is left to you.")
        return
    task.parts.imports.append((task.module, "quart_tasks.current_task"))
    if what == "id":
        task.parts.edit(task.module, node, lambda new: _current("id"))
    else:
        retries = cst.parse_expression("(current_task().attempt - 1)")
        task.parts.edit(task.module, node, lambda new: retries.deep_clone())


def _current(name: str) -> cst.Attribute:
    return cst.Attribute(cst.Call(cst.Name("current_task")), cst.Name(name))


def _progress(plan: Plan, task: CeleryTask, call: cst.Call) -> None:
    """`self.update_state(state="PROGRESS", meta={…})` becomes `progress(…)`."""
    given = by_name(call, "task_id", "state", "meta")
    state, meta = given.get("state"), given.get("meta")
    if not isinstance(state, cst.SimpleString) or state.evaluated_value != "PROGRESS":
        task.stay(_STATE)
    elif meta is None or not _is_plain(_values(meta)):
        task.stay(_META)
    elif m.findall(task.module.tree, _BOUND):
        task.stay("`progress` has another meaning in this module: rename it, and run this again.")
    else:
        task.parts.edit(task.module, call, _with_progress)
        task.parts.imports.append((task.module, "quart_tasks.progress"))


def _with_progress(new: cst.Call) -> cst.Call:
    values = _values(by_name(new, "task_id", "state", "meta")["meta"])
    args = [cst.Arg(values["current"])]
    if "total" in values:
        args.append(cst.Arg(values["total"]))
    if "status" in values:
        message = values["status"]
        args.append(cst.Arg(message) if "total" in values else argument("message", message))
    return cst.Call(cst.Name("progress"), args)


def _is_plain(values: dict[str, cst.BaseExpression]) -> bool:
    return "current" in values and set(values) <= set(_KEYS)


def _values(meta: cst.BaseExpression) -> dict[str, cst.BaseExpression]:
    """What a dict that is written out has, by its keys; nothing if some key is not plain."""
    values = {}
    match meta:
        case cst.Dict(elements=elements):
            for element in elements:
                match element:
                    case cst.DictElement(key=cst.SimpleString() as key, value=value):
                        values[str(key.evaluated_value)] = value
                    case _:
                        return {}
        case cst.Call(func=cst.Name("dict"), args=args):
            for arg in args:
                if arg.keyword is None:
                    return {}
                values[arg.keyword.value] = arg.value
    return values
