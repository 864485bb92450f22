"""Judges a whole package: every finding, and what an import would record if nothing prevents it."""

from datetime import datetime
from typing import NamedTuple

from marketplace.ocf.checking import check_package
from marketplace.ocf.container import Files
from marketplace.ocf.findings import Finding, Findings
from marketplace.ocf.incoming import translate_package
from marketplace.ocf.intake import Intake, check_intake, read_sidecar, take_sidecar
from marketplace.ocf.parsing import parse_package
from marketplace.ocf.sidecar import NAME as SIDECAR


class Verdict(NamedTuple):
    """The findings of a package, and what an import would record; None if a problem prevents it."""

    findings: tuple[Finding, ...]
    intake: Intake | None


def check_files(files: Files) -> tuple[Finding, ...]:
    """Return all findings of a package by itself: of the four levels of checks, and of its sidecar."""
    findings = Findings()
    package = parse_package(files, findings)
    if package is not None:
        check_package(package, findings)
    if SIDECAR in files:
        read_sidecar(files, findings)
    return findings.list_all()


def judge_package(files: Files, *, issuer_id: str, party_id: str, source: str, cause: str, now: datetime) -> Verdict:
    """Return all findings of an import of a package, and what the import would record.

    Args:
        files: The package.
        issuer_id: The new issuer.
        party_id: Whose startup it is.
        source: Name of the package.
        cause: The command's id, from which new ids derive.
        now: The present; the package may hold nothing later.
    """
    findings = Findings()
    package = parse_package(files, findings)
    if package is None:
        return Verdict(findings.list_all(), None)
    check_package(package, findings)
    intake: Intake | None
    if SIDECAR in files:
        intake = take_sidecar(files, findings, issuer_id=issuer_id, party_id=party_id, source=source, cause=cause)
    else:
        intake = translate_package(
            package, files, findings, issuer_id=issuer_id, party_id=party_id, source=source, cause=cause
        )
    if intake is not None:
        check_intake(intake, now, findings)
    return Verdict(findings.list_all(), None if findings.has_problems() else intake)
