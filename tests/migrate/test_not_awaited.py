from .cases import migrated


def test_a_test_that_cannot_await_holds_up_nothing() -> None:
    sources, findings = migrated(
        {
            "data.py": "from flask import request\n\n\ndef load():\n    return request.json\n",
            "test_data.py": """\
                from data import load
                from elsewhere import retried


                @retried
                def test_load():
                    assert load() == {}
                """,
        }
    )
    assert "async def load" in sources["data.py"]
    assert (
        "def test_load():\n"
        "    # TODO[quart-tasks]: `load` is a coroutine function: await this call.\n"
        "    assert load() == {}\n"
    ) in sources["test_data.py"]
    assert [finding.code for finding in findings if finding.kind == "left"] == ["QT309"]
