"""Where the tasks stand, and how the modules that use them import them."""

from __future__ import annotations

import pytest

from tests.migrate.cases import migrated

APP = """\
from flask import Flask
{}

app = Flask(__name__)


@app.post("/")
def index():
    executor.submit(rebuild, 3)
    return "ok"
"""
JOBS = """\
from concurrent.futures import ThreadPoolExecutor

{}
executor = ThreadPoolExecutor(max_workers=2)


def rebuild(number):
    return number + SIZE
"""
LAYOUTS = {
    "no package at the top": ("", "sub", "from sub.size import SIZE", "from extensions "),
    "a package of the app below none": ("", "sub", "from .size import SIZE", "from extensions "),
    "a package that imports relatively": (
        "shop/", "sub", "from .size import SIZE", "from ..extensions ",
    ),
    "a package that imports absolutely": (
        "shop/", "sub", "from shop.sub.size import SIZE", "from shop.extensions ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_import_fits_the_layout(layout: str) -> None:
    top, sub, neighbour, expected = LAYOUTS[layout]
    files = {
        f"{top}web.py": APP.format(
            f"from {top.replace('/', '.')}{sub}.jobs import executor, rebuild"
        ),
        f"{top}{sub}/__init__.py": "",
        f"{top}{sub}/size.py": "SIZE = 3\n",
        f"{top}{sub}/jobs.py": JOBS.format(neighbour),
    }
    if top:
        files[f"{top}__init__.py"] = ""
    sources, found = migrated(files)
    assert [each.message for each in found if each.kind == "left"] == []
    assert f"{expected}import tasks\n" in sources[f"{top}{sub}/jobs.py"]
