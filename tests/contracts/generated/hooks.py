"""What schemathesis sends in place of what no schema can describe, and a check of our own."""

import json
import re
from itertools import count
from pathlib import Path
from uuid import uuid4

import schemathesis
from schemathesis import GenerationMode

OUTSIDE = {"body_invalid", "body_malformed", "header_invalid"}
"""Codes of requests that the document does not describe. A rule of the market has other codes."""
KNOWN = json.loads(Path("known.json").read_text())
"""Ids of this market, by the member or parameter that names them."""
NUMBERS, RUN = count(), uuid4().hex
FAR = re.compile(r"^(?:0\d|1[0-7]|2[2-9]|[3-9]\d|180|219)\d*(-\d\d-\d\d(?:[Tt].*)?)$", re.DOTALL)
"""An instant or a day before 1810 or after 2189; 2028 has as many days as any."""


@schemathesis.hook
def before_call(context, case, kwargs):
    """Name what the market has, and each command anew; leave out cursors, sequences and versions that the API gave.

    Only in requests that the document describes. Others are refused as well, and schemathesis sends a key with a case
    that a hook changes, also where the case is to lack it.
    """
    del context, kwargs
    if case.meta is not None and case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    case.query.pop("cursor", None)
    case.headers.pop("Min-Seq", None)
    case.headers.pop("If-Match", None)
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{RUN}-{next(NUMBERS)}"
    case.path_parameters.update({name: KNOWN[name] for name in case.path_parameters if name in KNOWN})
    case.body = fill(case.body)


def fill(value, name=None):
    """Return a body with known ids, and with whole numbers as such: JSON Schema also takes 2.0 for one.

    Instants and dates are of a year that the document's introduction allows, which formats cannot say.
    """
    if isinstance(value, dict):
        return {member: fill(each, member) for member, each in value.items()}
    if isinstance(value, list):
        return [fill(each) for each in value]
    if isinstance(value, str) and name in KNOWN:
        return KNOWN[name]
    if isinstance(value, str):
        return FAR.sub(r"2028\1", value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.check
def described_requests_are_read(context, response, case):
    """A request that the document describes is never refused for its form."""
    del context
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE and response.status_code >= 400:
        code = response.json().get("code")
        assert code not in OUTSIDE, f"the document describes this request, and the API answers {code}"
