"""The error codes and their pages at ``/schema/errors``, as HTML for people and as JSON for programs; open to all.

`errors.json` is written by `scripts/render_contracts.py` from the calls that raise each code.
"""

import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from marketplace.api.http.media_types import HTML, prefers
from marketplace.api.http.problems import RETRIED, TYPE_BASE
from marketplace.api.http.reference import open_page

_FILE: Final = files("marketplace.api.http").joinpath("errors.json")
_REMEDIES: Final[dict[int | None, str]] = {
    None: "Only the command line refuses this, on the machine of the operator. The sentence names the remedy.",
    400: "The request is not well-formed. Correct what `errors` and `detail` name.",
    401: "Send a key that works as `Authorization: Bearer mkp_…`. The platform issues them.",
    403: "This key may not do this. Use a key of the party, the person or the scope that `detail` names.",
    404: "Check the id. If it was made just now, send the `Commit-Seq` of that answer as `Min-Seq`. A resource of "
    "another tenant answers as one that does not exist.",
    405: "Use a method that the header `Allow` lists.",
    408: "Send the body faster, or in parts.",
    409: "The resource is not in the state that the request needs, and nothing was changed. Read it and decide anew.",
    412: "Read the resource again, decide anew, and send its `ETag` as `If-Match`.",
    413: "Split the request.",
    415: "Send the media type, the character set and the encoding that `detail` names.",
    422: "The request is against a rule, and nothing was changed. Change what `detail` and `errors` name, and send it "
    "with a new `Idempotency-Key`.",
    431: "Send fewer or shorter headers.",
    429: "Wait for the seconds of `Retry-After`, and send the same request again.",
    501: "Send a method of HTTP, in capitals.",
    500: "Send the request again, with the same `Idempotency-Key`. Tell the operator the `Request-Id` if it stays.",
    503: "A server that the market needs is away. Wait for the seconds of `Retry-After`, and send the request again "
    "with the same `Idempotency-Key`.",
}
_RETRY: Final = (
    "Wait for the seconds of `Retry-After`, and send the same request again with the same `Idempotency-Key`."
)
_MARKED: Final = re.compile(r"`([^`]+)`|(\{\w+\})")


class _Entry(msgspec.Struct, frozen=True):
    status: int | None
    sentences: tuple[str, ...]
    facts: tuple[str, ...]


class ErrorPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a code means.

    Attributes:
        code: The code of a problem.
        type: The address of this page, which is the problem's `type`.
        status: The HTTP status; null if only the command line refuses so.
        meanings: What `detail` says, one sentence for each place that refuses so. Names in braces stand for values.
        remedy: What to do.
        facts: The members of `facts` that the problem may have.
    """

    code: str
    type: str
    status: int | None
    meanings: tuple[str, ...]
    remedy: str
    facts: tuple[str, ...]


class ErrorList(msgspec.Struct, frozen=True, kw_only=True):
    """Every code of the API.

    Attributes:
        items: The codes in alphabetical order.
    """

    items: tuple[ErrorPage, ...]


@cache
def load_errors() -> dict[str, ErrorPage]:
    """Return the page of every code."""
    entries = msgspec.json.decode(_FILE.read_bytes(), type=dict[str, _Entry])
    return {
        code: ErrorPage(
            code=code,
            type=TYPE_BASE + code,
            status=entry.status,
            meanings=entry.sentences,
            remedy=_RETRY if code in RETRIED else _REMEDIES[entry.status],
            facts=entry.facts,
        )
        for code, entry in entries.items()
    }


def list_codes() -> list[str]:
    """Return the codes that answers over HTTP have."""
    return [code for code, page in load_errors().items() if page.status is not None]


@get("/errors", sync_to_thread=False)
def list_errors(request: Request[Any, Any, Any]) -> Response[Any]:
    """Return every code of the API."""
    pages = [page for page in load_errors().values() if page.status is not None]
    if not prefers(dict(request.scope), HTML):
        return Response(ErrorList(items=tuple(pages)))
    rows = "".join(
        f'<tr><td><a href="{page.type}">{page.code}</a></td><td>{page.status}</td>'
        f"<td>{_mark(page.meanings[0])}</td></tr>"
        for page in pages
    )
    head = "<thead><tr><th>Code</th><th>Status</th><th>For example</th></tr></thead>"
    text = "<p>A refusal is a problem of RFC 9457. Programs branch on its <code>code</code>. Codes may be added.</p>"
    return _answer(request, "Error codes", f"{text}<table>{head}<tbody>{rows}</tbody></table>")


@get("/errors/{code:str}", sync_to_thread=False)
def get_error(request: Request[Any, Any, Any], code: FromPath[str]) -> Response[Any]:
    """Return what a code means."""
    page = load_errors().get(code)
    if page is None:
        raise NotFoundException
    if not prefers(dict(request.scope), HTML):
        return Response(page)
    meanings = "".join(f"<li>{_mark(meaning)}</li>" for meaning in page.meanings)
    facts = ", ".join(f"<code>{fact}</code>" for fact in page.facts) or "none"
    return _answer(
        request,
        page.code,
        f"<p>Status: {page.status or 'none, on the command line alone'}</p><h3>Meaning</h3><ul>{meanings}</ul>"
        f"<p>Names in braces stand for values.</p><h3>What to do</h3><p>{_mark(page.remedy)}</p>"
        f"<h3>Facts</h3><p>{facts}</p>",
    )


def _answer(request: Request[Any, Any, Any], title: str, body: str) -> Response[Any]:
    open_page(request)
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/schema/assets/swagger-ui.css">
<div class="swagger-ui"><div class="wrapper"><div class="info"><h2 class="title">{title}</h2>
<div class="markdown">{body}</div>
<p><a href="{TYPE_BASE.rstrip("/")}">All codes</a> · <a href="/schema">Reference</a></p></div></div></div>
</html>
"""
    return Response(page, media_type=MediaType.HTML, headers={"Vary": "Accept"})


def _mark(text: str) -> str:
    """Return a text as HTML, with code and names of values marked."""
    return _MARKED.sub(lambda found: f"<code>{found[1] or found[2]}</code>", escape(text, quote=False))
