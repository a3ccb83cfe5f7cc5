from .cases import check, migrated


def view(line: str, imports: str = "") -> str:
    return (
        f"{imports}from quart import send_file, send_from_directory\n\n\ndef view(p):\n    {line}\n"
    )


def rewritten(before: str, after: str, imports: str = "") -> None:
    expected = view(after, imports).replace("def view", "async def view")
    if "current_app" in after:
        expected = "import os\n\n" + expected if not imports else expected
        expected = expected.replace(
            "send_from_directory\n", "send_from_directory, current_app\n", 1
        )
    check(view(before, imports), expected.replace("import os\n\nfrom", "import os\nfrom"))


def test_arguments() -> None:
    rewritten(
        "return send_file(p, 'text/plain', download_name='a', max_age=9, etag=False)",
        "return await send_file(p, 'text/plain', attachment_filename='a', cache_timeout=9, "
        "add_etags=False, conditional=True)",
    )


def test_a_directory() -> None:
    rewritten(
        "return send_from_directory('/srv', path=p)",
        "return await send_from_directory('/srv', file_name=p)",
    )


def test_a_relative_path_is_taken_from_the_root_of_the_app() -> None:
    rewritten(
        "return send_from_directory('uploads', p)",
        "return await send_from_directory(os.path.join(current_app.root_path, 'uploads'), p)",
    )


def test_an_open_file_is_left() -> None:
    sources, findings = migrated({"app.py": view("return send_file(open(p))")})
    assert "Quart sends a path or a `BytesIO`, no open file." in sources["app.py"]
    assert [finding.code for finding in findings if finding.kind == "left"] == ["QT403"]


def test_a_path_that_may_be_relative_is_told() -> None:
    _, findings = migrated({"app.py": view("return send_file(p)")})
    assert [finding.code for finding in findings if finding.kind == "note"] == ["QT403"]
