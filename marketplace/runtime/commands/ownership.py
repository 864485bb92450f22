"""Who may touch what: a tenant its own, the platform everything."""

from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_unknown
from marketplace.runtime.unit import Context


def require_owner(context: Context, owner_ids: tuple[str, ...], aggregate: str, id: str) -> None:  # noqa: A002
    """Refuse what belongs to another tenant, in the same words as what does not exist.

    Raises:
        Refusal: ``<aggregate>_unknown``.
    """
    if context.party_id is not None and context.party_id not in owner_ids:
        raise refuse_unknown(aggregate, id)


def require_platform(context: Context) -> None:
    """Refuse what only the platform may do.

    Raises:
        Refusal: ``platform_only``.
    """
    if context.party_id is not None:
        raise Refusal("platform_only", "only the platform's operator may do this; ask it to")


def require_tenant(context: Context, party_id: str) -> None:
    """Refuse acting in another party's name.

    Raises:
        Refusal: ``party_unknown``.
    """
    require_owner(context, (party_id,), "party", party_id)
