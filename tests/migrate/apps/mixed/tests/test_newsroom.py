import io
import time

EDITOR = {"X-Editor": "Ada"}


def poll(client, url):
    """Ask until the answer is there."""
    for _ in range(1200):
        response = client.get(url)
        if response.status_code != 202 and response.get_json():
            return response
        time.sleep(0.05)
    raise AssertionError(f"{url} has no answer")


def poll_state(client, url):
    for _ in range(1200):
        answer = client.get(url).get_json()
        if answer["state"] in ("SUCCESS", "FAILURE"):
            break
        time.sleep(0.05)
    return answer


def test_articles_are_for_editors(client):
    assert client.get("/articles/").status_code == 401
    assert client.post("/articles/", data={"title": "Tides"}).status_code == 401


def test_an_article_is_listed_and_its_words_are_indexed(client):
    response = client.post(
        "/articles/", data={"title": "Tides", "text": "high   and low"}, headers=EDITOR
    )
    assert response.status_code == 302
    page = client.get("/articles/", headers=EDITOR).get_data(as_text=True)
    assert "Tides by Ada" in page
    assert "Tides is in" in page
    for _ in range(1200):
        words = client.get("/articles/words").get_json()
        if len(words) == 3:
            break
        time.sleep(0.05)
    assert words == ["Tides and", "Tides high", "Tides low"]


def test_an_article_without_text(client):
    response = client.post("/articles/", data={"title": "Tides"}, headers=EDITOR)
    assert response.status_code == 400
    assert response.json == {"error": "text is missing"}


def test_a_file(client):
    response = client.post(
        "/articles/files",
        data={"file": (io.BytesIO(b"one  two"), "two.txt")},
        headers=EDITOR,
        content_type="multipart/form-data",
    )
    assert response.status_code == 201
    assert response.get_json() == {"name": "two.txt", "title": "two.txt", "letters": 7}
    response = poll(client, "/articles/words")
    assert response.json == ["two.txt 2"]


def test_a_job(client):
    response = client.post("/jobs/", json={"text": "banana", "letter": "a"})
    assert response.status_code == 202
    response = poll(client, "/jobs/" + response.get_json()["id"])
    assert response.get_json() == {"done": True, "result": {"letter": "a", "count": 3}}


def test_a_job_that_fails(client):
    job = client.post("/jobs/", json={"text": "banana", "letter": "an"}).get_json()
    response = poll(client, f"/jobs/{job['id']}")
    assert response.get_json() == {"done": True, "error": "one letter, please"}


def test_jobs_that_nobody_knows(client):
    assert client.get("/jobs/nobody").status_code == 404
    assert client.get("/jobs/nobody").get_json() == {"error": "not found"}
    assert client.post("/jobs/", json={"text": "banana"}).get_json() == {"missing": ["letter"]}


def test_a_publication(client):
    response = client.post("/publications", json={"titles": ["Tides", "Winds"]})
    assert response.status_code == 202
    assert poll_state(client, response.headers["Location"]) == {
        "state": "SUCCESS",
        "status": "Published",
        "result": ["Tides", "Winds"],
    }
    response = poll(client, "/mails")
    assert response.get_json() == ["all: 2 published"]


def test_a_publication_that_fails(client):
    task = client.post("/publications", json={"titles": ["unprintable"]}).get_json()
    answer = poll_state(client, "/publications/" + task["id"])
    assert answer == {"state": "FAILURE", "status": "unprintable cannot be published"}


def test_a_publication_that_nobody_knows(client):
    response = client.get("/publications/nobody")
    assert response.get_json() == {"state": "PENDING", "status": "Waiting"}


def test_the_archive(client):
    assert client.put("/archive/Tides").get_json() == {"archived": "TIDES"}


def test_a_summary(client):
    response = client.post("/summaries/3", json={"text": "Tides"}, headers=EDITOR)
    assert response.status_code == 202
    task_id = response.get_json()["id"]
    for _ in range(1200):
        response = client.get(f"/results/{task_id}", follow_redirects=True)
        if response.status_code != 202:
            break
        time.sleep(0.05)
    assert response.get_json() == {"summary": "Tid", "editor": "Ada"}
    assert response.headers["X-Newsroom"] == "newsroom"


def test_no_links(client):
    assert client.post("/links", json={"urls": []}).get_json() == {}
