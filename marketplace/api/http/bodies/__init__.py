"""Bodies of requests and of their answers, by feature. The typed client uses the same types."""

import msgspec


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a request. Unknown members and JSON numbers for decimals are refused (`api/http/strict_json.py`)."""
