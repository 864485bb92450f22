"""What schemathesis leaves out, and a check of our own."""

import schemathesis
from schemathesis import GenerationMode

OUTSIDE = {"body_invalid", "body_malformed", "header_invalid"}
"""Codes of requests that the document does not describe. A rule of the market has other codes."""


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leave out what no schema can describe: cursors and sequences that the API gave.

    Only of requests that the document describes. In others they are refused as well, and schemathesis sends a key
    with a case that a hook changes, also where the case is to lack it.
    """
    del context, kwargs
    if case.meta is not None and case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    case.query.pop("cursor", None)
    case.headers.pop("Min-Seq", None)
    if not case.headers.get("If-Match"):
        case.headers.pop("If-Match", None)  # schemathesis makes nothing of a pattern with quotes


@schemathesis.check
def described_requests_are_read(context, response, case):
    """A request that the document describes is never refused for its form."""
    del context
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE and response.status_code >= 400:
        code = response.json().get("code")
        assert code not in OUTSIDE, f"the document describes this request, and the API answers {code}"
