"""Permissions: a tenant may use its own resources, the platform all. Loads the resources that a tenant may use.

Another tenant's resource is refused in the same words as one that does not exist: ``<kind>_unknown``.
"""

from collections.abc import Iterable, Mapping, Sequence

from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id, rename_id
from marketplace.domain.delivery.grant import (
    GRANT,
    Grant,
)
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer, list_holders
from marketplace.domain.party import PARTY, require_unsuspended
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.domain.supply.listing import require_few_mandates
from marketplace.domain.trading.mandate import (
    MANDATE,
    Mandate,
)
from marketplace.execution.unit_of_work import Context, UnitOfWork


def require_owner(
    context: Context,
    owner_ids: tuple[str, ...],
    aggregate: str,
    id: str,  # noqa: A002
    *,
    duty: bool = False,
) -> None:
    """Refuse a tenant that is not among the owners, in the same words as for a missing resource.

    Args:
        context: Who asks.
        owner_ids: The parties that may do this.
        aggregate: The kind of resource.
        id: Its id.
        duty: Whether the platform does this as its own task; otherwise it decides in place of the owners.

    Raises:
        Refusal: ``scope_missing`` for a key of the platform that may not decide · ``<aggregate>_unknown``.
    """
    if not duty:
        require_decider(context)
    if context.party_id is not None and context.party_id not in owner_ids:
        raise refuse_unknown(aggregate, id)


def require_side(
    context: Context,
    parties: Mapping[str, str | None],
    allowed: tuple[str, ...],
    aggregate: str,
    id: str,  # noqa: A002
) -> None:
    """Refuse a tenant that is on none of the allowed sides, and a key of the platform that may not decide for them.

    Args:
        context: Who asks.
        parties: The party on each side, or None. All of them may see the resource.
        allowed: The sides that may do this.
        aggregate: The kind of resource.
        id: Its id.

    Raises:
        Refusal: ``scope_missing`` for the platform · ``wrong_side`` for a tenant on another side ·
            ``<aggregate>_unknown`` for everyone else.
    """
    require_owner(context, tuple(party for party in parties.values() if party is not None), aggregate, id)
    sides = [side for side, party in parties.items() if party == context.party_id]
    if context.party_id is None or not set(sides).isdisjoint(allowed):
        return
    raise Refusal(
        "wrong_side",
        f"only the {' or the '.join(allowed)} of {aggregate} {id} may do this; this key is its {sides[0]}'s",
        id=id,
        side=sides[0],
        allowed=list(allowed),
    )


def require_platform(context: Context) -> None:
    """Refuse a tenant's key.

    Raises:
        Refusal: ``platform_only``.
    """
    if context.party_id is not None:
        raise Refusal("platform_only", "only the platform's operator may do this; ask the operator")


def require_decider(context: Context) -> None:
    """Refuse a key of the platform that would decide in place of parties without the scope for it.

    Raises:
        Refusal: ``scope_missing``.
    """
    if context.party_id is None and not context.decides:
        raise Refusal(
            "scope_missing",
            "this takes the agreement of parties, or a key of the platform with the scope rights:decide; let the party"
            " propose it, or ask the operator",
            scope="rights:decide",
        )


def require_agreeing(context: Context) -> None:
    """Refuse a party's key that may not agree for it, where asking is also the party's agreement.

    Raises:
        Refusal: ``scope_missing``.
    """
    if context.party_id is not None and not context.agrees:
        raise Refusal(
            "scope_missing",
            f"asking for this is also the agreement of {context.party_id}; send it with a key that has proposals:agree",
            scope="proposals:agree",
        )


async def require_unfrozen(unit: UnitOfWork, party_id: str | None = None) -> None:
    """Refuse a tenant's command while `party_id`, or without it the sender, is suspended.

    A command of the platform is never refused.

    Raises:
        Refusal: ``party_suspended``.
    """
    asked = party_id or unit.context.party_id
    if unit.context.party_id is not None and asked is not None:
        require_unsuspended(await unit.load(PARTY, asked), asked)


def require_tenant(context: Context, party_id: str, *, duty: bool = False) -> None:
    """Refuse a command in another party's name. `duty` is as in `require_owner`.

    Raises:
        Refusal: ``scope_missing`` · ``party_unknown``.
    """
    require_owner(context, (party_id,), "party", party_id, duty=duty)


async def require_parties(unit: UnitOfWork, party_ids: Iterable[str]) -> None:
    """Refuse ids that are not those of registered parties.

    Raises:
        Refusal: ``party_unknown``.
    """
    for party_id in party_ids:
        if not is_id(party_id, PARTY.prefix) or await unit.load(PARTY, party_id) is None:
            raise refuse_unknown("party", party_id)


async def load_grant(unit: UnitOfWork, grant_id: str, *sides: str) -> Grant:
    """Return a grant if the tenant is on one of the given sides, ``startup`` or ``provider``.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` for the grant's other side.
    """
    grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
    require_side(unit.context, list_sides(grant), sides, "grant", grant_id)
    return grant


async def load_used(unit: UnitOfWork, grant_id: str) -> Grant:
    """Return a grant if the tenant uses or pays for it.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side``.
    """
    grant = require_found("grant", grant_id, await unit.load(GRANT, grant_id))
    require_side(unit.context, list_payers(grant), ("startup", "user"), "grant", grant_id)
    return grant


def list_payers(grant: Grant) -> dict[str, str | None]:
    """Return the party on each side of a grant; ``startup`` is who pays, ``user`` who uses it, perhaps by transfer."""
    return {**list_sides(grant), "startup": grant.issued.startup_id, "user": grant.startup_id}


def list_sides(grant: Grant) -> dict[str, str | None]:
    """Return the party on each side of a grant: ``startup`` uses it, ``provider``, ``holder``; None without equity."""
    equity = grant.issued.equity
    return {
        "startup": grant.startup_id,
        "provider": grant.issued.provider_id,
        "holder": None if equity is None else equity.holder_id,
    }


async def load_mandate(unit: UnitOfWork, mandate_id: str) -> Mandate:
    """Return a mandate, without asking whose it is.

    Raises:
        Refusal: ``mandate_unknown``.
    """
    return require_found("mandate", mandate_id, await unit.load(MANDATE, mandate_id))


def is_company(party_id: str, issuer_id: str) -> bool:
    """Return whether a party is the company of an issuer, which has the party's id with another prefix.

    Others are refused before the issuer is read: the time of a refusal must not tell whether a company has one.
    """
    return issuer_id == rename_id("iss", party_id)


async def load_issuer(unit: UnitOfWork, issuer_id: str) -> Issuer:
    """Return an issuer of the tenant.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    party_id = unit.context.party_id
    if party_id is not None and not is_company(party_id, issuer_id):
        raise refuse_unknown("issuer", issuer_id)
    issuer = await unit.load(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer):
        raise refuse_unknown("issuer", issuer_id)
    require_owner(unit.context, (issuer.formed.party_id,), "issuer", issuer_id)
    return issuer


async def load_named_mandates(unit: UnitOfWork, mandate_ids: tuple[str, ...]) -> list[Mandate]:
    """Return the mandates that a lot names.

    Raises:
        Refusal: ``mandates_too_many`` · ``mandate_unknown``.
    """
    require_few_mandates(mandate_ids)
    return [await load_mandate(unit, mandate_id) for mandate_id in mandate_ids]


async def load_related_issuers(unit: UnitOfWork, mandate: Mandate, party_id: str) -> frozenset[str]:
    """Return the other issuers on a mandate that firm relations connect with a startup."""
    others = set(mandate.used_by_issuer_usd) - {rename_id("iss", party_id)}
    if not others:
        return frozenset()
    group = (await unit.load(REGISTER, REGISTER_ID)).list_group(party_id)
    return frozenset(others & {rename_id("iss", each) for each in group if is_id(each, "pty")})


async def list_unregistered(unit: UnitOfWork, issuers: Sequence[Issuer]) -> frozenset[str]:
    """Return the holders whose party is not registered here, which only an import by the platform names."""
    imported = (issuer for issuer in issuers if issuer.imported is not None)
    named = {each for issuer in imported for each in list_holders(issuer) if is_id(each, "pty")}
    return frozenset([each for each in sorted(named) if await unit.load(PARTY, each) is None])
