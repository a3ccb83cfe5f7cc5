"""Way six: a new event loop in each request."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import libcst as cst

from ..edits import with_arguments
from ..jobs import Jobs
from ..local_names import names_in, own_statement
from ..module import Module
from ..rule import Rule
from ..serving import Serving
from ..shared import shared

_MADE = ("asyncio.new_event_loop()", "asyncio.get_event_loop()")
_SETTERS = ("asyncio.set_event_loop", "asyncio.events.set_event_loop")


class EventLoops(Rule):
    """A coroutine that a request runs in a loop of its own is awaited.

    Before:

        @app.get("/pages")
        def pages():
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            try:
                found = loop.run_until_complete(fetch_all(urls))
            finally:
                loop.close()
            return jsonify(found)

    After:

        @app.get("/pages")
        async def pages():
            found = await fetch_all(urls)
            return jsonify(found)

    `asyncio.run(…)` is awaited too, and helpers around either become `async def`. A function that
    runs in a thread keeps its loop. Left: a loop that is used for anything else.
    """

    code = "QT107"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            origin = self.origin(module, call.func)
            runs = origin == "asyncio.run" or self._runs_at_once(module, call)
            if runs and call.args and self._counts(module, call):
                change = self.change(module, call, f"`{module.text(call.func)}(…)` is awaited.")
                change.edit(call, lambda new: new.args[0].value)
                change.wait(call)
                change.drop_import("asyncio")
        for assign in module.all(cst.Assign):
            target = assign.targets[0].target
            is_made = self.origin(module, assign.value) in _MADE and len(assign.targets) == 1
            if is_made and isinstance(target, cst.Name) and self._counts(module, assign):
                self._loop(module, assign, target)

    def _runs_at_once(self, module: Module, call: cst.Call) -> bool:
        """Whether it is `asyncio.new_event_loop().run_until_complete(…)`."""
        match call.func:
            case cst.Attribute(value=cst.Call() as made, attr=cst.Name("run_until_complete")):
                return self.origin(module, made) in _MADE
        return False

    def _counts(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether it runs in a request, and in no thread."""
        place = module.place(node)
        if isinstance(place, cst.Module | cst.ClassDef):
            return False
        if isinstance(place, cst.FunctionDef) and shared(self.plan, Jobs).is_target(module, place):
            return False
        return not self.is_claimed(node) and shared(self.plan, Serving).runs(module, node)

    def _loop(self, module: Module, assign: cst.Assign, target: cst.Name) -> None:
        life = Life([own_statement(module, assign), *self._unset(module, assign)])
        unknown = [name for name in names_in(module, target) if not self._used(module, name, life)]
        if not life.runs:  # it runs nothing, or is the server's own
            return
        if unknown:
            self.leave(module, unknown[0], OTHERWISE)
            return
        change = self.change(module, assign, "What its own event loop ran is awaited.")
        for call in life.runs:
            change.edit(call, lambda new: new.args[0].value)
            change.wait(call)
        for arg in life.loop_args:
            change.edit(module.parent(arg) or arg, _without_loop)
        for call in life.makers:
            change.edit(call.func, lambda new: new.with_changes(value=cst.Name("asyncio")))
        for line in life.lines:
            change.edit(line, lambda new: cst.RemoveFromParent())
        for block in emptied(module, life.lines):
            change.edit(block, without_finally)
        change.drop_import("asyncio")

    def _unset(self, module: Module, assign: cst.Assign) -> list[cst.CSTNode]:
        """`asyncio.set_event_loop(None)` of the same function."""
        return [
            own_statement(module, call)
            for call in module.all(cst.Call)
            if self.origin(module, call.func) in _SETTERS
            and module.text(call.args[0]) == "None"
            and module.function(call) is module.function(assign)
        ]

    def _used(self, module: Module, name: cst.Name, life: "Life") -> bool:
        """Note what a use of the loop becomes; False if that is not known."""
        match module.parent(name):
            case cst.Attribute(attr=cst.Name(value=method)) as attribute:
                call = module.parent(attribute)
                if not isinstance(call, cst.Call) or call.func is not attribute:
                    return False
                if method == "run_until_complete" and call.args:
                    if module.text(call.args[0]) == f"{name.value}.shutdown_asyncgens()":
                        life.lines.append(own_statement(module, call))
                    else:
                        life.runs.append(call)
                    return True
                if method == "create_task":
                    life.makers.append(call)
                    return True
                if method in ("close", "stop", "shutdown_asyncgens"):
                    life.lines.append(own_statement(module, call))
                    return True
            case cst.Arg(keyword=cst.Name(value="loop")) as arg:
                life.loop_args.append(arg)
                return True
            case cst.Arg() as arg:
                call = module.parent(arg)
                if isinstance(call, cst.Call) and self.origin(module, call.func) in _SETTERS:
                    life.lines.append(own_statement(module, call))
                    return True
        return False


@dataclass
class Life:
    """What is done with a loop: statements that only prepare or end it, calls that run something,
    calls that make tasks of it, and arguments that name it."""

    lines: list[cst.CSTNode]
    runs: list[cst.Call] = field(default_factory=list)
    makers: list[cst.Call] = field(default_factory=list)
    loop_args: list[cst.Arg] = field(default_factory=list)


def _without_loop(new: cst.Call) -> cst.Call:
    """The call without `loop=loop`."""
    args = [arg for arg in new.args if arg.keyword is None or arg.keyword.value != "loop"]
    return with_arguments(new, args)


def emptied(module: Module, lines: Iterable[cst.CSTNode]) -> list[cst.Try]:
    """Each `try` whose `finally` has no other lines than these."""
    gone = set(lines)
    return [
        block
        for block in module.all(cst.Try)
        if block.finalbody is not None
        and isinstance(block.finalbody.body, cst.IndentedBlock)
        and all(line in gone for line in block.finalbody.body.body)
    ]


def without_finally(new: cst.Try) -> cst.Try | cst.FlattenSentinel[cst.BaseStatement]:
    if new.handlers or not isinstance(new.body, cst.IndentedBlock):
        return new.with_changes(finalbody=None)
    first, *others = new.body.body
    lines = [*new.leading_lines, *first.leading_lines]  # type: ignore[attr-defined]
    return cst.FlattenSentinel([first.with_changes(leading_lines=lines), *others])


OTHERWISE = (
    "This loop is used for more than running a coroutine: what needs a loop can have the "
    "server's, by `asyncio.get_running_loop()`."
)
