"""The schemas of bodies and answers in the OpenAPI document, from the types that the API reads and writes.

msgspec renders each type once. Named values such as `Usd` are components of their own, optional values are
`[type, null]`, and every property is described: by its own docstring, or by the event that records the same fact.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import combinations
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from events import types as values
from events.registry import EVENT_TYPES
from events.rendering.docstrings import Docstring, parse_docstring
from events.rendering.json_schema import PYTHON_END
from events.vesting import Milestone
from marketplace.api.http.strict_json import WHOLE_MAX
from marketplace.api.http.words import WORDS
from marketplace.domain.value_faults import DECIMAL_PATTERN

Schema = dict[str, Any]
REF: Final = "#/components/schemas/"
_PAGE: Final = re.compile(r"^Page_(?P<of>.+?)(?:View)?_$")
_VIEW: Final = re.compile(r"(?:At)?(?:View|Body)$")
_EVENT: Final = re.compile(r"see the event `([a-z_]+)\.([a-z_]+)`")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SCALARS: Final = (str, int, float, bool)
_NESTED: Final = ("items", "additionalProperties", "propertyNames")
_LISTED: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_UNIONS: Final[dict[str, tuple[Any, str]]] = {
    "PrincipalTerms": (values.PrincipalTerms, "Terms of an instrument."),
    "Milestone": (Milestone, "What makes rights vest, or lets them be exercised."),
}
"""Choices of structures that several members share, each a component of its own, and what it is."""
_PRICES: Final = ("usd_per_gpu_hour",)
_MONEY: Final = ("_usd", "usd_per_share", "usd_min", "usd_max", "usd_per_hour")


class Shapes:
    """The components of a set of types.

    Args:
        bodies: What requests carry. Their objects accept no other members.
        answers: What answers carry.
    """

    def __init__(self, bodies: Iterable[Any], answers: Iterable[Any]) -> None:
        bodies, answers = [*bodies], [*answers]
        kinds = list(dict.fromkeys([*bodies, *answers, *(kind for kind, _ in _UNIONS.values())]))
        references, components = msgspec.json.schema_components(kinds, ref_template=f"{REF}{{name}}")
        self._names = {name: _name_shape(name) for name in components}
        self._references = dict(zip(kinds, references, strict=True))
        self._instants = dict(_list_instants(kinds))
        self._unions: dict[str, Schema] = {}
        self._unions = {name: self.refer(kind) for name, (kind, _) in _UNIONS.items()}
        strict = set(_reach([self._references[kind] for kind in bodies], components))
        self.components: dict[str, Schema] = {
            self._names[name]: self._describe(name, component, strict=name in strict)
            for name, component in components.items()
        } | {name: _bound(_tidy(schema)) for name, schema in _list_values().items()}
        self.components |= {name: {"description": _UNIONS[name][1], **each} for name, each in self._unions.items()}

    def refer(self, kind: Any) -> Schema:
        """Return the schema of one of the types, with references to components."""
        return self._render(self._references[kind])

    def _describe(self, name: str, component: Schema, *, strict: bool) -> Schema:
        docstring = parse_docstring(component.get("description") or "")
        described: Schema = {"type": "object"}
        if docstring.text:
            described["description"] = docstring.text
        described["properties"] = {
            member: self._describe_member(name, member, schema, docstring, strict=strict)
            for member, schema in component["properties"].items()
        }
        if component.get("required"):
            described["required"] = component["required"]
        return described | ({"additionalProperties": False} if strict else {})

    def _describe_member(self, name: str, member: str, schema: Schema, docstring: Docstring, *, strict: bool) -> Schema:
        rendered = self._render(_name_plain(member, schema, is_instant=member in self._instants.get(name, ())))
        if strict:
            _map(rendered, _bound)
        text = docstring.attributes.get(member) or _find_text(name, member, docstring.text)
        unit = rendered.pop("description", None)
        return {**rendered, "description": f"{text or ''} {unit or ''}{'.' if unit else ''}".strip()}

    def _render(self, schema: Schema) -> Schema:
        """Return a schema of msgspec's as the document has it."""
        rendered = {key: value for key, value in schema.items() if key != "title"}
        for key in _NESTED:
            if isinstance(rendered.get(key), dict):
                rendered[key] = self._render(rendered[key])
        for key in _LISTED:
            if key in rendered:
                rendered[key] = [self._render(each) for each in rendered[key]]
        if "discriminator" in rendered:
            mapping = rendered["discriminator"]["mapping"]
            renamed = {tag: self._rename(reference) for tag, reference in mapping.items()}
            union = {"oneOf": rendered.pop("anyOf"), "discriminator": {**rendered["discriminator"], "mapping": renamed}}
            del rendered["discriminator"]
            name = next((name for name, known in self._unions.items() if known == union), None)
            rendered |= union if name is None else {"$ref": REF + name}
            return rendered
        if "$ref" in rendered:
            rendered["$ref"] = self._rename(rendered["$ref"])
        return _join_null(_tidy(_name_value(rendered)))

    def _rename(self, reference: str) -> str:
        name = reference.removeprefix(REF)
        return REF + self._names.get(name, name)


def _name_shape(name: str) -> str:
    """Return a component's name in generated code, such as ``OrderPage`` for msgspec's ``Page_OrderView_``."""
    page = _PAGE.match(name)
    return f"{page['of']}Page" if page else name


@cache
def _list_values() -> dict[str, Schema]:
    """Return the schemas of the named values of `events.types`, and of any other decimal."""
    found: dict[str, Schema] = {"Decimal": {"type": "string", "format": "decimal", "description": "Exact decimal"}}
    for name, value in vars(values).items():
        if get_origin(value) is Annotated:
            schema = msgspec.json.schema(value)
            if "description" in schema:
                found[name] = schema
    return found


def _name_value(schema: Schema) -> Schema:
    """Return a reference in place of a named value's schema."""
    core = {key: value for key, value in schema.items() if key != "default"}
    for name, known in _list_values().items():
        if core in (known, {"type": "string", "format": "decimal"}):
            if core != known and name != "Decimal":
                continue
            default = {"default": schema["default"]} if "default" in schema else {}
            return {"$ref": REF + name, **default}
    return schema


def _name_plain(member: str, schema: Schema, *, is_instant: bool) -> Schema:
    """Return the schema of a member whose plain type its name or its annotation makes a named value's."""
    name = "UsdPerGpuHour" if member.endswith(_PRICES) else "Usd" if member.endswith(_MONEY) else "Decimal"
    decimal, instant = _list_values()[name], _list_values()["Instant"]

    def add(part: Schema) -> None:
        if part.get("format") == "decimal" and "description" not in part:
            part.update(decimal)
        if is_instant and part.get("type") == "string" and "format" not in part:
            part.update(instant)

    copied: Schema = msgspec.json.decode(msgspec.json.encode(schema))
    _map(copied, add)
    return copied


def _list_instants(kinds: Iterable[Any]) -> Iterator[tuple[str, set[str]]]:
    """Yield the members of each structure that are instants, which msgspec describes as text."""
    seen: set[Any] = set()
    waiting = [*kinds]
    while waiting:
        kind = waiting.pop()
        if get_origin(kind) is not None:
            waiting += get_args(kind)
        kind = get_origin(kind) or kind
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
            seen.add(kind)
            hints = get_type_hints(kind)
            waiting += hints.values()
            yield kind.__name__, {name for name, hint in hints.items() if datetime in (hint, *get_args(hint))}


def _tidy(schema: Schema) -> Schema:
    """Return one level of a schema as any validator and generator reads it."""
    tidied = dict(schema)
    if tidied.get("format") == "decimal":
        del tidied["format"]
        tidied["pattern"] = DECIMAL_PATTERN
    if isinstance(tidied.get("pattern"), str):
        tidied["pattern"] = tidied["pattern"].replace(PYTHON_END, "$")
    if "default" in tidied and not isinstance(tidied["default"], _SCALARS):
        del tidied["default"]
    choices = tidied.pop("enum", None)
    if choices is not None:
        kind = {"type": "string" if isinstance(choices[0], str) else "integer"}
        tidied = {**kind, **({"const": choices[0]} if len(choices) == 1 else {"enum": choices}), **tidied}
    return tidied


def _join_null(schema: Schema) -> Schema:
    """Return `{type: [X, null]}` in place of `{anyOf: [X, null]}` where X is a scalar without choices."""
    choices = schema.get("anyOf")
    if choices is None or len(choices) != 2 or {"type": "null"} not in choices:  # noqa: PLR2004 - X and null
        return schema
    other = next(choice for choice in choices if choice != {"type": "null"})
    if not isinstance(other.get("type"), str) or "enum" in other or "const" in other or "properties" in other:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**other, "type": [other["type"], "null"], **rest}


def _bound(schema: Schema) -> Schema:
    """Bound whole numbers as `strict_json` does, in place, and return the schema."""
    if schema.get("type") in ("integer", ["integer", "null"]) and "enum" not in schema and "const" not in schema:
        if not {"maximum", "exclusiveMaximum"} & set(schema):
            schema["maximum"] = WHOLE_MAX
        if not {"minimum", "exclusiveMinimum"} & set(schema):
            schema["minimum"] = -WHOLE_MAX
    return schema


def _map(schema: Schema, change: Callable[[Schema], object]) -> None:
    """Apply a change to a schema and to the schemas in it."""
    change(schema)
    for part in _list_parts(schema):
        _map(part, change)


def _list_parts(schema: Schema) -> Iterator[Schema]:
    for key in _NESTED:
        if isinstance(schema.get(key), dict):
            yield schema[key]
    for key in _LISTED:
        yield from schema.get(key, ())
    yield from schema.get("properties", {}).values()


def _reach(schemas: Iterable[Schema], components: Mapping[str, Schema]) -> Iterator[str]:
    """Yield the names of the components that these schemas need, with repeats."""
    seen: set[str] = set()
    waiting = [*schemas]
    while waiting:
        schema = waiting.pop()
        waiting += _list_parts(schema)
        name = schema.get("$ref", "").removeprefix(REF)
        if name in components and name not in seen:
            seen.add(name)
            yield name
            waiting.append(components[name])


def _find_text(name: str, member: str, docstring: str) -> str | None:
    """Return what a member of a component is: as the event says that it refers to, or an event of its aggregate."""
    facts = _list_facts()
    for aggregate, event in _EVENT.findall(docstring):
        if member in facts.get(f"{aggregate}.{event}", {}):
            return facts[f"{aggregate}.{event}"][member]
    words = _HUMP.sub("_", _VIEW.sub("", name)).lower().split("_")
    for first, last in combinations(range(len(words) + 1), 2):
        text = facts.get("_".join(words[first:last]), {}).get(member)
        if text is not None:
            return text
    if member in WORDS:
        return WORDS[member]
    texts = {known[member] for known in facts.values() if member in known}
    if len(texts) == 1:
        return texts.pop()
    return f"The {member.removesuffix('_id').replace('_', ' ')}." if member.endswith("_id") else None


@cache
def _list_facts() -> dict[str, dict[str, str]]:
    """Return what docstrings of events say of their members, by aggregate and by event, such as ``order.placed``."""
    facts: dict[str, dict[str, str]] = {}
    for tag, event in EVENT_TYPES.items():
        attributes = parse_docstring(event.__doc__ or "").attributes
        aggregate, name, _ = tag.split(".")
        facts[f"{aggregate}.{name}"] = attributes
        known = facts.setdefault(aggregate, {})
        for member, text in attributes.items():
            known.setdefault(member, text)
    return facts
