"""Paths and contents of the contract's files, because `events` itself opens no file."""

import json
from pathlib import Path
from typing import Any, Final

from events.registry import render_schema_name

FOLDER: Final = Path(__file__).parent.parent / "events"
LOCK: Final = FOLDER / "schemas" / "lock.json"
README: Final = FOLDER / "README.md"


def load_schema(tag: str) -> dict[str, Any]:
    """Return the JSON Schema of a tag as it is in the repository."""
    return _load(FOLDER / "schemas" / render_schema_name(tag))


def load_sample(tag: str) -> dict[str, Any]:
    """Return the golden sample of a tag: ``headers`` and ``body``."""
    return _load(FOLDER / "samples" / render_schema_name(tag))


def load_lock() -> dict[str, str]:
    """Return the locked fingerprint of each tag; empty before the first."""
    return _load(LOCK) if LOCK.exists() else {}


def _load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
