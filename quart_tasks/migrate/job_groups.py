"""Which sites change together, and whether a function may change for all who use it."""

from collections.abc import Iterable

import libcst as cst

from .definitions import is_tests
from .jobs import Job, Site
from .module import Module
from .plan import Plan
from .serving import Serving
from .shared import shared
from .variables import Variables

# What has the app's context, as `flask` runs them.
COMMANDS = (
    "flask.Flask().cli.command",
    "flask.Blueprint().cli.command",
    "flask.cli.AppGroup().command",
)
Group = list[tuple[Job, Site]]


def together(jobs: Iterable[Job]) -> list[Group]:
    """All sites, in groups: those of one `Site.group`, and those of one function that would not
    be the same any more for a site that is left."""
    groups: dict[object, Group] = {}
    for job in jobs:
        for site in job.sites:
            group: Group = [(job, site)]
            for key in _keys(job, site):
                group = [pair for pair in groups.get(key, []) if pair not in group] + group
            for pair in group:
                groups.update(dict.fromkeys(_keys(*pair), group))
    return list({id(group): group for group in groups.values()}.values())


def _keys(job: Job, site: Site) -> list[object]:
    """What it has in common with the others of its group."""
    return [site.group or site, *([job] if job.is_whole else [])]


def why_without_context(plan: Plan, job: Job) -> str:
    """Why a function cannot do without the `with app.app_context()` that only tasks can lose,
    or ""."""
    started = {site.read(site.source).function for site in job.sites}
    for module, node in shared(plan, Variables).named(job.name):
        whole = _with_owner(module, node)
        if whole in started or plan.origins.of(module, whole) != job.origin:
            continue
        if not _has_context(plan, module, whole):
            return (
                f"`{job.name}` enters the app's context, and is also used where there is none: "
                "make what it does there a function of its own."
            )
    return ""


def _with_owner(module: Module, node: cst.CSTNode) -> cst.CSTNode:
    """`jobs.send`, of its `send`."""
    parent = module.parent(node)
    return parent if isinstance(parent, cst.Attribute) and parent.attr is node else node


def _has_context(plan: Plan, module: Module, node: cst.CSTNode) -> bool:
    """Whether this names a function without running it, or calls it in a request, a command of the
    app or a test."""
    parent = module.parent(node)
    if isinstance(parent, cst.ImportAlias | cst.FunctionDef):
        return True
    if not isinstance(parent, cst.Call) or parent.func is not node:
        return False
    if is_tests(module) or shared(plan, Serving).runs(module, node):
        return True
    function = module.function(node)
    origins = [
        plan.origins.of(module, one.decorator)
        for one in (function.decorators if function is not None else ())
    ]
    return any(origin.removesuffix("()") in COMMANDS for origin in origins)
