"""Imports of issuers: an event of `issuer` in a module of its own."""

from msgspec import field

from events.types import Event, Id, Text


class IssuerImported(Event, frozen=True, kw_only=True, tag="issuer.imported.v1"):
    """The capitalisation so far was imported. Its events are in the same atomic batch.

    Attributes:
        issuer_id: The issuer.
        source: Where it came from, for example the name of an OCF package.
        package_hash: SHA-256 of what was imported.
        origins: The package's own ids of things that have another id here, by that id.
    """

    issuer_id: Id
    source: Text
    package_hash: str
    origins: dict[str, str] = field(default_factory=dict)
