"""What the meter of the folding grant says, and what it costs."""

from decimal import Decimal

from events.statement import Charges
from events.usage import Evidence, Reading, Sample
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import at

USAGE = name("usg", "protein folding")
METER = "urn:meter:rjukan-hall-2"
_GPUS_PER_NODE = 8


def reading(word: str, start: str, end: str, nodes: int, evidence: Evidence | None = None) -> Reading:
    seconds = int((at(end) - at(start)).total_seconds())
    return Reading(
        reading_id=word,
        start=at(start),
        end=at(end),
        nodes=nodes,
        gpu_seconds=nodes * _GPUS_PER_NODE * seconds,
        evidence=evidence,
    )


def sample(device: str, when: str) -> Sample:
    busy, kwh = Decimal("0.91"), Decimal("5120.250")
    return Sample(device=device, at=at(when), gpu_utilisation=busy, energy_kwh=kwh, xid_error=0)


def price(gpu_hours: int) -> Charges:
    principal = Decimal(gpu_hours) * 4 / 3
    holder = Decimal(gpu_hours) * 16 / 15
    return Charges(
        gpu_seconds=gpu_hours * 3_600,
        provider_usd=_cents(principal + holder),
        cash_usd=_cents(principal),
        holder_usd=_cents(holder),
        principal_usd=_cents(principal),
    )


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))
