"""Every fault of an object against the shape of its type. A strict parser stops at the first; authors need the list."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import structs

from events.instants import REQUESTED, find_outside, is_requested


def list_faults(value: Mapping[str, Any], kind: type[msgspec.Struct]) -> Iterator[str]:
    """Yield what is wrong with an object, one sentence for each member; nothing if it has the shape.

    Args:
        value: The object, as JSON has it.
        kind: The type whose shape it must have.
    """
    fields = {field.encode_name: field for field in structs.fields(kind)}
    for name in value:
        if name not in fields and name != kind.__struct_config__.tag_field:
            yield f"there is no member {name!r} in OCF 1.2.0"
    for name, field in fields.items():
        if name not in value:
            if field.required:
                yield f"member {name!r} is missing"
            continue
        try:
            outside = find_outside(msgspec.convert(value[name], field.type), is_requested)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            text = text.replace("Expected `str` matching regex", "expected text of the form")
            yield f"{name}{path.rstrip('`')}: {text}"
        else:
            if outside is not None:
                yield f"{name}{outside.replace('/', '.')}: {REQUESTED}"
