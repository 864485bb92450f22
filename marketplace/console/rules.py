"""What pages say of the market's rules: choices and bounds of fields, and spans, each from where it is decided."""

from datetime import timedelta
from typing import Any, Final, get_args

from events.account import Reference as PaymentReference
from events.order import OrderTerms
from events.site import SiteStatus
from events.statement import Reference
from events.types import Interconnect, Name, Region
from marketplace.domain.billing.dispute import ANSWER, REFERRAL
from marketplace.domain.billing.remedies import CLAIM_WITHIN
from marketplace.domain.delivery.periods import PERIOD
from marketplace.domain.supply.stages import CURE
from marketplace.domain.texts import TEXT_MAX


def _find_longest(text: Any) -> int:
    return int(get_args(text)[1].max_length)


RULES: Final[dict[str, Any]] = {
    "text_max": TEXT_MAX,
    "name_max": _find_longest(Name),
    "region_max": _find_longest(Region),
    "payment_reference_max": _find_longest(PaymentReference),
    "evidence_reference_max": _find_longest(Reference.__annotations__["reference"]),
    "evidence_kinds": get_args(Reference.__annotations__["kind"]),
    "interconnects": get_args(Interconnect),
    "interconnects_asked": get_args(OrderTerms.__annotations__["interconnect"]),
    "site_statuses": get_args(SiteStatus),
    "security_hours_min": CURE // timedelta(hours=1),
    "answer_days": ANSWER.days,
    "referral_days": REFERRAL.days,
    "claim_days": CLAIM_WITHIN.days,
    "period_days": PERIOD.days,
}
"""Names in templates, as ``rules.text_max``."""
