"""Permissions: a tenant may touch its own resources, the platform all."""

from collections.abc import Mapping

from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.unit_of_work import Context


def require_owner(context: Context, owner_ids: tuple[str, ...], aggregate: str, id: str) -> None:  # noqa: A002
    """Refuse another tenant's resource in the same words as one that does not exist.

    Raises:
        Refusal: ``<aggregate>_unknown``.
    """
    if context.party_id is not None and context.party_id not in owner_ids:
        raise refuse_unknown(aggregate, id)


def require_side(
    context: Context,
    parties: Mapping[str, str | None],
    allowed: tuple[str, ...],
    aggregate: str,
    id: str,  # noqa: A002
) -> None:
    """Refuse a tenant that is on none of the allowed sides.

    Args:
        context: Who asks.
        parties: The party on each side, or None. All of them may see the resource.
        allowed: The sides that may do this.
        aggregate: The kind of resource.
        id: Its id.

    Raises:
        Refusal: ``wrong_side`` for a tenant on another side · ``<aggregate>_unknown`` for everyone else.
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
    """Refuse what only the platform may do.

    Raises:
        Refusal: ``platform_only``.
    """
    if context.party_id is not None:
        raise Refusal("platform_only", "only the platform's operator may do this; ask the operator")


def require_tenant(context: Context, party_id: str) -> None:
    """Refuse a command in another party's name.

    Raises:
        Refusal: ``party_unknown``.
    """
    require_owner(context, (party_id,), "party", party_id)
