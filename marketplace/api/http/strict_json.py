"""Strict decoding of request bodies: unknown members, JSON numbers for money, naive times and unreadable text.

Events must be read leniently for ever, requests strictly now, and both share types such as an order's terms. Each body
type therefore has a strict twin, built once. It has the same members, but forbids unknown ones, accepts decimals only
as strings, and limits whole numbers to what JSON and a 64-bit column hold exactly. A body is decoded first as the twin
and then as itself, both in C.
"""

import re
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from litestar.dto import AbstractDTO
from litestar.typing import FieldDefinition
from msgspec import Meta

from events.instants import REQUESTED, find_outside, is_requested
from events.types import Name
from marketplace.api.http.body_faults import BodyFault, find_faults, render_faults
from marketplace.api.http.strict_text import require_readable
from marketplace.core.errors import Refusal
from marketplace.domain.texts import list_misnamed, list_names, refuse_unprintable
from marketplace.domain.value_faults import DECIMAL_PATTERN, render_fault

WHOLE_MAX: Final = 2**53 - 1
_DecimalString = Annotated[str, Meta(pattern=DECIMAL_PATTERN)]
_PATH: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>\$.*?)`)?$", re.DOTALL)
_MEMBER: Final = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")
_OFFSET: Final = re.compile(rb'[+-](?!00:?00")[0-9]{2}:?[0-9]{2}"')
"""An offset from UTC, unless it is zero."""
_ONE_LINE: Final = r"^[^\t\n\r]*$"
TOO_LARGE: Final = BodyFault("", "a number in it is too large to be read; write amounts as decimals in quotes")


class BodyInvalid(Refusal):
    """The body is JSON but not of the type that the route accepts.

    Args:
        faults: Every wrong member, one at least.
    """

    def __init__(self, *faults: BodyFault) -> None:
        text = render_faults(faults, "the body", "members")
        super().__init__("body_invalid", text, pointer=faults[0].pointer)
        self.faults = faults


def build_twin(annotation: Any) -> Any:
    """Return the strict counterpart of a type."""
    if annotation == Name:
        return Annotated[annotation, Meta(pattern=_ONE_LINE)]
    if annotation is Decimal:
        return _DecimalString
    if annotation is int:
        return Annotated[int, Meta(ge=-WHOLE_MAX, le=WHOLE_MAX)]
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _build_struct(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _build_annotated(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        return Union[tuple(build_twin(argument) for argument in arguments)]  # noqa: UP007 - built, not written
    if origin in (tuple, list, dict):
        return origin[tuple(argument if argument is Ellipsis else build_twin(argument) for argument in arguments)]
    return annotation


def _build_annotated(base: Any, metas: tuple[Any, ...]) -> Any:
    if base is Decimal:
        return _DecimalString
    if base is not int:
        return Annotated[(build_twin(base), *metas)]
    bounded = [meta for meta in metas if isinstance(meta, Meta)]
    if not any(meta.le is not None or meta.lt is not None for meta in bounded):
        metas = (*metas, Meta(le=WHOLE_MAX))
    if not any(meta.ge is not None or meta.gt is not None for meta in bounded):
        metas = (*metas, Meta(ge=-WHOLE_MAX))
    return Annotated[(int, *metas)]


@cache
def _build_struct(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    hints = get_type_hints(struct, include_extras=True)
    fields: list[Any] = [
        (field.name, build_twin(hints[field.name]))
        if field.required
        else (field.name, build_twin(hints[field.name]), None)
        for field in msgspec.structs.fields(struct)
    ]
    config = struct.__struct_config__
    return msgspec.defstruct(
        f"Strict{struct.__name__}",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        tag_field=config.tag_field,
        tag=config.tag,
    )


class Decoders:
    """The two decoders of one body type."""

    def __init__(self, annotation: Any) -> None:
        self._twin_type = build_twin(annotation)
        self._twin = msgspec.json.Decoder(self._twin_type)
        self._true = msgspec.json.Decoder(annotation)
        self._names = tuple(list_names(annotation))

    def decode(self, body: bytes | msgspec.Raw, *, is_readable: bool = False) -> Any:
        """Return the body; one that `is_readable` was checked by `require_readable` as a part of another.

        Raises:
            Refusal: ``body_malformed`` · ``member_repeated`` · ``text_blank`` · ``text_unprintable`` ·
                ``body_invalid``.
        """
        decoded: Any = msgspec.UNSET
        try:
            decoded = msgspec.json.decode(body) if is_readable else require_readable(bytes(body))
            self._twin.decode(body)
            true = self._true.decode(body)
        except msgspec.ValidationError as error:
            if decoded is msgspec.UNSET:
                raise BodyInvalid(TOO_LARGE) from None
            raise self._join(parse_validation_error(error), decoded) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise refuse_malformed(error) from None
        except Refusal as refusal:
            raise refusal if refusal.pointer is None else self._join(refusal, msgspec.json.decode(body)) from None
        misnamed = [*self._list_misnamed(decoded)]
        outside = find_outside(true, is_requested)
        if misnamed:
            raise self._join(misnamed[0], decoded)
        if outside is not None:
            raise BodyInvalid(*find_faults(self._twin_type, decoded) or [BodyFault(outside, REQUESTED)])
        return _convert_to_utc(true) if _OFFSET.search(body) else true

    def _list_misnamed(self, decoded: Any) -> Iterator[Refusal]:
        for path in self._names:
            yield from list_misnamed(path, decoded)

    def _join(self, refusal: Refusal, decoded: Any) -> Refusal:
        """Return the refusal of a body with everything that is wrong with it."""
        texts = () if isinstance(refusal, BodyInvalid) else (refusal, *refusal.others)
        known = {each.pointer for each in texts}
        faults = [fault for fault in find_faults(self._twin_type, decoded) if fault.pointer not in known]
        known |= {fault.pointer for fault in faults}
        misnamed = [each for each in self._list_misnamed(decoded) if each.pointer not in known]
        faults += [BodyFault(each.pointer or "", each.message) for each in misnamed]
        if isinstance(refusal, BodyInvalid):
            return BodyInvalid(*faults or refusal.faults)
        refusal.others = (*texts[1:], *map(_refuse_fault, faults))
        return refusal


def _convert_to_utc(value: Any) -> Any:
    """Return a body with its instants in UTC, so that events and answers show them in one form."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, msgspec.Struct):
        members = {name: _convert_to_utc(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **members)
    if isinstance(value, tuple | list):
        return type(value)(_convert_to_utc(item) for item in value)
    return value


def _refuse_fault(fault: BodyFault) -> Refusal:
    refusal = Refusal("body_invalid", fault.detail, pointer=fault.pointer)
    refusal.choices = fault.allowed
    return refusal


def refuse_malformed(error: Exception) -> Refusal:
    """Return the refusal of a body that is not JSON."""
    return Refusal("body_malformed", f"the body is not JSON: {error}")


def refuse_nested() -> Refusal:
    """Return the refusal of a body that is nested more deeply than the decoder reads."""
    return Refusal("body_malformed", "the body is nested too deeply; send one with the few levels that are read here")


def parse_validation_error(error: msgspec.ValidationError) -> Refusal:
    """Convert msgspec's error to a refusal, with the path as a JSON pointer."""
    match = _PATH.match(str(error))
    assert match is not None, "the pattern matches anything"
    pointer = render_pointer(match["path"] or "$")
    member = _MEMBER.search(match["what"])
    if member is not None:
        pointer = f"{pointer}/{member['name']}"
    if repr(_ONE_LINE) in match["what"]:
        return refuse_unprintable("a tab or a line break", pointer)
    return BodyInvalid(BodyFault(pointer, render_fault(match["what"])))


def render_pointer(path: str) -> str:
    """Return the JSON pointer of msgspec's path, for example ``/offers/0/gpu_class`` of ``$.offers[0].gpu_class``."""
    return re.sub(r"\[([^\]]*)\]", r"/\1", path.removeprefix("$").replace(".", "/"))


@cache
def get_decoders(annotation: Any) -> Decoders:
    """Return the decoders of a body type, built once."""
    return Decoders(annotation)


class StrictBody(AbstractDTO[Any]):
    """Plugs the strict decoding into Litestar for every handler's `data`."""

    _by_handler: Mapping[str, Decoders] = {}
    _by_route: Final[dict[Any, Decoders]] = {}

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Build the decoders of a handler's body when the application is put together."""
        del backend_cls
        StrictBody._by_handler = {**StrictBody._by_handler, handler_id: get_decoders(field_definition.annotation)}

    def decode_bytes(self, value: bytes) -> Any:
        """Return the body.

        Raises:
            Refusal: ``body_malformed`` or ``body_invalid``.
        """
        route = self.asgi_connection.scope["route_handler"]
        decoders = self._by_route.get(route)
        if decoders is None:
            decoders = self._by_route[route] = self._by_handler[route.handler_id]
        return decoders.decode(value)

    @classmethod
    def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Any:
        """Describe the body by its true type."""
        del handler_id
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        """Yield nothing: no transfer model is generated."""
        del model_type
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Return False: no transfer model is generated."""
        del field_definition
        return False

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        """Return whether the field is a body."""
        return field_definition.name == "data"
