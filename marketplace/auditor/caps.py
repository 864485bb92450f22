"""Checks the caps of mandates: what one vendor, one generation of GPUs, and related issuers may take of a budget."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.relations import Relations
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_VENDORS: Final = {
    "amd": r"MI",
    "intel": r"GAUDI",
    "google": r"TPU",
    "aws": r"TRN|INF",
    "nvidia": r"A[1-4]|B[1-3]|G[BH]|H[12]|L4|R[12]|RTX|T4|V1|VR",
}
_GENERATIONS: Final = {
    "rubin": r"VR|R[12]",
    "blackwell": r"B[1-3]|GB",
    "hopper": r"H[12]|GH",
    "ada": r"L4|RTX_?4|RTX_6000_ADA",
    "ampere": r"A[1-4]",
    "turing": r"T4",
    "volta": r"V1",
    "cdna_5": r"MI4[45]",
    "cdna_4": r"MI35",
    "cdna_3": r"MI3",
    "cdna_2": r"MI2",
    "cdna_1": r"MI1",
}
_NUMBERED: Final = re.compile(r"(GAUDI|TPU_?V|TRN|INF)_?([0-9]+)")
_SERIES: Final = {"GAUDI": "gaudi", "TPUV": "tpu_v", "TRN": "trainium_", "INF": "inferentia_"}


def find_vendor(gpu_class: str) -> str:
    """Return who makes a class; ``other`` if unknown."""
    return next((name for name, start in _VENDORS.items() if re.match(start, gpu_class)), "other")


def find_generation(gpu_class: str) -> str:
    """Return the generation of a class; ``other`` if unknown."""
    numbered = _NUMBERED.match(gpu_class)
    if numbered is not None:
        return _SERIES[numbered[1].replace("_", "")] + numbered[2]
    return next((name for name, start in _GENERATIONS.items() if re.match(start, gpu_class)), "other")


@dataclass(slots=True)
class Hold:
    """A hold on a mandate's budget, for an order or a grant of one issuer.

    Attributes:
        classes: The classes that the order may get; from the award on, the one that the grant has.
        issuer_id: The issuer.
        total: Dollars that were held and not released.
        committed: Those of them that a grant pays.
    """

    classes: tuple[str, ...]
    issuer_id: str = ""
    total: Decimal = ZERO
    committed: Decimal = ZERO

    def list_parts(self) -> Iterator[tuple[str, str]]:
        """Yield the vendors and generations toward which the hold counts, each once."""
        yield from {("vendor", find_vendor(each)) for each in self.classes}
        yield from {("generation", find_generation(each)) for each in self.classes}


@dataclass(slots=True)
class Caps:
    """Folds and checks the budgets of mandates.

    Attributes:
        caps: By mandate, the dollars that any one ``vendor`` and any one ``generation`` may take, where it states them.
        maxima: By mandate, the dollars that one issuer may draw, together with those related to it.
        holds: By mandate and hold.
        barred: By mandate and issuer, until when nothing is held for it without the holder.
        relations: Who is related to whom; None if nobody is.
    """

    findings: Findings
    relations: Relations | None = None
    maxima: dict[str, Decimal] = field(default_factory=dict)
    caps: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    holds: dict[str, dict[str, Hold]] = field(default_factory=dict)
    barred: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            if message.event_type.startswith("mandate."):
                self._take(message, message.event_type.split(".")[1], message.read())

    def _take(self, message: Message, name: str, body: dict[str, Any]) -> None:
        mandate_id = body["mandate_id"]
        holds = self.holds.setdefault(mandate_id, {})
        if name in {"granted", "amended"}:
            terms = body["terms"]
            shares = {kind: terms.get(f"{kind}_share_max") for kind in ("vendor", "generation")}
            self.maxima[mandate_id] = Decimal(terms["issuer_usd_max"])
            self.caps[mandate_id] = {
                kind: Decimal(share) * Decimal(terms["budget_usd"])
                for kind, share in shares.items()
                if share is not None
            }
        elif name == "budget_held":
            classes = tuple(body.get("gpu_classes", ()))
            hold = holds.setdefault(body["hold_id"], Hold(classes, body["issuer_id"]))
            hold.total += Decimal(body["amount_usd"])
            self._check(message, mandate_id, hold, ((one, one.total) for one in holds.values()))
            self._check_issuer(message, mandate_id, body["issuer_id"])
            end = self.barred.get((mandate_id, body["issuer_id"]))
            early = end is not None and body.get("until") and parse_instant(message.headers["ce-time"]) < end
            text = f"{mandate_id} holds budget for {body['issuer_id']}, whose orders its holder refused until {end}"
            self.findings.require(not early, "cap", message.sequence, text)
        elif name == "budget_captured":
            hold = holds.setdefault(body["hold_id"], Hold(()))
            hold.committed = Decimal(body["amount_usd"])
            if body.get("gpu_class") is not None:
                hold.classes = (body["gpu_class"],)
                self._check(message, mandate_id, hold, ((one, one.committed) for one in holds.values()))
        elif name in {"budget_released", "order_refused"}:
            if body.get("barred_until") and body["hold_id"] in holds:
                barred, until = (mandate_id, holds[body["hold_id"]].issuer_id), parse_instant(body["barred_until"])
                self.barred[barred] = max(until, self.barred.get(barred, until))
            self._free(holds, body)
        elif name == "revoked":
            for ended in body.get("ended", ()):
                self._free(holds, ended)

    def _free(self, holds: dict[str, Hold], body: dict[str, Any]) -> None:
        hold = holds.get(body["hold_id"])
        if hold is not None:
            hold.total -= Decimal(body["amount_usd"])
            hold.committed = min(hold.committed, hold.total)

    def _check_issuer(self, message: Message, mandate_id: str, issuer_id: str) -> None:
        """Check that an issuer, with those that relations connect with it, draws no more than its maximum."""
        parties, now = {f"pty_{issuer_id[4:]}"}, None if self.relations is None else self.relations.now
        if self.relations is not None and now is not None:
            parties = self.relations.reach(f"pty_{issuer_id[4:]}", now)
        holds = self.holds[mandate_id].values()
        used = sum((one.total for one in holds if f"pty_{one.issuer_id[4:]}" in parties), ZERO)
        most = self.maxima.get(mandate_id, ZERO)
        text = f"{mandate_id} has {used} USD for issuer {issuer_id} and those related to it, and its maximum is {most}"
        self.findings.require(used <= most, "cap", message.sequence, text)

    def _check(self, message: Message, mandate_id: str, hold: Hold, amounts: Iterable[tuple[Hold, Decimal]]) -> None:
        """Check that what counts toward each vendor and generation of a hold is within the caps in force."""
        used: Counter[tuple[str, str]] = Counter()
        for one, amount in amounts:
            for part in one.list_parts():
                used[part] += amount  # type: ignore[assignment]
        for part in hold.list_parts():
            cap = self.caps.get(mandate_id, {}).get(part[0])
            text = f"{mandate_id} has {used[part]} USD for {part[0]} {part[1]}, and its cap is {cap}"
            self.findings.require(cap is None or used[part] <= cap, "cap", message.sequence, text)
