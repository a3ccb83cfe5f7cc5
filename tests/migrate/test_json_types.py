from .cases import migrated

TEXT = "If the body is not said to be JSON this is None; Flask answers 415."


def test_it_is_told_once() -> None:
    source = "from flask import request\n\n\ndef view():\n    return request.json\n"
    _, findings = migrated({"a.py": source, "b.py": source})
    assert [finding.message for finding in findings if finding.kind == "note"] == [TEXT]


def test_who_is_silent_knows_it() -> None:
    source = (
        "from flask import request\n\n\ndef view():\n    return request.get_json(silent=True)\n"
    )
    _, findings = migrated({"a.py": source})
    assert not [finding for finding in findings if finding.kind == "note"]
