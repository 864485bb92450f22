"""Parts of another system's package without a counterpart here; each is reported as a loss. See `incoming`."""

from pathlib import PurePosixPath
from typing import Final

from msgspec import UNSET

from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.container import Files
from marketplace.ocf.findings import Findings
from marketplace.ocf.import_context import ImportContext
from marketplace.ocf.package import FILES
from marketplace.ocf.parsing import Located, Package

_KEPT: Final[dict[type[ocf.Item], frozenset[str]]] = {
    ocf.Issuer: frozenset({"legal_name", "formation_date", "country_of_formation"}),
    ocf.Stakeholder: frozenset({"name", "current_relationship", "stakeholder_type"}),
    ocf.StockClass: frozenset(
        {
            "name",
            "class_type",
            "initial_shares_authorized",
            "seniority",
            "price_per_share",
            "liquidation_preference_multiple",
            "votes_per_share",
            "default_id_prefix",
            "participation_cap_multiple",
        }
    ),
    ocf.StockPlan: frozenset({"plan_name", "initial_shares_reserved", "stock_class_id", "stock_class_ids"}),
    ocf.Valuation: frozenset({"price_per_share", "effective_date", "stock_class_id", "valuation_type"}),
}
_NOT_KEPT: Final = {
    ocf.StockLegendTemplate: "legends",
    ocf.VestingTerms: "vesting terms",
    ocf.Financing: "financings (their issuances are kept)",
    ocf.Document: "documents",
    tx.VestingStart: "vesting",
    tx.VestingEvent: "vesting",
    tx.VestingAcceleration: "vesting",
    tx.IssuerAuthorized: "authorised shares of the company as a whole (those of its classes are kept)",
    tx.ReturnToPool: "returns to the pool (a cancellation returns the shares here)",
}
_ALWAYS_LOST: Final = (
    "vesting_terms_id",
    "vestings",
    "consideration_text",
    "board_approval_date",
    "stockholder_approval_date",
    "cost_basis",
    "share_numbers_issued",
    "issuance_type",
    "pro_rata",
    "option_grant_type",
    "early_exercisable",
    "stock_legend_ids",
    "security_law_exemptions",
    "termination_exercise_windows",
    "expiration_date",
)


def note_losses(context: ImportContext, located: Located) -> None:
    """Report every member and object that has no counterpart."""
    item = located.item
    what = _NOT_KEPT.get(type(item))
    if what is None and isinstance(item, tx.Acceptance):
        what = "acceptances"
    if what is not None:
        context.report_loss(located, "object_not_kept", f"the marketplace keeps no {what}")
        return
    kept = _KEPT.get(type(item))
    for name in item.__struct_fields__:
        value = getattr(item, name)
        lost = name in _ALWAYS_LOST if kept is None else name not in kept and name not in {"id", "comments"}
        if value is not UNSET and value not in ((), None) and lost:
            context.report_loss(located, "member_not_kept", f"the marketplace keeps no {name}")


def note_comments(context: ImportContext) -> None:
    """Report lost comments once per file, since a package may have thousands."""
    commented = [located for located in context.package.items if located.item.comments is not UNSET]
    for file in sorted({located.file for located in commented}):
        count = sum(located.file == file for located in commented)
        first = next(located for located in commented if located.file == file)
        context.report_loss(
            first, "comments_not_kept", f"the marketplace keeps no comments, and {count} items here have some"
        )


def note_files(files: Files, package: Package, findings: Findings) -> None:
    """Report the files that an import does not read: neither the manifest nor those that it lists."""
    known = {located.file for located in package.items}
    for key in FILES:
        known |= {str(PurePosixPath(file.filepath)) for file in getattr(package.manifest, key) or ()}
    for name in sorted(files):
        if name not in known and not name.endswith(".json"):
            findings.add(
                "loss", name, "", "file_not_kept", "the manifest does not list it, and the marketplace keeps no papers"
            )
