"""What these tests hold against a page is noticed, and the page's policy stops it."""

from __future__ import annotations

import asyncio

import pytest

from ..waiting import HANG
from .browser import Visits
from .pages import live

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What is said last of each, and what is done.
MISDEEDS = {
    "trusted-types-sink Element innerHTML": "document.body.innerHTML = '<img src=x>'",
    "trusted-types-sink HTMLIFrameElement srcdoc": "add('iframe').srcdoc = '<p>'",
    "trusted-types-sink HTMLScriptElement src": "add('script').src = 'http://evil.example/x.js'",
    "trusted-types-sink HTMLScriptElement text": "add('script').text = 'pwned=1'",
    "trusted-types-sink Element onclick": "add('p').setAttribute('onclick', 'pwned=1')",
    "trusted-types-sink Window setTimeout": "setTimeout('pwned=1')",
    "violation of style-src-attr": "add('p').setAttribute('style', 'color: red')",
    "violation of style-src-elem": "add('style').textContent = 'p { color: red }'",
    "violation of img-src": "add('img').src = 'http://evil.example/x.png'",
    "violation of connect-src": "fetch('http://evil.example/').catch(() => {})",
    "violation of form-action": "add('form', { action: '//evil.example' }).submit()",
    "violation of base-uri": "add('base').href = 'http://evil.example/'",
    "violation of frame-src": "add('iframe').src = 'http://evil.example/'",
    "A dialog: hello": "setTimeout(() => alert('hello'))",
    "A window: about:blank": "open('about:blank')",
    "Error: not caught": "setTimeout(() => { throw new Error('not caught'); })",
    "a word": "console.warn('a word')",
}

DO = """() => {
  const add = (tag, more) =>
    document.body.appendChild(Object.assign(document.createElement(tag), more));
  try { DEED } catch (error) { console.error(error.message); }
}"""


async def test_misdeeds_are_noticed_and_come_to_nothing(visits: Visits, url: str) -> None:
    page = await visits.open(url, "#/types")
    await live(page)
    assert visits.faults == []
    for said, deed in MISDEEDS.items():
        await page.evaluate(DO.replace("DEED", deed))
        async with asyncio.timeout(HANG):
            while said not in "\n".join(visits.faults):
                await page.evaluate("new Promise(requestAnimationFrame)")
    assert await page.evaluate("globalThis.pwned") is None
    visits.expected.append("")  # what the browser itself says of these, it may say later
