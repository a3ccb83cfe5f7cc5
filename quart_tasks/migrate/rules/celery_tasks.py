"""Way five: Celery's tasks, what submits them, and the routes that ask how far they are."""

import libcst as cst

from ..celery_body import read_body
from ..celery_calls import Submissions
from ..celery_options import read_options
from ..celery_project import RESULTS, REVOKE, CeleryProject, CeleryTask
from ..celery_results import OURS, ResultUses, as_ours, import_ours, revoked
from ..change import Change
from ..module import Module
from ..rule import Rule
from ..shared import shared
from ..targets import why_no_task
from ..task_definitions import Definition, Definitions
from ..task_home import TaskHome

SIGNATURE = (
    "`{}`: chains, groups and signatures have no equal here; let a task submit the next one at "
    "its end."
)
_SIGNATURES = ("s", "si", "signature", "subtask", "map", "starmap", "chunks")
TOGETHER = "It stays with Celery as long as another task does that shares its status route."
SENT = "This is sent to whatever worker knows the name: submit the task's function."
BEAT = "`{}` is started by Celery's beat: there is no scheduler here."


class CeleryTasks(Rule):
    """A Celery task becomes a task of this server, and its results speak Celery's states.

    Before:

        @celery.task(bind=True)
        def render(self, width):
            for y in range(width):
                self.update_state(
                    state="PROGRESS", meta={"current": y, "total": width, "status": "drawing"}
                )
            return {"done": width}

        @app.post("/pictures")
        def create_picture():
            task = render.apply_async(args=[640], countdown=5)
            return jsonify(id=task.id), 202

        @app.get("/pictures/<id>")
        def picture(id):
            task = render.AsyncResult(id)
            return jsonify(state=task.state, info=task.info)

    After:

        @tasks.task(executor="thread", public=False)
        def render(width):
            for y in range(width):
                progress(y, width, "drawing")
            return {"done": width}

        @app.post("/pictures")
        async def create_picture():
            task = await render.with_options(delay=5).submit(640)
            return jsonify(id=task.id), 202

        @app.get("/pictures/<id>")
        def picture(id):
            task = AsyncResult(id)
            return jsonify(state=task.state, info=task.info)

    `AsyncResult` is `quart_tasks.celery.AsyncResult`. `autoretry_for` and `self.retry` become a
    `RetryPolicy`, `time_limit` a timeout, `acks_late` `idempotent`. Tasks that a route over any
    id shows go together. Left: chains, groups, chords, beat, queues, rate limits, retries outside
    of an `except`, states and progress in words of one's own.
    """

    code = "QT105"

    def look(self, module: Module) -> None:
        project = shared(self.plan, CeleryProject)
        if project.is_settled:
            return
        project.is_settled = True
        for task in project.tasks:
            self._read(project, task)
        for where in self.project.modules.values():
            for call in where.all(cst.Call):
                self._generic(project, where, call)
        groups = [[task] for task in project.tasks]
        if project.generic_nodes:
            groups = [project.tasks]
        for group in groups:
            self._settle(project, group)

    # -- what there is -------------------------------------------------------------------------

    def _read(self, project: CeleryProject, task: CeleryTask) -> None:
        missing = shared(self.plan, TaskHome).missing
        task.why = missing or why_no_task(
            self.plan, task.module, task.function, besides=task.decorator
        )
        read_options(task)
        read_body(self.plan, task)
        if project.is_scheduled(task):
            task.stay(BEAT.format(task.name))
        for module, node in project.uses(task):
            self._use(project, task, module, node)

    def _use(
        self, project: CeleryProject, task: CeleryTask, module: Module, node: cst.CSTNode
    ) -> None:
        parent = module.parent(node)
        if isinstance(parent, cst.Call) and parent.func is node:
            return
        above = module.parent(parent) if parent is not None else None
        if isinstance(parent, cst.Attribute) and isinstance(above, cst.Call):
            method = parent.attr.value
            if method in ("delay", "apply_async"):
                Submissions(self.plan).read(task, module, above, method)
            elif method == "AsyncResult" and above.args:
                task.stay(ResultUses(self.plan, task.parts).of_result(module, above))
                task.parts.edit(module, above, as_ours(project.tracks_started))
                task.parts.imports.append((module, OURS))
            elif method == "run":
                task.parts.edit(module, parent, lambda new: new.value)
            else:
                why = SIGNATURE if method in _SIGNATURES else "`{}` of Celery is left to you."
                task.stay(why.format(module.text(parent)))
        else:
            task.stay(f"`{task.name}` is handed on here, which a task of ours is not made for.")

    def _generic(self, project: CeleryProject, module: Module, call: cst.Call) -> None:
        """What is about a task that only its id tells."""
        origin = self.origin(module, call.func)
        if origin in RESULTS and call.args:
            project.generic_why = project.generic_why or ResultUses(
                self.plan, project.generic
            ).of_result(module, call)
            project.generic.edit(module, call, as_ours(project.tracks_started))
            import_ours(module, project.generic)
        elif origin == REVOKE and call.args:
            project.generic.edit(module, call, revoked)
            project.generic.waits.append((module, call))
            project.generic.imports.append((module, OURS))
        elif origin == "celery.Celery().send_task":
            self.leave(module, call, SENT)
            for task in project.tasks:
                if call.args and project.is_named(task, call.args[0].value):
                    task.stay(SENT)
            return
        else:
            return
        project.generic_nodes.append((module, call))

    # -- what becomes of it --------------------------------------------------------------------

    def _settle(self, project: CeleryProject, group: list[CeleryTask]) -> None:
        """Make one change of what goes together, or leave all of it."""
        if project.generic_why or any(task.why for task in group):
            for task in group:
                self.leave(task.module, task.decorator, task.why or TOGETHER)
            for module, call in project.generic_nodes:
                self.leave(module, call, project.generic_why or TOGETHER)
            return
        if not group:
            return
        first = group[0]
        names = ", ".join(f"`{task.name}`" for task in group)
        change = self.change(first.module, first.decorator, f"{names}: no longer of Celery.")
        for task in group:
            self._change(change, task)
        if project.generic_nodes:
            project.generic.enter(change, self.plan)

    def _change(self, change: Change, task: CeleryTask) -> None:
        task.change = change
        task.options["public"] = "False"
        definition = Definition(
            task.module, task.function, task.options, task.decorator,
            dropped={0} if task.bound else set(),
        )  # fmt: skip
        shared(self.plan, Definitions).define(change, definition)
        for name in ("celery.shared_task", "celery.app.shared_task"):
            change.drop_import(name, task.module)
        task.parts.enter(change, self.plan)
