"""Celery's app goes when its last task does."""

import libcst as cst

from ..celery_plumbing import Plumbing
from ..celery_project import CeleryProject
from ..module import Module
from ..parts import Parts
from ..removals import clear
from ..rule import Rule
from ..shared import shared
from ..variables import Variable, Variables

KEPT = "No task here is run by Celery any more: take away what still uses it."


class CeleryApps(Rule):
    """What only sets Celery up goes, when nothing is run by it any more.

    Before:

        celery = Celery(__name__)
        logger = get_task_logger(__name__)

        def init_celery(app):
            celery.conf.update(app.config)

            class ContextTask(celery.Task):
                def __call__(self, *args, **kwargs):
                    with app.app_context():
                        return self.run(*args, **kwargs)

            celery.Task = ContextTask

    After:

        logger = logging.getLogger(__name__)

    Tasks have the app's context anyway. Settings in `app.config` stay. Left: whatever else uses
    the Celery app.
    """

    code = "QT106"

    def look(self, module: Module) -> None:
        project = shared(self.plan, CeleryProject)
        if project.is_cleared:
            return
        project.is_cleared = True
        changes = {task.change for task in project.tasks if task.change is not None}
        if not project.tasks or not all(task.change is not None for task in project.tasks):
            return
        plumbing, parts = shared(self.plan, Plumbing), Parts()
        for where, call in plumbing.loggers:
            parts.edit(where, call.func, lambda new: _LOGGER)
            parts.imports.append((where, "logging"))
            parts.drops.append((where, "celery.utils.log.get_task_logger"))
        for where, statement in plumbing.gone if not plumbing.kept else ():
            parts.edit(where, statement, self._unless_kept)
            clear(where, statement, parts)
            for name in _bound_names(statement):
                parts.drops += shared(self.plan, Variables).imports(Variable(where, name))
        for change in changes:
            parts.enter(change, self.plan)

    def coloured(self, module: Module) -> None:
        if not self._is_over():
            return
        for where, node in shared(self.plan, Plumbing).kept:
            if where is module:
                self.leave(module, node, KEPT)

    def _is_over(self) -> bool:
        return all(task.is_done for task in shared(self.plan, CeleryProject).tasks)

    def _unless_kept(self, new: cst.CSTNode) -> cst.CSTNode | cst.RemovalSentinel:
        return cst.RemoveFromParent() if self._is_over() else new


def _bound_names(statement: cst.CSTNode) -> list[str]:
    """The names that a statement gives: those that others may import."""
    match statement:
        case cst.FunctionDef(name=cst.Name(value=name)):
            return [name]
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])]
        ):
            return [name]
    return []


_LOGGER = cst.Attribute(cst.Name("logging"), cst.Name("getLogger"))
