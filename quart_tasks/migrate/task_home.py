"""Where `tasks = QuartTasks()` stands, and how its name comes to the modules that use it.

Beside the app, if nobody else needs it; else in a module that imports nothing of the project, so
that no circle arises: `extensions.py`, which is made if there is none.
"""

from functools import partial

import libcst as cst

from .change import Change
from .imports import end_of_imports, with_imports
from .module import Module
from .plan import Plan
from .task_places import (
    EXTENSION,
    HOME,
    App,
    Place,
    find_apps,
    find_existing,
    find_leaf,
    has_route_under,
    is_free,
    path_between,
)

NAMES = ("tasks", "background_tasks", "quart_tasks_extension")
PREFIXES = ("/tasks", "/background-tasks", "/quart-tasks")
Line = cst.SimpleStatementLine | cst.BaseCompoundStatement
NEW_FILE = '''"""What is made once, and used by the whole app."""

from quart_tasks import QuartTasks

{name} = QuartTasks()
'''


class TaskHome:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.apps = find_apps(plan)
        self._existing = find_existing(plan)
        self._leaf = find_leaf(plan)
        self._uses: list[tuple[Change, Module, cst.CSTNode]] = []
        self._freed: set[cst.CSTNode] = set()
        self._place: Place | None = None
        free = [prefix for prefix in PREFIXES if not has_route_under(plan, prefix)]
        self.prefix = free[0] if free else PREFIXES[-1]
        self._is_made = False
        self._given: set[App] = set()

    @property
    def missing(self) -> str:
        """Why there can be none, or ""."""
        if self.apps or self._existing:
            return ""
        return "There is no `app = Flask(…)` here that its tasks could belong to."

    @property
    def is_used(self) -> bool:
        """Whether some change makes tasks, as far as is known."""
        return any(not change.blocked for change, _, _ in self._uses)

    @property
    def exists(self) -> bool:
        """Whether the project has an extension already."""
        return self._existing is not None

    def use(self, change: Change, module: Module, node: cst.CSTNode) -> None:
        """`node`, an edit of `change`, will use the extension in `module`, by `name()`."""
        self._uses.append((change, module, node))
        change.edit(module.tree, partial(self._brought, module), module)
        if self._existing is None:
            if self._leaf is not None:
                change.edit(self._leaf.tree, self._hosted, self._leaf)
            for app in self.apps:
                change.edit(app.statement, partial(self._below, app), app.module)
                change.edit(app.module.tree, partial(self._brought, app.module), app.module)

    def free(self, *nodes: cst.CSTNode) -> None:
        """These names are removed, and stand in nobody's way."""
        self._freed.update(nodes)

    def name(self) -> str:
        """What the extension is called in the code. For edits only: all uses must be known."""
        return self.place().name

    def place(self) -> Place:
        if self._place is None:
            self._place = self._existing or self._chosen()
        return self._place

    def _chosen(self) -> Place:
        users = {module for change, module, _ in self._uses if not change.blocked}
        modules = users | {app.module for app in self.apps}
        names = [name for name in NAMES if is_free(self._plan, name, modules, self._freed)]
        name = names[0] if names else NAMES[-1]
        app = self.apps[0]
        if len(modules) == 1:
            return Place(app.module, app.module.path, name)
        if self._leaf is not None:
            return Place(self._leaf, self._leaf.path, name)
        folder = app.module.path.parent
        stem = f"tasks_{HOME}" if (folder / f"{HOME}.py").exists() else HOME
        return Place(None, folder / f"{stem}.py", name)

    # -- edits: made when all uses are known ------------------------------------------------

    def _brought(self, module: Module, tree: cst.Module) -> cst.Module:
        """`module` with the extension, or with the import of it."""
        place = self.place()
        if place.module is None:
            self._plan.created[place.path] = NEW_FILE.format(name=place.name)
        if place.module is module:
            return self._with_extension(tree, place) if place.is_new else tree
        return with_imports(tree, [f"{path_between(module, place)}.{place.name}"], [])

    def _hosted(self, tree: cst.Module) -> cst.Module:
        """The `extensions.py` there is, which may not use the extension itself."""
        is_host = self._leaf is not None and self.place().module is self._leaf
        return self._with_extension(tree, self.place()) if is_host else tree

    def _with_extension(self, tree: cst.Module, place: Place) -> cst.Module:
        """`tree` with `tasks = QuartTasks()` below its imports, unless it stands below the app."""
        tree = with_imports(tree, [EXTENSION], [])
        if self._is_made or self._stands_below_app(place):
            return tree
        self._is_made = True
        body = list(tree.body)
        line = cst.parse_statement(f"\n{place.name} = QuartTasks()", tree.config_for_parsing)
        body.insert(end_of_imports(body), line)
        return tree.with_changes(body=body)

    def _stands_below_app(self, place: Place) -> bool:
        """Whether one line, `tasks = QuartTasks(app)`, is enough: nothing above the app uses it."""
        app = self.apps[0]
        if app.module is not place.module or not app.is_global or len(self.apps) > 1:
            return False
        return not any(
            module is app.module and module.order(node) < module.order(app.statement)
            for change, module, node in self._uses
            if not change.blocked
        )

    def _below(self, app: App, new: Line) -> Line | cst.FlattenSentinel[Line]:
        """The app's statement, and below it the one that gives the app its tasks."""
        if app in self._given:
            return new
        self._given.add(app)
        place = self.place()
        lines = [f"{place.name}.init_app({app.name})"]
        if self._stands_below_app(place):
            lines = [f"{place.name} = QuartTasks({app.name})"]
        if self.prefix != PREFIXES[0]:
            lines.insert(0, f'{app.name}.config["TASKS_URL_PREFIX"] = "{self.prefix}"')
        return cst.FlattenSentinel([new, *map(cst.parse_statement, lines)])
