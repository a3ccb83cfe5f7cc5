"""Test clients of apps that have tasks now."""

from typing import cast

import libcst as cst
import libcst.matchers as m

from ..change import Change
from ..definitions import is_fixture, is_test
from ..edits import keyword
from ..module import Module
from ..rule import Rule
from ..shared import shared
from ..task_home import TaskHome
from ..task_places import is_test as is_test_module

Line = cst.SimpleStatementLine | cst.BaseCompoundStatement
_SETUP = ("setUp", "asyncSetUp")
_LEFT = (
    "Tasks run only in a started app: make the client in `async with app.test_app() as test_app:`, "
    "by "
    "`test_app.test_client()`."
)


class StartedClients(Rule):
    """A test client is that of an app that is started: else there is nobody to run its tasks.

    Before:

        @pytest.fixture
        def client(app):
            return app.test_client()

        def test_index(app):
            client = app.test_client()
            assert client.get("/").status_code == 200

    After:

        @pytest_asyncio.fixture
        async def client(app):
            async with app.test_app() as test_app:
                yield test_app.test_client()

        @pytest.mark.asyncio
        async def test_index(app):
            async with app.test_app() as test_app:
                client = test_app.test_client()
                assert (await client.get("/")).status_code == 200

    In `setUp` it is entered with `self.enterAsyncContext(…)`. Left: clients that are made
    elsewhere, and fixtures with a scope of their own, whose loop is not that of the tests.
    """

    code = "QT110"

    def look(self, module: Module) -> None:
        home = shared(self.plan, TaskHome)
        if not (home.is_used or home.exists) or not is_test_module(module):
            return
        for call in module.all(cst.Call):
            if self.origin(module, call.func) == "flask.Flask().test_client":
                function = module.function(call)
                if function is None or not self._is_of_tests(function):
                    self.leave(module, call, _LEFT)
                elif home.is_used:
                    self._start(module, call, function)

    def _start(self, module: Module, call: cst.Call, function: cst.FunctionDef) -> None:
        line = module.statement(call)
        parent = module.parent(call)
        name = "started_app" if m.findall(function, m.Name("test_app")) else "test_app"
        if m.findall(function, _ENTERED):  # a run before this one did it
            return
        if function.name.value in _SETUP:
            self._in_setup(module, call, line)
        elif isinstance(parent, cst.WithItem) and isinstance(line, cst.With):
            self._in_with(module, call, line, name)
        elif m.matches(line, _RETURNED | _YIELDED) and is_fixture(function):
            self._in_fixture(module, call, line, name)
        elif m.matches(line, _ASSIGNED) and isinstance(parent, cst.Assign):
            self._with_the_rest(module, call, line, name, is_fixture(function))
        else:
            self.leave(module, call, _LEFT)

    def _is_of_tests(self, function: cst.FunctionDef) -> bool:
        if is_fixture(function):
            return not any(map(_has_scope, function.decorators))
        return is_test(function) or function.name.value in _SETUP

    def _in_fixture(self, module: Module, call: cst.Call, line: cst.CSTNode, name: str) -> None:
        """`return app.test_client()`."""
        change, app = self._change(module, call, line, name)

        def rewrite(new: cst.SimpleStatementLine) -> cst.With:
            return _started(app[0], name, [_yielding(new)])

        change.edit(line, rewrite)

    def _in_with(self, module: Module, call: cst.Call, block: cst.With, name: str) -> None:
        """`with app.test_client() as client:`."""
        change, app = self._change(module, call, block, name)

        def rewrite(new: cst.With) -> cst.With:
            return new.with_changes(items=[_item(app[0], name), *new.items])

        change.edit(block, rewrite)

    def _in_setup(self, module: Module, call: cst.Call, line: cst.CSTNode) -> None:
        """`self.client = self.app.test_client()`."""
        change, app = self._change(module, call, line, "")
        change.edit(line, lambda new: cst.FlattenSentinel([_entered(app[0]), new]))

    def _with_the_rest(
        self, module: Module, call: cst.Call, line: cst.CSTNode, name: str, in_fixture: bool
    ) -> None:
        """`client = app.test_client()`, and what follows it in its block."""
        change, app = self._change(module, call, line, name)
        found: list[cst.CSTNode] = []

        def keep(new: cst.CSTNode) -> cst.CSTNode:
            found.append(new)
            return new

        def rewrite(new: cst.IndentedBlock) -> cst.IndentedBlock:
            index = next(at for at, each in enumerate(new.body) if each is found[0])
            lines = cast(list[Line], [*new.body[index:]])
            if in_fixture:
                lines = [_yielding(each) for each in lines]
            return new.with_changes(body=[*new.body[:index], _started(app[0], name, lines)])

        change.edit(line, keep)
        change.edit(module.parent(line) or line, rewrite)

    def _change(
        self, module: Module, call: cst.Call, line: cst.CSTNode, name: str
    ) -> tuple[Change, list[cst.BaseExpression]]:
        """A change, and where the app will be found when its edits are made; with a `name`, the
        client is made of what has that."""
        change = self.change(module, call, "The app is started for this client.")
        change.needs_async(line)
        app: list[cst.BaseExpression] = []

        def rewrite(new: cst.Call) -> cst.Call:
            func = cst.ensure_type(new.func, cst.Attribute)
            app.append(func.value)
            return new.with_changes(func=func.with_changes(value=cst.Name(name))) if name else new

        change.edit(call, rewrite)
        return change, app


def _item(app: cst.BaseExpression, name: str) -> cst.WithItem:
    started = cst.Call(cst.Attribute(app, cst.Name("test_app")))
    return cst.WithItem(started, cst.AsName(cst.Name(name)))


def _started(app: cst.BaseExpression, name: str, lines: list[Line]) -> cst.With:
    """`async with app.test_app() as test_app:` around these lines."""
    first, *others = lines
    return cst.With(
        [_item(app, name)],
        cst.IndentedBlock([first.with_changes(leading_lines=[]), *others]),
        asynchronous=cst.Asynchronous(),
        leading_lines=first.leading_lines,
    )


def _entered(app: cst.BaseExpression) -> cst.SimpleStatementLine:
    started = cst.Call(cst.Attribute(app, cst.Name("test_app")))
    enter = cst.Attribute(cst.Name("self"), cst.Name("enterAsyncContext"))
    return cst.SimpleStatementLine([cst.Expr(cst.Await(cst.Call(enter, [cst.Arg(started)])))])


def _yielding(line: Line) -> Line:
    """`yield client` instead of `return client`: the app must not stop before the test."""
    if isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[-1], cst.Return):
        value = cst.Yield(line.body[-1].value)
        return line.with_changes(body=[*line.body[:-1], cst.Expr(value)])
    return line


def _has_scope(decorator: cst.Decorator) -> bool:
    call = decorator.decorator
    return isinstance(call, cst.Call) and keyword(call, "scope") is not None


_RETURNED = m.SimpleStatementLine(body=[m.Return(m.Call())])
_ENTERED = m.Call(
    m.Attribute(attr=m.Name("enterAsyncContext")),
    [m.Arg(m.Call(m.Attribute(attr=m.Name("test_app"))))],
)
_YIELDED = m.SimpleStatementLine(body=[m.Expr(m.Yield(m.Call()))])
_ASSIGNED = m.SimpleStatementLine(body=[m.Assign()])
