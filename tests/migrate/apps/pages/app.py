"""Way six: a new event loop in each request, around aiohttp."""

import asyncio

import aiohttp
from flask import Flask, jsonify, request
from flask.views import View

app = Flask(__name__)


async def fetch(session, url):
    async with session.get(url) as response:
        return {"url": url, "status": response.status, "text": await response.text()}


async def fetch_all(urls):
    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*[fetch(session, url) for url in urls])


def run_async(coroutine):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def statuses(urls):
    return [page["status"] for page in run_async(fetch_all(urls))]


@app.get("/plain")
def plain():
    return "plain text"


@app.post("/pages")
def pages():
    urls = request.get_json()["urls"]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    found = loop.run_until_complete(fetch_all(urls))
    loop.close()
    return jsonify(pages=found)


@app.get("/length")
def length():
    page = asyncio.run(fetch_all([request.args["url"]]))[0]
    return str(len(page["text"]))


@app.post("/statuses")
def all_statuses():
    return jsonify(statuses(request.form.getlist("url")))


class First(View):
    methods = ["POST"]

    def dispatch_request(self):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            tasks = [fetch_all([url]) for url in request.get_json()["urls"]]
            return jsonify(loop.run_until_complete(asyncio.gather(*tasks))[0])
        finally:
            loop.close()


app.add_url_rule("/first", view_func=First.as_view("first"))
