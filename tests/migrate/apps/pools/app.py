"""Way one: a pool made in the route that needs it, or beside the app."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from flask import Flask, jsonify, request

from work import count_primes, resize, write_line

app = Flask(__name__)
mailers = ThreadPoolExecutor(max_workers=2)


def send_mail(to, subject="Hello"):
    write_line(f"mail {to} {subject}")


@app.route("/thumbnails", methods=["POST"])
def thumbnails():
    names = request.get_json()["names"]
    with ThreadPoolExecutor(max_workers=4) as pool:
        for name in names:
            pool.submit(resize, name, width=120)
    return jsonify({"made": len(names)})


@app.route("/mails", methods=["POST"])
def mails():
    # One mail to each, the answer does not wait for them.
    for to in request.form.getlist("to"):
        mailers.submit(send_mail, to, subject=request.form.get("subject", "Hello"))
    return "", 202


@app.route("/primes/<int:limit>", methods=["POST"])
def primes(limit):
    ProcessPoolExecutor().submit(count_primes, limit, "primes")
    return {"limit": limit}, 202


@app.route("/once")
def once():
    ThreadPoolExecutor().submit(write_line, "once")
    return "started"


@app.route("/lines")
def lines():
    with open("lines.txt") as file:
        return jsonify(sorted(file.read().split("\n")))


if __name__ == "__main__":
    app.run(debug=True)
