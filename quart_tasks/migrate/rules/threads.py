"""Way two: `threading.Thread(target=f, …).start()` in a route."""

from dataclasses import dataclass, field
from typing import Literal

import libcst as cst
import libcst.matchers as m

from ..call_arguments import by_name, spread_all
from ..jobs import Jobs, Site, Started
from ..local_names import names_in, own_statement
from ..module import Module
from ..plan import Plan
from ..rule import Rule
from ..shared import shared

_KINDS: dict[str, Literal["thread", "process"]] = {
    "threading.Thread": "thread", "threading.Timer": "thread",
    "multiprocessing.Process": "process",
}  # fmt: skip
_IGNORED = ("daemon", "name", "setDaemon", "setName")


class Threads(Rule):
    """A function that a route runs in a thread of its own becomes a task.

    Before:

        def send_mail(app, to):
            with app.app_context():
                ...

        @app.post("/mails/<to>")
        def create_mail(to):
            app = current_app._get_current_object()
            Thread(target=send_mail, args=(app, to), daemon=True).start()
            return "", 202

    After:

        @tasks.task(executor="thread", public=False)
        def send_mail(to):
            ...

        @app.post("/mails/<to>")
        async def create_mail(to):
            await send_mail.submit(to)
            return "", 202

    A task has the app's context, so the app is not passed to it. A `Timer` becomes a delay, a
    `Process` a task with `executor="process"`. Left: threads that are joined, kept or handed on,
    subclasses of `Thread`, and what `Pools` leaves.
    """

    code = "QT103"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._told: set[cst.ClassDef] = set()

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            origin = self.origin(module, call.func)
            if origin in _KINDS:
                self._thread(module, call, origin)
            elif owner := self._subclass(origin):
                self._made(module, call, *owner)

    def _made(self, module: Module, call: cst.Call, home: Module, owner: cst.ClassDef) -> None:
        """`Worker(…)`: what a request makes of it is left, which is said once, at the class."""
        if owner not in self._told and shared(self.plan, Jobs).counts(module, call):
            self._told.add(owner)
            self.leave(home, owner, SUBCLASS)

    def _thread(self, module: Module, made: cst.Call, origin: str) -> None:
        jobs = shared(self.plan, Jobs)
        if self.is_claimed(made) or not jobs.counts(module, made):
            return
        read = timed if origin.endswith("Timer") else started
        is_coroutine = self.origin(module, read(made).function) == "asyncio.run"
        if is_coroutine:
            read = awaited
        life = life_of(module, made)
        site = Site(self.code, module, life.start or made, made, read, _KINDS[origin])
        site.is_coroutine, site.why = is_coroutine, life.why
        for line in life.others:
            site.parts.remove(module, line)
        site.parts.drops = [(module, origin), (module, origin.partition(".")[0])]
        given = by_name(made)
        if any(_calls(given[name]) for name in ("name", "daemon") if name in given):
            site.why = site.why or NAMED
        if site.read(made).function is NOTHING:
            site.why = "There is no `target=` here that could become a task."
        jobs.add(site)

    def _subclass(self, origin: str) -> tuple[Module, cst.ClassDef] | None:
        """The class of the project that this is, if it is one of threads."""
        found = self.plan.origins.known.owner(origin)
        if found is None or not _KINDS.keys() & set(self.plan.origins.classes.bases(*found)):
            return None
        return found


@dataclass
class Life:
    """What becomes of a thread: the call that starts it, and statements that only prepare it."""

    start: cst.Call | None = None
    others: list[cst.CSTNode] = field(default_factory=list)
    why: str = ""


def life_of(module: Module, made: cst.Call) -> Life:
    parent = module.parent(made)
    if isinstance(parent, cst.Attribute):
        call = module.parent(parent)
        if parent.attr.value == "start" and isinstance(call, cst.Call):
            return Life(call)
    elif isinstance(parent, cst.Assign) and len(parent.targets) == 1:
        target = parent.targets[0].target
        if isinstance(target, cst.Name):
            return _named(module, parent, target)
    return Life(why=HANDED_ON)


def _named(module: Module, assign: cst.Assign, target: cst.Name) -> Life:
    """The life of `thread`, of `thread = Thread(…)`."""
    life = Life(others=[own_statement(module, assign)])
    for name in names_in(module, target):
        attribute = module.parent(name)
        used = attribute.attr.value if isinstance(attribute, cst.Attribute) else ""
        above = module.parent(attribute) if attribute is not None else None
        if used == "start" and isinstance(above, cst.Call) and life.start is None:
            life.start = above
        elif used in _IGNORED and _is_set(module, attribute):
            life.others.append(own_statement(module, name))
        else:
            whys = {"join": JOINED, **dict.fromkeys(_IGNORED, NAMED)}
            return Life(why=whys.get(used, HANDED_ON))
    return life if life.start is not None else Life(why=HANDED_ON)


def _is_set(module: Module, attribute: cst.CSTNode | None) -> bool:
    """Whether its statement is only `thread.daemon = True` or `thread.setDaemon(True)`, and works
    nothing out that others may see."""
    parent = module.parent(attribute) if attribute is not None else None
    match parent:
        case cst.AssignTarget():
            assign = cst.ensure_type(module.parent(parent) or parent, cst.Assign)
            return len(assign.targets) == 1 and not _calls(assign.value)
        case cst.Call(args=args):
            is_alone = isinstance(module.parent(parent), cst.Expr)
            return is_alone and not any(_calls(arg.value) for arg in args)
    return False


def _calls(value: cst.BaseExpression) -> bool:
    return bool(m.findall(value, m.Call() | m.Await() | m.NamedExpr()))


NOTHING = cst.Name("None")


def started(made: cst.Call) -> Started:
    """What `Thread(target=f, args=(1,), kwargs={"n": 2})` starts."""
    given = by_name(made, "group", "target", "name", "args", "kwargs")
    return Started(given.get("target", NOTHING), spread_all(given))


def awaited(made: cst.Call) -> Started:
    """What `Thread(target=asyncio.run, args=(f(1),))` starts."""
    arguments = started(made).args
    if arguments and isinstance(arguments[0].value, cst.Call):
        call = arguments[0].value
        return Started(call.func, list(call.args))
    return Started(NOTHING, [])


def timed(made: cst.Call) -> Started:
    """What `Timer(5, f, args=(1,))` starts."""
    given = by_name(made, "interval", "function", "args", "kwargs")
    options = {"delay": given["interval"]} if "interval" in given else {}
    return Started(given.get("function", NOTHING), spread_all(given), options)


JOINED = "The request waits for this thread: `await` the task, or leave it to run on."
HANDED_ON = "This thread is kept or handed on: submit a `@tasks.task`, and keep its handle or id."
NAMED = "What is said of this thread would go with it: say it of the task, or leave the thread."
SUBCLASS = "A subclass of Thread cannot be a task: make its `run` a function, and submit that."
