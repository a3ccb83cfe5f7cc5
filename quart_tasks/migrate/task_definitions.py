"""The functions that get `@tasks.task`, and what it says of each."""

from dataclasses import dataclass, field
from functools import partial

import libcst as cst

from .change import Change
from .local_names import is_label
from .module import Module
from .plan import Plan
from .removals import subtree
from .shared import shared
from .targets import contexts, without_context
from .task_home import TaskHome
from .variables import imported_as


@dataclass(eq=False)
class Definition:
    """`options` are source: `{"executor": '"thread"'}`. `decorator` is the one that it replaces.
    `dropped` are the positions of parameters that the task does not have; those of them that
    are given the app are its names in `apps`."""

    module: Module
    function: cst.FunctionDef
    options: dict[str, str] = field(default_factory=dict)
    decorator: cst.Decorator | None = None
    dropped: set[int] = field(default_factory=set)
    apps: set[str] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.options.get("name", f'"{self.function.name.value}"')

    @property
    def is_done(self) -> bool:
        return any(not change.blocked for change in self.changes)


class Definitions:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._all: list[Definition] = []
        self._edited: set[Definition] = set()
        self._views: set[str] = set()

    def reserve(self, name: str) -> bool:
        """Keep a name for a background view, as views and tasks share theirs; False if another
        view has it."""
        is_new = f'"{name}"' not in self._views
        self._views.add(f'"{name}"')
        return is_new

    def define(self, change: Change, definition: Definition) -> None:
        """Make a function a task with `change`, and with every other that defines it too."""
        if definition not in self._all:
            self._all.append(definition)
        definition.changes.append(change)
        module, function = definition.module, definition.function
        shared(self._plan, TaskHome).use(change, module, function)
        change.edit(function, partial(self._decorated, definition), module)
        for block in contexts(self._plan, module, function, definition.apps):
            rewrite = without_context(self._plan, module, block, definition.apps)
            change.edit(block, rewrite, module)
            change.claim(block, *(item.item for item in block.items))
        self._rename_apps(change, definition)
        for index in definition.dropped:
            self._drop_imports(change, module, function.params.params[index])

    def _drop_imports(self, change: Change, module: Module, param: cst.Param) -> None:
        """What the annotation of a parameter that goes was imported for."""
        for node in [] if param.annotation is None else subtree(param.annotation):
            if isinstance(node, cst.Name):
                for source in imported_as(module, node.value):
                    change.drop_import(source, module)

    def _rename_apps(self, change: Change, definition: Definition) -> None:
        """A parameter that held the app becomes `current_app`, where it is still used."""
        module = definition.module
        for name in module.all(cst.Name) if definition.apps else ():
            if name.value not in definition.apps or definition.function not in module.parents(name):
                continue
            parent = module.parent(name)
            is_entered = isinstance(parent, cst.Attribute) and parent.attr.value == "app_context"
            if isinstance(parent, cst.Param) or is_label(module, name):
                continue
            change.edit(name, lambda new: new.with_changes(value="current_app"), module)
            if not is_entered:
                change.add_import("quart.current_app", module)

    def _decorated(self, definition: Definition, new: cst.FunctionDef) -> cst.FunctionDef:
        if definition in self._edited:
            return new
        self._edited.add(definition)
        name = shared(self._plan, TaskHome).name()
        options = dict(definition.options)
        if self._is_taken(definition):
            options["name"] = f'"{definition.module.name}.{definition.function.name.value}"'
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        call = f"{name}.task({given})" if given else f"{name}.task"
        ours = cst.Decorator(cst.parse_expression(call))
        decorators = [ours, *new.decorators]
        if definition.decorator is not None:
            index = list(definition.function.decorators).index(definition.decorator)
            old = new.decorators[index]
            decorators = [*new.decorators]
            decorators[index] = old.with_changes(decorator=ours.decorator)
        return new.with_changes(decorators=decorators, params=_without(new.params, definition))

    def _is_taken(self, definition: Definition) -> bool:
        """Whether an earlier task or a view has this name already."""
        if definition.name in self._views:
            return True
        earlier = self._all[: self._all.index(definition)]
        return any(other.is_done and other.name == definition.name for other in earlier)


def _without(params: cst.Parameters, definition: Definition) -> cst.Parameters:
    kept = [param for index, param in enumerate(params.params) if index not in definition.dropped]
    if kept and len(kept) < len(params.params):
        kept[-1] = kept[-1].with_changes(comma=params.params[-1].comma)
    return params.with_changes(params=kept)
