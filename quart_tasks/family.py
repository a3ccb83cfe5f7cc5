"""Which unfinished tasks a cancel of another reaches.

Only unfinished tasks are tied to each other: one that ends leaves its children to the nearest
task above it that goes on, so a cancel finds them whatever became of those in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .task import Task


def join(task: Task, parent_id: str, find: Callable[[str], Task | None]) -> Task | None:
    """Tie a new task to the nearest unfinished task above it, which is returned."""
    run, above = task.run, find(parent_id)
    while above is not None and (above.run is None or above.run.settled):
        grandparent = above.record.parent_id
        above = None if grandparent is None else find(grandparent)
    if run is not None and above is not None and above.run is not None:
        run.parent = above
        above.run.children[task.record.id] = task
    return above


def leave(task: Task) -> None:
    """Leave the children of a task that ends to the one above it."""
    run = task.run
    if run is None:
        return
    above = run.parent.run if run.parent is not None else None
    if above is not None:
        del above.children[task.record.id]
        above.children.update(run.children)
    for child in run.children.values():
        if child.run is not None:
            child.run.parent = run.parent


def with_descendants(task: Task) -> Iterator[Task]:
    """A task and all below it, parents first, but for those whose end is known."""
    todo = [task]
    while todo:
        each = todo.pop()
        if each.run is not None and not each.run.settled:
            todo += reversed(each.run.children.values())
            yield each
