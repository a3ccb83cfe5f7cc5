"""What `Pools`, `Threads` and `FutureDicts` have found becomes tasks."""

import libcst as cst

from ..app_arguments import app_arguments, app_positions, drop_local_app, why_not_dropped
from ..call_arguments import ended_like
from ..change import Change
from ..edits import argument
from ..job_groups import together, why_without_context
from ..jobs import Job, Jobs, Site, Started
from ..module import Module
from ..rule import Rule
from ..shared import shared
from ..targets import contexts, why_no_task
from ..task_definitions import Definition, Definitions
from ..task_home import TaskHome

TURNS = (
    "This pool lets several functions run one at a time: make them one task with "
    "`concurrency=1`, or let them run beside each other."
)

SHOWN = (
    "The records of its tasks are shown under `{}`: say to whom, by `TASKS_TOKEN` or "
    "`@tasks.authorize`."
)
DONE = "{} runs as a task, submitted here."
ALSO = "`{}` is also started in a way that is left to you."


class TaskFunctions(Rule):
    """A function that is started beside a request becomes a task, and what starts it submits it.

    Before:

        def resize(name, width):
            ...

        def clean():
            pool.submit(resize, "all", width=120)

    After:

        @tasks.task(executor="thread", public=False)
        def resize(name, width):
            ...

        @tasks.task(executor="thread", public=False)
        def clean():
            tasks.submit_sync(resize, "all", width=120)

    `public=False`, as nobody could start it over HTTP before. What starts it is awaited, or
    `submit_sync` where it runs in a thread itself. `tasks = QuartTasks(…)` comes beside the app,
    or into `extensions.py` if several modules need it.
    """

    code = "QT109"

    def look(self, module: Module) -> None:
        jobs = shared(self.plan, Jobs)
        if jobs.is_settled:
            return
        jobs.is_settled = True
        for site in jobs.unknown:
            self.plan.leave(site.code, site.module, site.node, site.why)
        for job in jobs.by_origin.values():
            self._judge(job)
        for group in together(jobs.by_origin.values()):
            self._settle(group)

    def coloured(self, module: Module) -> None:
        """Tell at each site why a change of several is not made, and at the app what is new."""
        home = shared(self.plan, TaskHome)
        for app in home.apps if home.is_used and not home.exists else ():
            if app.module is module:
                self.note(module, app.statement, SHOWN.format(home.prefix))
        for job in shared(self.plan, Jobs).by_origin.values():
            for site in job.sites:
                change = site.change
                if change is None or site.module is not module or site.node is change.node:
                    continue
                if change.blocked:
                    self.plan.leave(site.code, module, site.node, ALSO.format(job.name))
                else:
                    self.plan.add(
                        Change(site.code, module, site.node, DONE.format(f"`{job.name}`"))
                    )

    def _judge(self, job: Job) -> None:
        """Find out why some of its sites cannot be changed, and which go together."""
        why = shared(self.plan, TaskHome).missing or why_no_task(
            self.plan, job.module, job.function
        )
        if len({site.executor for site in job.sites}) > 1:
            why = why or f"`{job.name}` is started in threads and in processes: choose one."
        if (job.function.asynchronous is not None) != job.sites[0].is_coroutine:
            why = why or f"`{job.name}` is async: nothing runs it in a thread."
        if job.sites[0].executor == "process" and contexts(
            self.plan, job.module, job.function, set()
        ):
            why = why or f"`{job.name}` needs the app, which a task in a process does not have."
        if self._takes_turns(job):
            why = why or TURNS
        needs_context = bool(contexts(self.plan, job.module, job.function, set()))
        if needs_context:
            why = why or why_without_context(self.plan, job)
        job.app_params = app_positions(self.plan, job, job.sites[0])
        if job.app_params:
            why = why or why_not_dropped(self.plan, job)
            drop_local_app(self.plan, job, job.sites[0].parts)
        # A pool of processes pickles what it is given, which a task cannot be.
        is_pickled = job.sites[0].executor == "process"
        job.is_whole = needs_context or is_pickled or bool(job.app_params)
        for site in job.sites:
            site.why = site.why or why

    def _settle(self, group: list[tuple[Job, Site]]) -> None:
        """Make one change of a group, or leave all of it."""
        if any(site.why for _, site in group):
            for job, site in group:
                why = site.why or ALSO.format(job.name)
                self.plan.leave(site.code, site.module, site.node, why)
            return
        first = group[0][1]
        names = " and ".join(dict.fromkeys(f"`{job.name}`" for job, _ in group))
        message = DONE.format(names)
        change = self.plan.add(Change(first.code, first.module, first.node, message))
        for job, site in group:
            site.change = change
            self._submit(change, job, site)
            shared(self.plan, Definitions).define(change, self._definition(job))

    def _submit(self, change: Change, job: Job, site: Site) -> None:
        found: list[Started] = []

        def keep(new: cst.Call) -> cst.Call:
            found.append(site.read(new))
            return new

        jobs, home = shared(self.plan, Jobs), shared(self.plan, TaskHome)
        in_thread = jobs.is_target(site.module, site.module.function(site.node))
        change.edit(site.source, keep, site.module)
        change.edit(
            site.node, lambda new: self._submission(job, site, found[0], in_thread), site.module
        )
        change.claim(site.source)
        if in_thread:
            home.use(change, site.module, site.node)
        else:
            change.wait(site.node, site.module)
        site.parts.enter(change, self.plan)

    def _submission(self, job: Job, site: Site, started: Started, in_thread: bool) -> cst.Call:
        before = site.read(site.source).args
        dropped = app_arguments(self.plan, job, site)
        kept = [arg for index, arg in enumerate(started.args) if index not in dropped]
        args = ended_like(kept, started.args)
        task = started.function
        if started.options:
            options = [argument(name, value) for name, value in started.options.items()]
            task = cst.Call(cst.Attribute(task, cst.Name("with_options")), options)
        like = site.node if site.node is site.source and before else cst.Call(task)
        if in_thread:
            home = cst.Name(shared(self.plan, TaskHome).name())
            return cst.Call(cst.Attribute(home, cst.Name("submit_sync")), [cst.Arg(task), *args])
        return like.with_changes(func=cst.Attribute(task, cst.Name("submit")), args=args)

    def _takes_turns(self, job: Job) -> bool:
        """Whether a pool with one thread keeps this function and another from running at once."""
        pools = {site.pool for site in job.sites if site.concurrency == 1}
        return any(
            site.pool in pools
            for other in shared(self.plan, Jobs).by_origin.values()
            if other is not job
            for site in other.sites
        )

    def _size(self, job: Job) -> int | None:
        """How many of it may run at once: what its one pool allowed, which others may share."""
        pools = {site.pool for site in job.sites}
        return job.sites[0].concurrency if len(pools) == 1 else None

    def _definition(self, job: Job) -> Definition:
        if job.definition is None:
            options = {"executor": f'"{job.sites[0].executor}"'}
            if job.function.asynchronous is not None:
                options = {}
            size = self._size(job)
            if size is not None:
                options["concurrency"] = str(size)
            params = job.function.params.params
            apps = {params[index].name.value for index in job.app_params}
            options["public"] = "False"
            job.definition = Definition(
                job.module, job.function, options, dropped=set(job.app_params), apps=apps
            )
        return job.definition
