"""Every file of the contract that is generated, and the lock that keeps a released schema as it is.

`scripts/render_contracts.py` writes what this module renders; the tests compare. The lock remembers what the schema
of each tag accepts: a tag whose schema changed is refused, since what is stored under it stays stored for ever.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from events.registry import EVENT_TYPES, render_schema_name
from events.rendering.asyncapi import render_asyncapi
from events.rendering.json_schema import fingerprint, render_schema
from events.rendering.reference import replace_table

REMEDY: Final = (
    "What was stored under a tag must stay readable. Leave the class as it is, add a new class with the next version "
    "in its tag (order.placed.v2) and an upcast, and run scripts/render_contracts.py. Only for a tag that no release "
    "has carried yet: scripts/render_contracts.py --relock TAG"
)


class ChangedSchema(ValueError):  # noqa: N818 - named for what it tells
    """The schema of a locked tag is not what it was."""


def render_json(value: Any) -> str:
    """Return the text of a JSON file of the contract: indented, in the order given, one line feed at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def check_lock(lock: Mapping[str, str]) -> None:
    """Compare every locked tag with its class.

    Raises:
        ChangedSchema: A tag has another schema than the locked one, or none at all.
    """
    for tag, locked in lock.items():
        if tag not in EVENT_TYPES:
            raise ChangedSchema(f"{tag} is locked, but events.registry does not know it. {REMEDY}")
        found = fingerprint(render_schema(tag))
        if found != locked:
            raise ChangedSchema(f"the schema of {tag} has changed: locked {locked}, now {found}. {REMEDY}")


def extend_lock(lock: Mapping[str, str], relock: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the lock with every tag of the registry in it.

    Args:
        lock: The lock as it is; what it says stays.
        relock: Tags that no release has carried yet, to be locked anew.

    Raises:
        ChangedSchema: As `check_lock`, for tags that are not in `relock`.
    """
    kept = {tag: locked for tag, locked in lock.items() if tag not in relock}
    check_lock(kept)
    return {tag: kept.get(tag) or fingerprint(render_schema(tag)) for tag in EVENT_TYPES}


def render_files(samples: Mapping[str, dict[str, Any]], readme: str) -> dict[str, str]:
    """Return the text of every generated file by its path below `events/`; the lock is not among them.

    Args:
        samples: Golden sample by tag.
        readme: `README.md` as it is; only the table between its markers is replaced.
    """
    files = {f"schemas/{render_schema_name(tag)}": render_json(render_schema(tag)) for tag in EVENT_TYPES}
    files["asyncapi.json"] = render_json(render_asyncapi(samples))
    files["README.md"] = replace_table(readme)
    return files
