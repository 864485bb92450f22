"""Forms of pages, read into the API's own bodies.

A field's name is its path in the body, such as ``offers.0.gpu_class``. An empty field is left out. A time without an
offset, as browsers send it, is UTC.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from marketplace.api.http.known_values import find_prefix
from marketplace.api.http.strict_json import render_pointer
from marketplace.client import ProblemError
from marketplace.domain.value_faults import render_fault

T = TypeVar("T")
_LOCAL: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d(?P<seconds>:\d\d)?$")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_SENTENCES: Final = {"Invalid decimal string": "must be a decimal such as 1.50, without commas"}
_CAPITALS: Final = frozenset({"gpu", "gpus", "id", "usd", "utc"})
_DEPTH_MAX: Final = 6
_OWN: Final = frozenset({"_csrf_token", "key", "confirm"})
"""Fields of the page itself: its protection against forged requests, the command's idempotency key, and the tick."""


class Form(NamedTuple):
    """A form that states an act.

    Attributes:
        fields: Names and texts, in the order in which the page sent them.
    """

    fields: list[tuple[str, str]]

    @property
    def key(self) -> str | None:
        """The command's idempotency key, so that a second press repeats the command; None without one."""
        return self.get("key") or None

    def get(self, name: str) -> str:
        """Return the text of a field; an empty one where it is missing."""
        return next((text.strip() for field, text in self.fields if field == name), "")

    def read(self, body: type[T], **added: str) -> T:
        """Return the body that the form describes, with the fields that the page adds.

        Raises:
            ProblemError: ``form_invalid``: a field is missing, unknown or not of its type.
        """
        return parse_form([*self.fields, *added.items()], body)

    def require_confirmation(self) -> None:
        """Refuse an act whose box was not ticked.

        Raises:
            ProblemError: ``form_invalid``.
        """
        if self.get("confirm") != "yes":
            detail = "tick the box that confirms it, and send it again"
            raise ProblemError(422, {"code": "form_invalid", "detail": detail})


Filed = NamedDependency[SkipValidation[Form]]


async def provide_form(request: Request[Any, Any, Any]) -> Form:
    """Return the form of a request, without its files."""
    return Form([(name, text) for name, text in (await request.form()).multi_items() if isinstance(text, str)])


def refuse_act(act: str, thing: str) -> ProblemError:
    """Return the refusal of an act that a page does not have."""
    return ProblemError(404, {"code": "act_unknown", "detail": f"there is no act {act!r} on a {thing}"})


def parse_form(fields: Iterable[tuple[str, str]], body: type[T]) -> T:
    """Return the body that a form describes.

    Raises:
        ProblemError: ``form_invalid``: a field is missing, unknown or not of its type.
    """
    tree: dict[str, Any] = {}
    for name, text in fields:
        if name not in _OWN and text.strip():
            _put(tree, name.split(".")[:_DEPTH_MAX], text.strip())
    try:
        return msgspec.convert(_join(tree), body, strict=False)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        missing = _MISSING.search(what)
        pointer = render_pointer(path.rstrip("`")) + (f"/{missing[1]}" if missing else "")
        text = "state it" if missing else _SENTENCES.get(what) or render_fault(what, find_prefix(pointer))
        problem = {"detail": f"{_label(pointer)}: {text}", "errors": [{"pointer": pointer, "detail": text}]}
        raise ProblemError(422, {"code": "form_invalid", **problem}) from None


def _label(pointer: str) -> str:
    """Return the last name of a pointer for people: ``Cash USD per GPU hour`` of ``/cash_usd_per_gpu_hour``."""
    *_, last = re.findall(r"[a-z][a-z_]*", pointer) or ["the form"]
    words = [word.upper() if word in _CAPITALS else word for word in last.split("_")]
    return " ".join(words)[0].upper() + " ".join(words)[1:]


def name_field(pointer: str) -> str:
    """Return the name of the field that an error of the API points to: ``/terms/nodes`` is ``nodes``."""
    return pointer.removeprefix("/terms").lstrip("/").replace("/", ".")


def parse_local(text: str | None) -> str | None:
    """Return a field's date and time, which are UTC, as RFC 3339; None for an empty field.

    Any other text is returned as it is.
    """
    if not text:
        return None
    local = _LOCAL.match(text)
    return text if local is None else f"{text}{'' if local['seconds'] else ':00'}Z"


def _put(tree: dict[str, Any], path: list[str], text: str) -> None:
    *folders, last = path
    for folder in folders:
        inner = tree.setdefault(folder, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    value = parse_local(text)
    if last.endswith("[]"):
        tree.setdefault(last[:-2], []).append(value)
    else:
        tree[last] = value


def _join(value: Any) -> Any:
    """Return the value with folders of numbers as lists; a part of a list that is incomplete stays."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() for name in value):
        return [_join(value[name]) for name in sorted(value, key=int)]
    return {name: _join(inner) for name, inner in value.items()}
