"""Way three: futures in a dict, and a status route that looks into it."""

from ..future_lookups import Lookups
from ..local_names import own_statement
from ..module import Module
from ..rule import Rule
from ..shared import shared
from ..stored_futures import StoredFutures
from ..variables import Variables


class FutureDicts(Rule):
    """A dict of futures goes: tasks are found by their ids.

    Before:

        jobs[job_id] = executor.submit(count, text)
        ...
        future = jobs.get(job_id)
        if future is None:
            abort(404)
        if not future.done():
            return "", 202
        return jsonify(future.result())

    After:

        task = await count.submit(text)
        job_id = task.id
        ...
        try:
            future = tasks.get(job_id)
        except TaskNotFound:
            abort(404)
        if not future.done():
            return "", 202
        return jsonify(await future.result())

    An error is the record's: `str(future.exception())` becomes `future.record.error.message`.
    Left: dicts that are used for more than that, ids that are not made for it, callbacks.
    """

    code = "QT104"

    def look(self, module: Module) -> None:
        stored = shared(self.plan, StoredFutures)
        for kept in stored.dicts.values():
            if kept.variable.module is not module:
                continue
            lookups = Lookups(self.plan, kept)
            why = kept.why_not_stored() or lookups.find()
            for store in kept.stores:
                site = store.site
                site.code, site.group, site.why = self.code, kept, site.why or why
                if not why:
                    store.enter(site.parts)
            if not why:
                parts = kept.stores[0].site.parts
                lookups.enter(parts)
                parts.drops += shared(self.plan, Variables).imports(kept.variable)
                for node in kept.variable.bindings():
                    parts.remove(module, own_statement(module, node))
                    parts.frees.append(node)
