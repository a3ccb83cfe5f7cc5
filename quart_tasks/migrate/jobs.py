"""Functions that are started beside a request, and become tasks together with what starts them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import libcst as cst

from .change import Change, Spot
from .json_arguments import why_no_json
from .module import Module
from .parts import Parts
from .plan import Plan
from .recipes import Recipes
from .serving import Serving
from .shared import shared
from .task_definitions import Definition

Executor = Literal["thread", "process"]
APP = "flask.Flask()"
# What cannot be passed to a task, or not for long: locks, files, the request.
_UNFIT = re.compile(
    r"(threading|multiprocessing|queue|socket|concurrent|asyncio|io)\..*|builtins\.open\(\)"
    r"|flask\.(Request\(\)|session|g|datastructures\.FileStorage\(\))"
)


_TASK = re.compile(
    r"quart_tasks\.QuartTasks\(\)\.task(\(\))?|celery\.Celery\(\)\.task(\(\))?"
    r"|celery\.(app\.)?shared_task(\(\))?"
)
UNFIT = "A task cannot be given a lock, a file or the request: pass what is read from it."


@dataclass(frozen=True)
class Started:
    """The function, arguments and options in a call such as `Thread(target=f, args=(1,))`."""

    function: cst.BaseExpression
    args: list[cst.Arg]
    options: dict[str, cst.BaseExpression] = field(default_factory=dict)


@dataclass(eq=False)
class Site:
    """One place that starts a function.

    `source` is the call that has the arguments, which `read` finds in it, `node` the expression
    that becomes the submission: the same call, or that of `.start()`. `is_coroutine` is that of
    `Thread(target=asyncio.run, args=(f(),))`. `parts` are what else changes with it; sites of
    one `group` change together or not at all. `why` says why it cannot be done.
    """

    code: str
    module: Module
    node: cst.Call
    source: cst.Call
    read: Callable[[cst.Call], Started]
    executor: Executor
    pool: cst.CSTNode | None = None
    concurrency: int | None = None
    parts: Parts = field(default_factory=Parts)
    is_coroutine: bool = False
    group: object = None
    why: str = ""
    change: Change | None = None

    @property
    def is_done(self) -> bool:
        """Whether it becomes a task's submission: for edits, when that is known."""
        return self.change is not None and not self.change.blocked


@dataclass(eq=False)
class Job:
    """A function and all sites that start it. `app_params` are the positions of the parameters
    that are given the app; `is_whole` says that it changes for all sites or for none."""

    origin: str
    module: Module
    function: cst.FunctionDef
    sites: list[Site] = field(default_factory=list)
    app_params: list[int] = field(default_factory=list)
    is_whole: bool = False
    definition: Definition | None = None

    @property
    def name(self) -> str:
        return self.function.name.value


class Jobs:
    """What the rules about pools and threads have found, by the function that is started."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.by_origin: dict[str, Job] = {}
        # Sites whose function is none of the project's.
        self.unknown: list[Site] = []
        self.is_settled = False

    def counts(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether this runs in a request, or in what one starts, and is no background view's."""
        if shared(self._plan, Recipes).has(module, node):
            return False
        return shared(self._plan, Serving).runs(module, node)

    def add(self, site: Site) -> None:
        if not self.counts(site.module, site.node):
            return
        started = site.read(site.source)
        origin = self._plan.origins.of(site.module, started.function)
        site.why = site.why or self._unfit(site.module, started)
        found = self._plan.origins.definition(origin)
        if found is None or not isinstance(found[1], cst.FunctionDef):
            site.why = site.why or _unknown(site.module, started.function)
            self.unknown.append(site)
            return
        if site.executor == "process":
            site.why = site.why or why_no_json(self._plan, site.module, started.args, found[1])
        job = self.by_origin.setdefault(origin, Job(origin, found[0], found[1]))
        job.sites.append(site)

    def is_target(self, module: Module, function: cst.FunctionDef | None) -> bool:
        """Whether this function is a task, or becomes one: it runs where nothing can await."""
        if function is None or function.asynchronous is not None:
            return False
        origins = (self._plan.origins.of(module, one.decorator) for one in function.decorators)
        return any(job.function is function for job in self.by_origin.values()) or any(
            _TASK.fullmatch(origin) for origin in origins
        )

    def are_done(self, users: list[Spot]) -> bool:
        """Whether each of these names of a pool stands in a site that becomes a submission."""
        done = {
            id(site.source.func.value)
            for job in self.by_origin.values()
            for site in job.sites
            if site.is_done and isinstance(site.source.func, cst.Attribute)
        }
        return all(id(node) in done for _, node in users)

    def _unfit(self, module: Module, started: Started) -> str:
        for arg in started.args:
            if _UNFIT.fullmatch(self._plan.origins.of(module, arg.value)):
                return UNFIT
        return ""


def _unknown(module: Module, function: cst.BaseExpression) -> str:
    if isinstance(function, cst.Lambda):
        return "A lambda cannot be a task: make it a function at the top of a module."
    text = module.text(function)
    return f"`{text}` is no function at the top of a module here, so it cannot be a task."
