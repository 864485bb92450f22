"""Every fault of a refused body at once. msgspec stops at the first, so this walks the body along its type.

It runs only after a body was refused. A valid body costs nothing.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from events.instants import REQUESTED, is_requested
from marketplace.api.http.known_values import NAME_CHARACTERS_MAX, find_prefix, suggest
from marketplace.domain.value_faults import DECIMAL, DECIMAL_PATTERN, render_fault

FAULTS_MAX: Final = 20


class BodyFault(NamedTuple):
    """One wrong member: its JSON pointer, what is wrong, and the values that it may have, where these are few."""

    pointer: str
    detail: str
    allowed: tuple[str, ...] = ()


def find_faults(annotation: Any, value: Any) -> list[BodyFault]:
    """Return what is wrong with a decoded body, in the body's order, at most `FAULTS_MAX` faults.

    Args:
        annotation: The type that it should have. Members that it does not forbid may be there.
        value: The body as JSON's own types.
    """
    return list(islice(_walk(annotation, value, ""), FAULTS_MAX))


def _walk(annotation: Any, value: Any, pointer: str) -> Iterator[BodyFault]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    base = arguments[0] if origin is Annotated else annotation
    if get_origin(base) in (Union, types.UnionType):
        yield from _walk_choices([each for each in get_args(base) if each is not type(None)], base, value, pointer)
    elif isinstance(base, type) and issubclass(base, msgspec.Struct):
        if isinstance(value, dict):
            yield from _walk_object(base, value, pointer)
        else:
            yield from _refuse_object(base, value, pointer)
    elif get_origin(base) in (tuple, list) and isinstance(value, list):
        bounds = arguments[1:] if origin is Annotated else ()
        faults = [*_convert(Annotated[(list[Any], *bounds)] if bounds else list[Any], value, pointer)]
        yield from faults
        for index, item in enumerate(() if faults else value):
            yield from _walk(get_args(base)[0], item, f"{pointer}/{index}")
    elif get_origin(base) is dict and isinstance(value, dict):
        for name, item in value.items():
            yield from _convert(get_args(base)[0], name, f"{pointer}/{name}")
            yield from _walk(get_args(base)[1], item, f"{pointer}/{name}")
    else:
        yield from _convert(annotation, value, pointer)


def _walk_choices(choices: list[Any], union: Any, value: Any, pointer: str) -> Iterator[BodyFault]:
    """Yield the member of a union that a value means: by its tag, or the only one beside null."""
    if value is None and type(None) in get_args(union):
        return
    if len(choices) == 1:
        yield from _walk(choices[0], value, pointer)
        return
    tagged = {choice.__struct_config__.tag: choice for choice in choices if hasattr(choice, "__struct_config__")}
    if not tagged or not isinstance(value, dict):
        yield from _convert(union, value, pointer)
        return
    field, allowed = next(iter(tagged.values())).__struct_config__.tag_field, sorted(tagged)
    tag = value.get(field)
    if isinstance(tag, str) and tag in tagged:
        yield from _walk_object(tagged[tag], value, pointer)
    elif field in value:
        yield _refuse_choice(f"{pointer}/{field}", tag, allowed)
    else:
        yield BodyFault(f"{pointer}/{field}", f"{field} is missing; use {', '.join(allowed)}", (*allowed,))


def _walk_object(struct: type[msgspec.Struct], value: Mapping[str, Any], pointer: str) -> Iterator[BodyFault]:
    hints, config = get_type_hints(struct, include_extras=True), struct.__struct_config__
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name, item in value.items():
        if name in fields:
            yield from _walk(hints[fields[name].name], item, f"{pointer}/{name}")
        elif name != config.tag_field and not config.forbid_unknown_fields:
            continue
        elif name != config.tag_field and len(name) > NAME_CHARACTERS_MAX:
            yield BodyFault(pointer, f"{name[:20]}… is no member here")
        elif name != config.tag_field:
            yield BodyFault(f"{pointer}/{name}", f"{name} is no member here{suggest(name, fields)}")
        elif item != config.tag:
            yield _refuse_choice(f"{pointer}/{name}", item, [str(config.tag)])
    for name, field in fields.items():
        if field.required and name not in value:
            yield BodyFault(f"{pointer}/{name}", f"{name} is missing")


def _refuse_object(struct: type[msgspec.Struct], value: Any, pointer: str) -> Iterator[BodyFault]:
    """Yield the fault of what is no object, with the members that it needs."""
    needed = [field.encode_name for field in msgspec.structs.fields(struct) if field.required]
    for fault in _convert(struct, value, pointer):
        yield fault._replace(detail=f"{fault.detail}; state its {', '.join(needed)}" if needed else fault.detail)


def _convert(annotation: Any, value: Any, pointer: str) -> Iterator[BodyFault]:
    try:
        converted = msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        literals = list_literals(annotation)
        if literals:
            yield _refuse_choice(pointer, value, [str(literal) for literal in literals])
            return
        is_decimal = any(isinstance(each, Meta) and each.pattern == DECIMAL_PATTERN for each in get_args(annotation))
        yield BodyFault(pointer, DECIMAL if is_decimal else render_fault(str(error), find_prefix(pointer)))
    else:
        if isinstance(converted, date) and not is_requested(converted):
            yield BodyFault(pointer, REQUESTED)


def _refuse_choice(pointer: str, value: Any, allowed: list[str]) -> BodyFault:
    near = suggest(value, allowed) if isinstance(value, str) else ""
    shown = msgspec.json.encode(value).decode()[:60]
    return BodyFault(pointer, f"{shown} is none of the values allowed: {', '.join(allowed)}{near}", (*allowed,))


def list_literals(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a `Literal`, also inside unions and lists; empty if there is none."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(literal for argument in get_args(annotation) for literal in list_literals(argument))


def render_faults(faults: Sequence[BodyFault], whole: str, parts: str) -> str:
    """Return a problem's sentence: the first fault, one at least, and how many more there are.

    Args:
        faults: What is wrong.
        whole: The name of a fault without a pointer, such as `the body`.
        parts: What the faults are, such as `members`.
    """
    first, rest = faults[0], len(faults) - 1
    more = f"; {count_more(rest, parts)}, see errors" if rest else ""
    return f"{first.pointer or whole}: {first.detail}{more}"


def count_more(rest: int, parts: str) -> str:
    """Say how many more parts are wrong, one at least."""
    return f"1 more {parts.removesuffix('s')} is wrong" if rest == 1 else f"{rest} more {parts} are wrong"
