"""What does a client see when the edge itself answers: which words, as a page or as JSON?

A person gets a page that says what happened and what to do; a program gets JSON. Neither learns
more than the class of the reason: the rest is in the log, under the request id.

A page goes to those who ask for one (``text/html``, as browsers do). Everybody else, ``*/*`` and
no ``Accept`` included, gets JSON: that is devices, scripts and curl, and JSON of a few short
lines reads well in a terminal, which a page does not.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from html import escape
from http import HTTPStatus

from mtlsedge.http.refusal_words import Words, words_for

_LONGEST_ACCEPT = 1024  # bytes; what comes after is not read
_LONGEST_HOST = 255
_RETRY_AFTER = b"5"  # seconds


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole response of the edge's own. To HEAD it goes without its body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def refusal(status: int, reason_class: str, request_id: str, accept: bytes, host: str) -> Refusal:
    """The answer to a request that the edge does not pass on.

    Arguments:
        reason_class: the value of an ``identity.Reason``, or a class of ``refusal_words``; for
            one that is in neither, the words are those of the status.
        accept: the value of the ``Accept`` field, b"" where there was none.
        host: what the client asked for, to be shown to it; "" where that is not known.
    """
    as_page = prefers_page(accept)
    before, between, after = _template(status, reason_class, as_page)
    shown = escape if as_page else _json_inside
    body = (before + shown(host[:_LONGEST_HOST]) + between + shown(request_id) + after).encode(
        "ascii", "xmlcharrefreplace" if as_page else "strict"
    )
    headers: tuple[tuple[bytes, bytes], ...] = (
        (b"Content-Type", b"text/html; charset=utf-8" if as_page else b"application/json"),
        (b"Content-Length", b"%d" % len(body)),
        *_HEADERS,
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers += ((b"Retry-After", _RETRY_AFTER),)
    return Refusal(status, headers, body)


@lru_cache(maxsize=64)
def prefers_page(accept: bytes) -> bool:
    """Whether an ``Accept`` value (RFC 9110 §12.5.1) asks for HTML at least as much as for JSON."""
    html = json_ = 0.0
    for item in accept[:_LONGEST_ACCEPT].lower().split(b","):
        media, *parameters = (part.strip(b" \t") for part in item.split(b";"))
        if media in (b"text/html", b"application/xhtml+xml", b"text/*"):
            html = max(html, _quality(parameters))
        elif media == b"application/json" or media.endswith(b"+json"):
            json_ = max(json_, _quality(parameters))
    return html > 0.0 and html >= json_


def _quality(parameters: list[bytes]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name == b"q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0.0 <= quality <= 1.0 else 0.0
    return 1.0


@lru_cache(maxsize=256)
def _template(status: int, reason_class: str, as_page: bool) -> tuple[str, str, str]:
    """The body without host and request id: what goes before, between and after them."""
    words = words_for(status, reason_class)
    whole = _page(status, reason_class, words) if as_page else _json(status, reason_class, words)
    before, rest = whole.split(_HOST_HERE)
    between, after = rest.split(_ID_HERE)
    return before, between, after


_HOST_HERE = "\x01"  # escape() and json.dumps() never make these two of anything
_ID_HERE = "\x02"


def _json(status: int, reason_class: str, words: Words) -> str:
    document = {
        "status": status,
        "reason": reason_class,
        "title": words.title,
        "detail": words.sentence,
    }
    text = json.dumps(document, indent=2)
    return f'{text[:-2]},\n  "host": "{_HOST_HERE}",\n  "request_id": "{_ID_HERE}"\n}}\n'


def _json_inside(text: str) -> str:
    return json.dumps(text)[1:-1]


def _page(status: int, reason_class: str, words: Words) -> str:
    advice = "".join(f"<li>{escape(line)}</li>\n" for line in words.advice)
    todo = f"<h2>What you can do</h2>\n<ul>\n{advice}</ul>\n" if words.advice else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{escape(words.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="mark">{_MARKS[words.mark]}</p>
<h1>{escape(words.title)}</h1>
<p class="lead">{escape(words.sentence)}</p>
{todo}<dl>
<div><dt>Address</dt><dd>{_HOST_HERE}</dd></div>
<div><dt>Reason</dt><dd>{status} {escape(reason_class.replace("_", " "))}</dd></div>
<div><dt>Request id</dt><dd class="id">{_ID_HERE}</dd></div>
</dl>
</main>
</body>
</html>
"""


def _mark(inside: str) -> str:
    return (
        '<svg viewBox="0 0 48 48" width="48" height="48" fill="none" stroke="currentColor" '
        'stroke-width="3" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f"{inside}</svg>"
    )


_MARKS = {
    # a certificate with its seal, a closed lock, a break in a line, a clock
    "certificate": _mark(
        '<path d="M27 35H9a3 3 0 0 1-3-3V12a3 3 0 0 1 3-3h30a3 3 0 0 1 3 3v9"/>'
        '<path d="M13 18h16M13 25h9"/><circle cx="36" cy="29" r="6"/>'
        '<path d="m33 34-1.500 9 4.500-3 4.500 3-1.500-9"/>'
    ),
    "lock": _mark(
        '<rect x="9" y="21" width="30" height="21" rx="4"/>'
        '<path d="M15 21v-6a9 9 0 0 1 18 0v6M24 29v5"/>'
    ),
    "break": _mark('<path d="M5 24h11M32 24h11M20 15l2 5M28 33l-2-5M20 33l2-5M28 15l-2 5"/>'),
    "clock": _mark('<circle cx="24" cy="24" r="18"/><path d="M24 13v11l7 5"/>'),
}

_STYLE = """
:root{--paper:#f6f5f2;--card:#fff;--ink:#1d1f23;--soft:#5c616b;--line:#e3e1db;--mark:#a3471b}
@media(prefers-color-scheme:dark){
:root{--paper:#15171a;--card:#1d2024;--ink:#e9e8e4;--soft:#a2a7b0;--line:#33373d;--mark:#f0a070}}
*{box-sizing:border-box;margin:0}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:1.25rem;
background:var(--paper);color:var(--ink);
font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Arial,sans-serif}
main{width:100%;max-width:36rem;padding:1.75rem 1.5rem;background:var(--card);
border:1px solid var(--line);border-radius:1rem}
.mark{color:var(--mark);line-height:0;margin:0 0 1rem -.375rem}
h1{font-size:1.625rem;line-height:1.25;letter-spacing:-.01em;text-wrap:balance}
.lead{margin-top:.75rem;text-wrap:pretty}
h2{margin-top:1.5rem;font-size:1.0625rem;line-height:1.4}
ul{margin-top:.5rem;padding-left:1.2rem}
li{margin-top:.4rem;text-wrap:pretty}
li::marker{color:var(--mark)}
dl{margin-top:1.75rem;padding-top:1.125rem;border-top:1px solid var(--line);font-size:.9375rem}
dl div{display:flex;flex-wrap:wrap;gap:0 1rem;padding:.15rem 0}
dt{flex:0 0 5.5rem;color:var(--soft)}
dd{flex:1 1 9rem;overflow-wrap:anywhere}
.id{flex-basis:17rem;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.875rem;
line-height:1.7;user-select:all;-webkit-user-select:all}
@media(min-width:40rem){main{padding:3rem}h1{font-size:1.875rem}}
"""

_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = (
    (b"Cache-Control", b"no-store"),
    (b"Content-Security-Policy", _POLICY.encode("ascii")),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Vary", b"Accept"),
)
