"""Import an issuer from an OCF package: everything in one atomic append, each transaction at its own time.

The last aggregate of an append is its primary one. An import ends with an instrument if there is one, so that readers
of the log see the issuer before anything that belongs to it.
"""

from typing import Final, NamedTuple

import msgspec

from events.types import Event
from marketplace.application.steps.access import require_tenant
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.takeover import require_own_holders
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_exists
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork
from marketplace.ocf.container import Files
from marketplace.ocf.findings import Finding
from marketplace.ocf.importing import Verdict, judge_package
from marketplace.ocf.intake import Intake

TOLD_MAX: Final = 20
"""The most problems that a refusal lists. A dry run lists all."""


class Judged(NamedTuple):
    """The answer of a dry run: how many events the import would append, and every finding.

    A finding of the level ``problem`` refuses the import; a ``loss`` does not.
    """

    issuer_id: str
    events: int
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether the import would be accepted."""
        return all(finding.level == "loss" for finding in self.findings)


def _judge(context: Context, party_id: str, files: Files, source: str) -> Verdict:
    return judge_package(
        files,
        issuer_id=rename_id("iss", party_id),
        party_id=party_id,
        source=source,
        cause=context.command_id,
        now=context.at,
    )


async def judge_import(handler: Handler, context: Context, *, party_id: str, files: Files, source: str) -> Judged:
    """Return the answer that an import would get. Nothing is written.

    What the import would refuse is a finding of the answer, also a party that is unknown, not cleared or no startup,
    and an issuer that exists.

    Raises:
        Refusal: ``party_unknown`` for another tenant's party · ``scope_missing`` for a key of the platform without
            ``rights:decide``.
    """
    require_tenant(context, party_id)
    issuer_id = rename_id("iss", party_id)
    verdict = _judge(context, party_id, files, source)
    unit = UnitOfWork(handler.cache, context)
    findings = list(verdict.findings)
    try:
        await _require_new(unit, party_id, issuer_id)
        if verdict.intake is not None and context.party_id is not None:
            require_own_holders(_list_events(verdict.intake), party_id)
    except Refusal as refusal:
        findings.append(Finding(level="problem", file="", item=party_id, code=refusal.code, reason=refusal.message))
    return Judged(issuer_id, 0 if verdict.intake is None else verdict.intake.count_events(), tuple(findings))


def _list_events(intake: Intake) -> list[Event]:
    return [taken.event for acts in (intake.acts, *intake.instruments.values()) for taken in acts]


async def _require_new(unit: UnitOfWork, party_id: str, issuer_id: str) -> None:
    require_trader(await unit.load(PARTY, party_id), party_id, "startup")
    if await unit.load(ISSUER, issuer_id) is not None:
        raise refuse_exists("issuer", issuer_id)


async def import_issuer(handler: Handler, context: Context, *, party_id: str, files: Files, source: str) -> Receipt:
    """Import an issuer. Its id is the party's, with the prefix ``iss_``.

    Raises:
        Refusal: Refusals of the party · ``package_refused`` · ``issuer_exists`` · ``parties_unconfirmed`` unless the
            platform imports it.
    """
    require_tenant(context, party_id)
    issuer_id = rename_id("iss", party_id)
    verdict = _judge(context, party_id, files, source)
    intake = verdict.intake

    async def work(unit: UnitOfWork) -> None:
        require_trader(await unit.load(PARTY, party_id), party_id, "startup")
        if intake is None:
            raise _refuse(verdict)
        times = [context.at, *(taken.time for taken in intake.acts)]
        await unit.decide(ISSUER, issuer_id, intake.command, times)
        if context.party_id is not None:
            require_own_holders(_list_events(intake), party_id)
        for command, own_times in intake.list_commands():
            await unit.decide(INSTRUMENT, command.instrument_id, command, own_times)

    primary = None if intake is None else next(iter(intake.instruments), None)
    if primary is None:
        return await handler.run(context, ISSUER, issuer_id, work)
    receipt = await handler.run(context, INSTRUMENT, primary, work)
    issuer = await handler.cache.load(ISSUER, issuer_id)
    record = issuer.commands.find(context.command_id)
    assert record is not None, "an import leaves its command record on the issuer"
    version = record.head.sequence
    return msgspec.structs.replace(receipt, id=issuer_id, version=version)


def _refuse(verdict: Verdict) -> Refusal:
    problems = [finding for finding in verdict.findings if finding.level == "problem"]
    told = [f"{each.file} {each.item}: {each.code}: {each.reason}".strip() for each in problems[:TOLD_MAX]]
    return Refusal(
        "package_refused",
        f"the package has {len(problems)} problems, the first being {told[0]}; a dry run lists all of them",
        pointer="/package_base64",
        problems=told,
    )
