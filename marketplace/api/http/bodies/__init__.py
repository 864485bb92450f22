"""Shapes of request bodies, one module per feature; the typed client sends the same."""

import msgspec


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request carries; unknown members and JSON numbers for decimals are refused (`api/http/strict_json.py`)."""
