from .cases import migrated


def test_only_what_became_async_is_told() -> None:
    sources, findings = migrated(
        {
            "app.py": """\
                import time

                import requests
                from flask import Flask, request

                app = Flask(__name__)


                def weather():
                    return requests.get("http://weather").json()


                @app.post("/")
                def index():
                    answer = requests.get("http://shop", params=request.form)
                    return [answer.json(), weather()]


                @app.get("/slow")
                def slow():
                    time.sleep(1)
                    return weather()
                """
        }
    )
    assert "def slow():\n    time.sleep(1)" in sources["app.py"]
    assert [finding.message for finding in findings if finding.kind == "note"] == [
        "`requests.get` now holds up the whole server; "
        "`await asyncio.to_thread(requests.get, …)` would not.",
        "`weather` now holds up the whole server by `requests.get`; "
        "`await asyncio.to_thread(weather, …)` would not.",
    ]
