"""Renders an issuer's history as a package; the same history gives the same bytes."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any, Final

import msgspec

from events.issuer import IssuerExposureRecorded, IssuerImported, IssuerProposalCounted, IssuerRefusalCounted
from marketplace.captable.history import History
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.instants import render_instant
from marketplace.ocf import objects as ocf
from marketplace.ocf.outgoing import render_objects
from marketplace.ocf.sidecar import NAME as SIDECAR
from marketplace.ocf.sidecar import rename_ids, render_sidecar
from marketplace.ocf.values import File

MANIFEST: Final = "Manifest.ocf.json"
FILES: Final[Mapping[str, tuple[str, str]]] = {
    "stakeholders_files": ("Stakeholders.ocf.json", "OCF_STAKEHOLDERS_FILE"),
    "stock_classes_files": ("StockClasses.ocf.json", "OCF_STOCK_CLASSES_FILE"),
    "stock_legend_templates_files": ("StockLegendTemplates.ocf.json", "OCF_STOCK_LEGEND_TEMPLATES_FILE"),
    "stock_plans_files": ("StockPlans.ocf.json", "OCF_STOCK_PLANS_FILE"),
    "vesting_terms_files": ("VestingTerms.ocf.json", "OCF_VESTING_TERMS_FILE"),
    "valuations_files": ("Valuations.ocf.json", "OCF_VALUATIONS_FILE"),
    "transactions_files": ("Transactions.ocf.json", "OCF_TRANSACTIONS_FILE"),
    "financings_files": ("Financings.ocf.json", "OCF_FINANCINGS_FILE"),
}
"""Members of the manifest, the file that each lists, and its type."""


def render_package(history: History) -> dict[str, bytes]:
    """Return the files of a package by name, the sidecar among them.

    An issuer that was imported from an exported package gets the ids of that package again.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    history.get_issuer()
    known = rename_ids(_leave_market_out(history), history.get_former_ids())
    acts = tuple(act for act in known.acts if not isinstance(act.event, IssuerImported))
    return {SIDECAR: render_sidecar(known), **render_files(History(known.issuer_id, acts))}


def _leave_market_out(history: History) -> History:
    """Return the history without what belongs to the market, not the company: exposure of orders, and proposals."""
    acts = (
        act
        for act in history.acts
        if not isinstance(act.event, IssuerProposalCounted | IssuerRefusalCounted)
        and (not isinstance(act.event, IssuerExposureRecorded) or is_id(act.event.subject_id, "ins"))
    )
    return History(history.issuer_id, tuple(acts))


def render_files(history: History) -> dict[str, bytes]:
    """Return the files of the OCF format by name, without the sidecar.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    out, financings = render_objects(history)
    if out.issuer is None:
        raise Refusal("issuer_unknown", "the history does not begin with the formation of an issuer")
    items: dict[str, Iterable[ocf.Item]] = {
        "stakeholders_files": [out.stakeholders[holder_id] for holder_id in sorted(out.stakeholders)],
        "stock_classes_files": out.classes.values(),
        "stock_plans_files": [] if out.plan is None else [out.plan],
        "vesting_terms_files": out.vesting.values(),
        "valuations_files": out.valuations,
        "transactions_files": out.transactions,
        "financings_files": financings,
    }
    files = {FILES[key][0]: _render({"file_type": FILES[key][1], "items": list(items.get(key, ()))}) for key in FILES}
    last = max(act.time for act in history.acts).astimezone(UTC)
    listed: dict[str, Any] = {
        key: (File(filepath=name, md5=hashlib.md5(files[name], usedforsecurity=False).hexdigest()),)
        for key, (name, _) in FILES.items()
    }
    manifest = ocf.Manifest(
        ocf_version="1.2.0",
        file_type="OCF_MANIFEST_FILE",
        issuer=out.issuer,
        as_of=last.date(),
        generated_at=render_instant(last),
        documents_files=(),
        **listed,
    )
    return {MANIFEST: _render(manifest), **files}


def _render(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
