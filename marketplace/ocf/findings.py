"""Errors and losses of a package, by file, item and reason."""

from typing import Final, Literal

import msgspec

FINDINGS_MAX: Final = 1_000
"""The most findings that are listed; further ones are only counted."""

Level = Literal["problem", "loss"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One error in a package, or one thing that an import will not keep.

    Attributes:
        level: A ``problem`` prevents the import; a ``loss`` alone does not, unless there are more than `FINDINGS_MAX`.
        file: Name of the file; empty for the package as a whole.
        item: Kind and id of the object, for example ``TX_STOCK_ISSUANCE abc``; empty for the file as a whole.
        code: Stable code of the reason.
        reason: One sentence with the values in it.
    """

    level: Level
    file: str
    item: str
    code: str
    reason: str


class Findings:
    """Collects findings in the order in which they are found, up to a bound."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._more = 0

    def add(self, level: Level, file: str, item: str, code: str, reason: str) -> None:
        """Keep a finding; beyond `FINDINGS_MAX` they are only counted."""
        if len(self._found) < FINDINGS_MAX:
            self._found.append(Finding(level=level, file=file, item=item, code=code, reason=reason))
        else:
            self._more += 1

    def has_problems(self) -> bool:
        """Return whether anything prevents the import."""
        return self._more > 0 or any(finding.level == "problem" for finding in self._found)

    def list_all(self) -> tuple[Finding, ...]:
        """Return the findings; a last one states how many more there are."""
        if not self._more:
            return tuple(self._found)
        reason = f"{self._more} more findings are not listed; mend these first"
        return (*self._found, Finding(level="problem", file="", item="", code="more_findings", reason=reason))
