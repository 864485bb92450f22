"""A package judged as a whole: every finding, and what an import would record where nothing keeps it out."""

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
    """What is wrong with a package or will be lost of it, and what an import would record; None where it may not."""

    findings: tuple[Finding, ...]
    intake: Intake | None


def check_files(files: Files) -> tuple[Finding, ...]:
    """Return everything that is wrong with a package by itself: on all four levels, and with its sidecar."""
    findings = Findings()
    package = parse_package(files, findings)
    if package is not None:
        check_package(package, findings)
    if SIDECAR in files:
        read_sidecar(files, findings)
    return findings.list_all()


def judge_package(files: Files, *, issuer_id: str, party_id: str, source: str, cause: str, now: datetime) -> Verdict:
    """Return everything that is wrong with importing a package, and what the import would record.

    Args:
        files: The package.
        issuer_id: The new issuer.
        party_id: Whose startup it is.
        source: What the package is called.
        cause: The command's id, from which new ids derive.
        now: Nothing may have happened later.
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
