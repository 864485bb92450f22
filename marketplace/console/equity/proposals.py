"""Proposals that wait for agreement: what each would change, and the forms to agree or to refuse."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from events.issuer_holders import HolderTerms
from events.proposal import ProposedEvent
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.console.desk import Desk, Desked, attempt
from marketplace.console.formats import NONE
from marketplace.console.forms import Filed, refuse_act
from marketplace.domain.equity.proposal import Status
from marketplace.projections.views.equity import ProposalView

_PATH: Final = "/console/proposals"
_PAGE: Final = 50
_AMENDED: Final = "instrument.amended.v1"
_TERMS_AGREED: Final = "issuer.holder_terms_agreed.v1"
_LONG: Final = 90
_ACTS: Final = {
    "agree": "agree",
    "refuse": "refuse",
    "withdraw-consent": "withdraw your agreement",
    "withdraw": "withdraw it",
}
_SCOPES: Final = dict.fromkeys(("agree", "refuse", "withdraw_consent"), "proposals:agree")
"""Scopes of single acts; the others need that of proposals."""


class Fact(NamedTuple):
    """A field of an event that a proposal would record; `before` is its value now, where the console knows it."""

    name: str
    before: str | None
    after: str


class Effect(NamedTuple):
    """An event that a proposal would record: its type, the id of its aggregate, and its fields."""

    type: str
    of: str
    facts: Sequence[Fact]


@get("/")
async def list_all(
    desk: Desked, status: FromQuery[str | None] = None, cursor: FromQuery[str | None] = None
) -> Template:
    """List proposals, the newest first, a page at a time; on each page, those that wait for this party come first."""
    chosen = {"status": status}
    page = await desk.load_page("/v1/proposals", ProposalView, _PATH, cursor, chosen, limit=_PAGE, order="newest")
    shown = sorted(page.items, key=lambda one: not _is_asked(one, desk))
    return desk.show(
        "equity/proposals.html",
        live="aggregate=proposal",
        proposals=[(one, _is_asked(one, desk)) for one in shown],
        issuers=await _name_issuers(desk, {one.issuer_id for one in shown}),
        rights=await _name_rights(desk),
        status=status,
        statuses=get_args(Status),
        page=page,
    )


@get("/{proposal_id:str}")
async def show(desk: Desked, proposal_id: FromPath[str]) -> Template:
    """Show a proposal with what it changes, and what the party may do with it."""
    proposal = await desk.client.proposals.get(proposal_id)
    issuers = await _name_issuers(desk, {proposal.issuer_id})
    changes = await desk.client.proposals.get_changes(proposal_id)
    holders = [one.electorate.removeprefix("holder/") for one in proposal.consents]
    named = [*holders, *(one.party_id for one in proposal.votes), *(one.holder_id for one in changes.principal)]
    return desk.show(
        "equity/proposal.html",
        live=f"aggregate_id={proposal_id}",
        proposal=proposal,
        issuer=issuers.get(proposal.issuer_id),
        rights=await _name_rights(desk),
        changes=changes,
        names=await desk.load_names(named),
        effects=[await _read_effect(desk, one) for one in proposal.effects],
        acts=[act.replace("_", "-") for act in proposal.may if desk.may(_SCOPES.get(act, "proposals:write"))],
    )


@post("/{proposal_id:str}/{act:str}")
async def act(desk: Desked, form: Filed, proposal_id: FromPath[str], act: FromPath[str]) -> Response[Any]:
    """Agree to a proposal, refuse it, or take back an agreement or the proposal, once the party has confirmed it."""
    form.require_confirmation()
    if act not in _ACTS:
        raise refuse_act(act, "proposal")
    body = None if act == "agree" else form.read(ReasonBody)
    await desk.client.command(f"/v1/proposals/{proposal_id}/{act}", body, key=form.key)
    return desk.go(f"{_PATH}/{proposal_id}")


def _is_asked(proposal: ProposalView, desk: Desk) -> bool:
    asked = any(vote.party_id == desk.principal.party_id and vote.vote == "asked" for vote in proposal.votes)
    return asked and "agree" in proposal.may


async def _name_issuers(desk: Desk, issuer_ids: set[str]) -> dict[str, str]:
    """Return the names of companies, as far as the key sees them; a buyer may vote on one that it does not hold."""
    found = [await attempt(desk.client.issuers.get(one), None) for one in sorted(issuer_ids)]
    return {one.issuer_id: one.legal_name for one in found if one is not None}


async def _name_rights(desk: Desk) -> dict[str, str]:
    return {right.name: right.act for right in (await desk.client.proposals.get_rights()).rights}


async def _read_effect(desk: Desk, effect: ProposedEvent) -> Effect:
    body = msgspec.json.decode(effect.body_json)
    after = flatten({name: value for name, value in body.items() if value != effect.aggregate_id})
    before = flatten(await _load_before(desk, effect))
    facts = [
        Fact(name, before.get(name), after.get(name, NONE))
        for name in dict.fromkeys([*after, *before])
        if name not in before or before[name] != after.get(name)
    ]
    return Effect(effect.type, effect.aggregate_id, facts)


async def _load_before(desk: Desk, effect: ProposedEvent) -> dict[str, Any]:
    """Return the terms that an effect replaces; empty where it replaces none or the key may not see them."""
    if effect.type == _AMENDED:
        instrument = await attempt(desk.client.instruments.get(effect.aggregate_id), None)
        if instrument is not None:
            return {"terms": msgspec.to_builtins(instrument.terms), "terms_version": instrument.terms_version}
    if effect.type == _TERMS_AGREED:
        issuer = await attempt(desk.client.issuers.get(effect.aggregate_id), None)
        if issuer is not None:
            return {"terms": msgspec.to_builtins(issuer.holder_terms or HolderTerms())}
    return {}


def flatten(value: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Return the members of an event by their path in words, without those that are empty.

    A list of texts is joined, and the entries of any other list are counted. A text is cut after 90 characters.
    """
    found: dict[str, str] = {}
    for name, member in value.items():
        title = f"{path} {name}".strip().replace("_", " ").removeprefix("terms ")
        if isinstance(member, dict):
            found |= flatten(member, title)
        elif isinstance(member, list) and member:
            texts = [each for each in member if isinstance(each, str)]
            found[title] = ", ".join(texts) if len(texts) == len(member) else f"{len(member)} entries"
        elif member not in (None, "", []) and name != "type":
            text = str(member).lower() if isinstance(member, bool) else str(member)
            found[title] = text if len(text) <= _LONG else f"{text[:_LONG]}…"
    return found


ROUTER: Final = Router("/proposals", route_handlers=[list_all, show, act])
