"""What is told about files that are no Python."""

from pathlib import Path

from quart_tasks.migrate.run import migrate


def told(root: Path) -> list[tuple[str, int]]:
    return [(str(f.path), f.line) for f in migrate(root).findings if f.code == "QT701"]


def test_requirements_and_servers_are_told(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from flask import Flask\n\napp = Flask(__name__)\n")
    (tmp_path / "requirements.txt").write_text("click\nFlask==3.0\nflask-login\n")
    (tmp_path / "Procfile").write_text("web: gunicorn app:app\n")
    (tmp_path / "start.sh").write_text("set -e\nflask --app app run\n")
    assert told(tmp_path) == [("Procfile", 1), ("requirements.txt", 2), ("start.sh", 2)]


def test_extensions_alone_are_no_flask(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from flask import g\n")
    (tmp_path / "requirements.txt").write_text("flask-login\nflask_cors\nflasky\n")
    assert told(tmp_path) == []


def test_a_project_without_flask(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import asyncio\n")
    (tmp_path / "Procfile").write_text("web: gunicorn app:app\n")
    assert told(tmp_path) == []
