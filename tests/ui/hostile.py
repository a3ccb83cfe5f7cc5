"""A server whose every text is from the corpus: names, docstrings, schemas, arguments, keys,
progress, logs, outputs, results, errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

from msgspec import Meta

from quart_tasks import Blob, QuartTasks, TaskHandle, progress

from .corpus import CORPUS, LONG

TEXTS = [*CORPUS.values(), *LONG.values()]

tasks = QuartTasks()

MARKUP = "<!doctype html><html xmlns='http://www.w3.org/1999/xhtml'><script>pwned=1</script></html>"
SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40' onload='parent.pwned=1'>"
    "<script>parent.pwned=1</script><image href='http://evil.example/x.png'/>"
    "<rect width='40' height='40'/></svg>"
)
BLOBS = {
    "text/html": MARKUP, "application/xhtml+xml": MARKUP, "text/xml": MARKUP, "image/png": MARKUP,
    "image/svg+xml": SVG, "image/svg+xml;charset=utf-8": SVG, "IMAGE/SVG+XML": SVG,
    "text/javascript": "parent.pwned=1", "application/pdf": "%PDF-1.7 pwned",
    "multipart/x-mixed-replace": MARKUP, "text/plain": MARKUP, "application/json": MARKUP,
}  # fmt: skip


def typed(text: str) -> Callable[..., Any]:
    """A function with the text in its docstring and its schema, which fails with it."""
    Said = Annotated[
        str, Meta(title=text, description=text, examples=[text], extra_json_schema={"x": text})
    ]

    async def function(value: Any, choice: Any, values: Any) -> None:
        progress(1, 2, text)
        raise type(text.replace("\0", ""), (Exception,), {})(text)

    function.__doc__ = f"{text}\n\n{text}"
    function.__defaults__ = (text, text, {text: text})
    function.__annotations__.update(value=Said, choice=Literal[text], values=dict[str, Said])
    return function


for each in CORPUS.values():
    tasks.task(name=each)(typed(each))


@tasks.task
async def tell(texts: list[str], **more: Any) -> AsyncIterator[Any]:
    """Say each text in every way, and go on."""
    for number, text in enumerate(texts):
        progress(number, len(texts), text)
        logging.getLogger(text[:99] or "-").warning("%s", text)
        yield {text[:255]: [text, {"deep": text}]}


@tasks.task
async def paint(data: str, mimetype: str) -> Blob:
    return Blob(data.encode(), mimetype)


async def submit_all() -> dict[str, list[TaskHandle[Any]]]:
    """A task of each name; one that tells all; a blob of each kind; when they have ended."""
    named = [
        await tasks.submit(name, name, values={name: name, "__proto__": name})
        for name in CORPUS.values()
    ]
    telling = [await tell.submit(TEXTS, **{f"{text[:200]}": text for text in TEXTS})]
    painted = [await paint.submit(data, kind) for kind, data in BLOBS.items()]
    await tasks.join()
    return {"named": named, "telling": telling, "painted": painted}
