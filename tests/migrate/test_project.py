"""Which files are read, and how."""

from pathlib import Path

from quart_tasks.migrate.project import read_project
from quart_tasks.migrate.run import migrate


def write(root: Path, name: str, data: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_what_cannot_be_read_is_told_and_left(tmp_path: Path) -> None:
    broken = write(tmp_path, "broken.py", b"def (:\n")
    latin = write(tmp_path, "latin.py", b"# -*- coding: latin-1 -*-\nx = '\xe4'\n")
    write(tmp_path, "app.py", b"from flask import g\n")
    migration = migrate(tmp_path)
    migration.write()
    left = [(str(f.path), f.code) for f in migration.findings if f.kind == "left"]
    assert left == [("broken.py", "QT001"), ("latin.py", "QT001")]
    assert broken.read_bytes() == b"def (:\n"
    assert latin.read_bytes().endswith(b"'\xe4'\n")
    assert (tmp_path / "app.py").read_bytes() == b"from quart import g\n"


def test_what_such_a_file_may_call_stays_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "broken.py", b"from data import load\nprint load()\n")
    source = b"from flask import request\n\n\ndef load():\n    return request.json\n"
    data = write(tmp_path, "data.py", source)
    other = write(tmp_path, "other.py", source.replace(b"load", b"save"))
    migrate(tmp_path).write()
    assert b"it may be called in broken.py, which was not read." in data.read_bytes()
    assert b"async" not in data.read_bytes().replace(b"become async", b"")
    assert b"async def save" in other.read_bytes()


def test_line_ends_tabs_and_a_byte_order_mark_survive(tmp_path: Path) -> None:
    source = b"\xef\xbb\xbffrom flask import request\r\n\r\ndef f():\r\n\treturn request.json\r\n"
    path = write(tmp_path, "app.py", source)
    migrate(tmp_path).write()
    after = source.replace(b"flask", b"quart").replace(b"def", b"async def")
    assert path.read_bytes() == after.replace(b"return", b"return await")


def test_environments_and_hidden_folders_are_not_read(tmp_path: Path) -> None:
    for name in ("env/lib/a.py", ".git/b.py", "node_modules/c.py", "shop/d.py"):
        write(tmp_path, name, b"from flask import g\n")
    write(tmp_path, "env/pyvenv.cfg", b"")
    assert list(read_project(tmp_path).modules) == ["shop.d"]


def test_modules_have_the_names_that_they_are_imported_by(tmp_path: Path) -> None:
    write(tmp_path, "src/shop/__init__.py", b"from .data import load\n")
    write(
        tmp_path,
        "src/shop/data.py",
        b"from flask import request\n\ndef load():\n    return request.json\n",
    )
    user = write(
        tmp_path, "tests/use.py", b"from shop import load\n\ndef use():\n    return load()\n"
    )
    migrate(tmp_path).write()
    assert user.read_bytes().endswith(b"async def use():\n    return await load()\n")


def test_an_empty_folder(tmp_path: Path) -> None:
    migration = migrate(tmp_path)
    assert not migration.sources
    assert migration.is_complete


def test_quart_that_is_imported_as_a_module_is_known_again(tmp_path: Path) -> None:
    source = b"import flask\n\napp = flask.Flask(__name__)\napp.test_client().get(base_url='/')\n"
    path = write(tmp_path, "app.py", source)
    first = migrate(tmp_path)
    first.write()
    second = migrate(tmp_path)
    assert not second.sources
    left = [(f.code, f.message) for f in first.findings if f.kind == "left"]
    assert [(f.code, f.message) for f in second.findings if f.kind == "left"] == left
    assert b"quart.Quart(__name__)" in path.read_bytes()
