"""What the versions of projections and of snapshots stand for: the source that makes rows and states, as a hash.

`versions.json` locks the version and the hash of each. `scripts/lock_versions.py` writes it.
"""

import json
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from marketplace.execution.snapshots import CODECS, Codec
from marketplace.projections.engine.projection import Projection
from marketplace.projections.registry import PROJECTIONS
from tests.support.source_walk import Name, SourceWalk

LOCK: Final = Path(__file__).with_name("versions.json")
COMMAND: Final = "uv run python scripts/lock_versions.py"
_STOPS: Final = (
    "marketplace.core.errors",
    "marketplace.projections.engine.projection",
    "marketplace.projections.engine.recorded_events",
    "marketplace.projections.engine.write_batch",
)
"""What handlers are given or raise: it writes rows, and does not decide what they say."""
_OMITS: Final = ("name", "version", "reads", "ignores")
"""What a projection says beside how rows are made."""


class Versioned(NamedTuple):
    """The version of a projection or of a codec, and the hash of the source that it stands for."""

    version: int
    hash: str


def walk_projection(projection: Projection) -> SourceWalk:
    """Return the source that a projection's rows rest on: its tables, events, handlers and `load`."""
    return SourceWalk([_find_declaration(projection)], stops=_STOPS, omits=_OMITS)


def walk_codec(codec: Codec) -> SourceWalk:
    """Return the source that a snapshot rests on: what folds a state, renders and parses it."""
    own = "marketplace.execution.snapshots"
    made = [type(codec.decider.initial), codec.decider.evolve, codec.render, codec.parse]
    roots = [Name(one.__module__, one.__qualname__) for one in made]
    return SourceWalk([*roots, Name(own, "_render_content"), Name(own, "_parse_content")], stops=_STOPS)


def compute_versions() -> dict[str, Versioned]:
    """Return version and hash of every projection and codec: ``projection <name>``, ``snapshot <aggregate>``."""
    rows = {
        f"projection {one.name}": Versioned(one.version, walk_projection(one).compute_hash()) for one in PROJECTIONS
    }
    states = {
        f"snapshot {codec.decider.aggregate}": Versioned(codec.version, walk_codec(codec).compute_hash())
        for codec in CODECS.values()
    }
    return rows | states


def load_lock() -> dict[str, Versioned]:
    """Return what is locked; nothing before the first time."""
    known: dict[str, Any] = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    return {name: Versioned(**one) for name, one in known.items()}


def render_lock(versions: Mapping[str, Versioned]) -> str:
    """Return the text of the lock file."""
    return json.dumps({name: one._asdict() for name, one in sorted(versions.items())}, indent=2) + "\n"


def find_faults(
    locked: Mapping[str, Versioned], now: Mapping[str, Versioned], *, unchanged: Collection[str] = ()
) -> Iterable[str]:
    """Walk what keeps versions from being locked: source that changed under the same version, or a lower version."""
    for name, one in now.items():
        before = locked.get(name, one)
        short = name.split(" ")[1]
        if one.version < before.version:
            yield f"{name} has version {one.version}, and {before.version} was locked: a version is never counted down"
        elif one.version == before.version and one.hash != before.hash and short not in unchanged:
            yield (
                f"{name}: rows may change. Count up its version from {one.version} and run `{COMMAND}`; or, where the "
                f"same log still gives the same rows, lock that they do not change: `{COMMAND} --unchanged {short}`"
            )


def _find_declaration(projection: Projection) -> Name:
    """Return a constant that holds a projection."""
    return next(
        Name(name, "PROJECTION")
        for name, module in sorted(sys.modules.items())
        if name.startswith("marketplace.projections.") and getattr(module, "PROJECTION", None) is projection
    )
