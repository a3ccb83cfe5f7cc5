"""The app as an argument, which a task does not need: it has `current_app`."""

import libcst as cst

from .jobs import APP, Job, Site
from .local_names import names_in, own_statement
from .module import Module
from .parts import Parts
from .plan import Plan
from .shared import shared
from .variables import Variables


def app_arguments(plan: Plan, job: Job, site: Site) -> dict[int, int]:
    """Which of the arguments at a site are the app, and the positions of their parameters."""
    names = [param.name.value for param in job.function.params.params]
    found = {}
    for index, arg in enumerate(site.read(site.source).args):
        if arg.star:  # it is not known how many parameters that fills
            break
        if plan.origins.of(site.module, arg.value) == APP:
            name = arg.keyword.value if arg.keyword is not None else ""
            found[index] = names.index(name) if name in names else index
    return found


def app_positions(plan: Plan, job: Job, site: Site) -> list[int]:
    """The positions of the parameters that are given the app."""
    return sorted(app_arguments(plan, job, site).values())


def why_not_dropped(plan: Plan, job: Job) -> str:
    """Why the parameters that take the app cannot go, or ""."""
    name = job.name
    params = job.function.params.params
    if max(job.app_params) >= len(params):
        return f"`{name}` takes the app in a way that is left to you: it has `current_app`."
    for site in job.sites:
        if app_positions(plan, job, site) != job.app_params:
            return f"`{name}` is given the app in one place and not in another."
    references = [
        node for module, node in shared(plan, Variables).named(name)
        if plan.origins.of(module, node) == job.origin
        and not isinstance(module.parent(node), cst.ImportAlias | cst.FunctionDef)
    ]  # fmt: skip
    if len(references) > len(job.sites):
        return f"`{name}` is also called with the app: let it use `current_app`."
    apps = {params[index].name.value for index in job.app_params}
    for target in job.module.all(cst.AssignTarget):
        node = target.target
        is_app = isinstance(node, cst.Name) and node.value in apps
        if is_app and job.module.function(node) is job.function:
            return f"`{name}` gives `{job.module.text(node)}` another value: use `current_app`."
    return ""


def drop_local_app(plan: Plan, job: Job, parts: Parts) -> None:
    """Take `app = current_app._get_current_object()` away, if it was only to be passed on."""
    for site in job.sites:
        module, args = site.module, site.read(site.source).args
        parts.drops += [(module, "flask.current_app"), (module, "quart.current_app")]
        for index in app_arguments(plan, job, site):
            name = args[index].value
            if not isinstance(name, cst.Name) or module.function(name) is None:
                continue
            uses = [name, *names_in(module, name)]
            made = [use for use in uses if isinstance(module.parent(use), cst.AssignTarget)]
            passed = _passed(plan, job, module)
            if len(made) == 1 and all(use in passed for use in uses if use is not made[0]):
                parts.remove(module, own_statement(module, made[0]))


def _passed(plan: Plan, job: Job, module: Module) -> list[cst.CSTNode]:
    """What the sites of a job pass as the app."""
    return [
        site.read(site.source).args[index].value
        for site in job.sites
        if site.module is module
        for index in app_arguments(plan, job, site)
    ]
