"""Way four: a decorator that runs the whole view in a thread and answers 202."""

from functools import partial

import libcst as cst
import libcst.matchers as m

from ..change import Change
from ..edits import argument
from ..module import Module
from ..parts import Parts
from ..recipes import Recipe, Recipes
from ..removals import clear
from ..rule import Rule
from ..shared import shared
from ..task_definitions import Definitions
from ..task_home import TaskHome
from ..variables import Variable, Variables

_DOCSTRING = m.SimpleStatementLine(body=[m.Expr(m.SimpleString())])
CLIENTS = (
    "`Location` of the 202 is the task now, and the view's response is at `{}/<id>/result`, "
    "where `{}` redirects to: tell clients that follow `Location`."
)


class BackgroundViews(Rule):
    """A hand-made decorator for background views becomes `@tasks.background`.

    Before:

        tasks = {}

        def flask_async(view):
            @wraps(view)
            def wrapped(*args, **kwargs):
                ...  # a thread, and in it `app.request_context(environ)`
                return "", 202, {"Location": url_for("get_status", id=id)}
            return wrapped

        @app.get("/status/<id>")
        def get_status(id):
            ...  # 202, or the response that the thread has left in `tasks`

        @app.post("/reports")
        @flask_async
        def create_report():
            return jsonify(add_up(request.get_json())), 201

    After:

        tasks = QuartTasks(app)

        @app.get("/status/<id>")
        def get_status(id):
            return redirect(f"/tasks/{id}/result")

        @app.post("/reports")
        @tasks.background
        async def create_report():
            return jsonify(add_up(await request.get_json())), 201

    The decorator goes with its dict and with what clears it. The status route stays for the
    clients that know it. Left: a dict that is used for anything else.
    """

    code = "QT101"

    def look(self, module: Module) -> None:
        for recipe in shared(self.plan, Recipes).all:
            if recipe.module is module:
                why = recipe.why or shared(self.plan, TaskHome).missing
                if why:
                    self.leave(module, recipe.decorator, why)
                else:
                    self._replace(module, recipe)

    def _replace(self, module: Module, recipe: Recipe) -> None:
        change = self.change(
            module, recipe.decorator, f"`@{recipe.name}` became `@tasks.background`."
        )
        home, parts = shared(self.plan, TaskHome), Parts()
        views = Variable(module, recipe.name)
        parts.drops += shared(self.plan, Variables).imports(views)
        for where, node in shared(self.plan, Variables).uses(views):
            view = where.parent(where.parent(node) or node)
            names = shared(self.plan, Definitions)
            name = ""
            if isinstance(view, cst.FunctionDef) and not names.reserve(view.name.value):
                name = f"{where.name}.{view.name.value}"
            change.edit(node, partial(_background, home, name), where)
            change.claim(node)
            home.use(change, where, node)
        for where, statement in recipe.gone:
            parts.remove(where, statement)
            clear(where, statement, parts)
        for where, function in recipe.routes:
            self._redirect(where, function, change, parts)
            self.note(where, function, CLIENTS.format(home.prefix, function.name.value))
        parts.enter(change, self.plan)

    def _redirect(
        self, module: Module, function: cst.FunctionDef, change: Change, parts: Parts
    ) -> None:
        param = function.params.params[0].name.value
        prefix = shared(self.plan, TaskHome).prefix
        line = f'return redirect(f"{prefix}/{{{param}}}/result")'
        clear(module, function.body, parts)

        def rewrite(new: cst.IndentedBlock) -> cst.IndentedBlock:
            docstring = [new.body[0]] if m.matches(new.body[0], _DOCSTRING) else []
            return new.with_changes(body=[*docstring, cst.parse_statement(line)])

        change.edit(function.body, rewrite, module)
        change.add_import("quart.redirect", module)


def _background(home: TaskHome, name: str, new: cst.CSTNode) -> cst.BaseExpression:
    """`tasks.background`, with a `name` if the view's own is taken."""
    background = cst.Attribute(cst.Name(home.name()), cst.Name("background"))
    if not name:
        return background
    return cst.Call(background, [argument("name", cst.SimpleString(f'"{name}"'))])
