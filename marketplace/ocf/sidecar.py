"""The sidecar: all events of an issuer, exact and in order, in a file that other readers of OCF ignore.

Its name does not end in ``.json``, so that no checker takes it for a part of the package. An import trusts it only if
the package's files equal those that are rendered from it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from events.instants import STORED, find_outside, is_stored
from events.issuer import (
    IssuerFormed,
    IssuerImported,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerPurchasesStated,
)
from events.registry import get_tag, parse_body, render_body
from marketplace.captable.history import Act, History, build_history
from marketplace.core.errors import Refusal

NAME: Final = "Marketplace.sidecar"
FORMAT: Final = "marketplace.ocf-sidecar.v1"
NOBODY: Final = "pty_00000000000000000000000000"
"""Stands for the startup's party, which a package does not name; an import puts the importing party in its place."""
_NAMING: Final = (IssuerFormed, IssuerProgrammeOpened, IssuerProgrammeGrantAdded, IssuerPurchasesStated)
"""Events that name the startup itself, and not as a holder."""


class SidecarAct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One act.

    Attributes:
        aggregate: Id of the issuer or instrument.
        time: When it happened.
        event: Its body, with its tag under ``type``.
    """

    aggregate: str
    time: datetime
    event: dict[str, Any]


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds."""

    format: str
    issuer_id: str
    acts: tuple[SidecarAct, ...]


def render_sidecar(history: History) -> bytes:
    """Return the sidecar of a history. It names neither the startup's party nor an earlier import."""
    company_id = next((act.event.party_id for act in history.acts if isinstance(act.event, IssuerFormed)), NOBODY)
    entries = tuple(
        SidecarAct(aggregate=act.aggregate, time=act.time, event=_render_event(act.event, company_id))
        for act in history.acts
        if not isinstance(act.event, IssuerImported)
    )
    sidecar = Sidecar(format=FORMAT, issuer_id=history.issuer_id, acts=entries)
    return msgspec.json.format(msgspec.json.encode(sidecar, order="deterministic"), indent=1)


def _render_event(event: Any, company_id: str) -> dict[str, Any]:
    content = render_body(event)
    if isinstance(event, _NAMING):
        content = content.replace(company_id.encode(), NOBODY.encode())
    body: dict[str, Any] = msgspec.json.decode(content)
    return body


def parse_sidecar(data: bytes) -> History:
    """Return the history of a sidecar.

    Raises:
        Refusal: ``sidecar_unreadable``.
    """
    try:
        sidecar = msgspec.json.decode(data, type=Sidecar)
        if sidecar.format != FORMAT:
            raise Refusal("sidecar_unreadable", f"the sidecar has format {sidecar.format!r}, not {FORMAT}")
        acts = [
            Act(index, entry.time, entry.aggregate, _parse_event(entry.event))
            for index, entry in enumerate(sidecar.acts, start=1)
        ]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
        raise Refusal("sidecar_unreadable", f"the sidecar cannot be read: {error}") from error
    outside = find_outside(sidecar, is_stored)
    if outside is not None:
        raise Refusal("sidecar_unreadable", f"{outside} of the sidecar {STORED}")
    return build_history(sidecar.issuer_id, acts)


def _parse_event(event: dict[str, Any]) -> Any:
    tag = event["type"]
    return parse_body(tag, msgspec.json.encode(event))


def rename_ids(history: History, names: Mapping[str, str]) -> History:
    """Return the history with ids replaced everywhere, also inside certificates."""
    if not names:
        return history
    acts = []
    for act in history.acts:
        body = render_body(act.event).decode()
        for before, after in names.items():
            body = body.replace(before, after)
        event: Any = parse_body(get_tag(act.event), body.encode())
        acts.append(Act(act.sequence, act.time, names.get(act.aggregate, act.aggregate), event))
    return History(names.get(history.issuer_id, history.issuer_id), tuple(acts))
