"""What is wrong with a value, in words: msgspec's sentences, without its names of types and regular expressions."""

import ast
import re
from collections.abc import Iterator
from typing import Final, get_args

from msgspec import Meta

from events import types as values

DECIMAL_PATTERN: Final = r"^-?[0-9]{1,24}(\.[0-9]{1,24})?(?!\n)$"
_KIND: Final = re.compile(r"`(\w+)`")
_FORM: Final = re.compile(r"matching regex (?P<pattern>.*)$", re.DOTALL)
_KINDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "datetime": "an RFC 3339 instant in quotes",
    "date": "a day in quotes, such as 2026-01-31",
}
_SENTENCES: Final = {
    "Invalid RFC3339 encoded datetime": "must be an RFC 3339 instant with an offset, such as 2026-01-31T00:00:00Z",
    "Expected `datetime` with a timezone component": "must have an offset, such as 2026-01-31T00:00:00Z",
    "Invalid RFC3339 encoded date": "must be a day such as 2026-01-31",
}
DECIMAL: Final = 'must be a decimal in quotes, such as "1.50", with at most 24 digits on each side of the point'
_EXAMPLES: Final = {
    "Id": "an id as answers state it, such as pty_01jdm5v5tze1xa6a4sbz1gk3c4",
    "Ratio": 'an exact fraction such as "7/3"',
    "Region": "a region such as us-east",
    "GpuClass": "a class such as H100_SXM",
    "Country": "two letters of ISO 3166-1 such as US",
    "Person": "a name such as ada@example",
}


def render_fault(text: str, prefix: str = "pty") -> str:
    """Return msgspec's sentence in JSON's words, with the form in place of a regular expression.

    Args:
        text: The sentence.
        prefix: That of the value's ids, if it is an id.
    """
    form = _FORM.search(text)
    if form is not None:
        meant = _FORMS.get(ast.literal_eval(form["pattern"]), "must have the form that /schema shows")
        return meant.replace(" pty_", f" {prefix}_")
    return _SENTENCES.get(text) or _KIND.sub(lambda match: _KINDS.get(match[1], match[1]), text)


def _list_forms() -> Iterator[tuple[str, str]]:
    for name, text in _EXAMPLES.items():
        metas = [meta for meta in get_args(getattr(values, name))[1:] if isinstance(meta, Meta)]
        yield from ((meta.pattern, f"must be {text}") for meta in metas if meta.pattern is not None)
    yield r"^[a-z0-9][a-z0-9_-]{0,39}(?!\n)$", "must be a short name such as series-a"
    yield DECIMAL_PATTERN, DECIMAL
    for prefix, name in (("grt", "grant"), ("svl", "service line")):
        yield (
            rf"^{prefix}_[0-9a-z]{{26}}(?!\n)$",
            f"must be the id of a {name}, such as {prefix}_01jdm5v5tze1xa6a4sbz1gk3c4",
        )


_FORMS: Final = dict(_list_forms())
