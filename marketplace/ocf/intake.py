"""What an import will record: acts of an issuer and its instruments, their times and origins."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import msgspec

from events.registry import get_tag, parse_body, render_body
from marketplace.captable.history import History
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.equity.instrument.commands import ImportInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.commands import ImportIssuer
from marketplace.domain.equity.issuer.issuer import list_refused_acts
from marketplace.domain.texts import list_misnamed, list_names, list_unreadable
from marketplace.ocf.container import Files, compute_hash
from marketplace.ocf.findings import Findings
from marketplace.ocf.package import render_package
from marketplace.ocf.sidecar import NAME as SIDECAR
from marketplace.ocf.sidecar import NOBODY, parse_sidecar, rename_ids

EVENTS_MAX: Final = 1_000
"""One atomic batch of the log."""
_OURS: Final = re.compile(
    rb"(?:att|can|cnv|exr|fin|ins|liq|opt|prg|prm|pur|rep|sec|spl|src|trf|trn|wrt)_[0-7][0-9a-hjkmnp-tv-z]{25}"
)


class ImportedAct(NamedTuple):
    """One act to record, when it happened, and the object of the package that states it."""

    event: Any
    time: datetime
    file: str
    label: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What an import will record.

    Attributes:
        issuer_id: The new issuer.
        source: Name of the package.
        package_hash: SHA-256 of its files.
        acts: The acts of the issuer, oldest first.
        instruments: The acts of each instrument by its new id, oldest first.
        origins: The package's ids, by the ids here, where they differ.
    """

    issuer_id: str
    source: str
    package_hash: str
    acts: tuple[ImportedAct, ...]
    instruments: Mapping[str, tuple[ImportedAct, ...]]
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> ImportIssuer:
        """The command to the issuer."""
        return ImportIssuer(
            issuer_id=self.issuer_id,
            source=self.source,
            package_hash=self.package_hash,
            acts=tuple(taken.event for taken in self.acts),
            origins=dict(self.origins),
        )

    def list_commands(self) -> list[tuple[ImportInstrument, list[datetime]]]:
        """Return the commands to the instruments, and when each of their acts happened."""
        return [
            (
                ImportInstrument(instrument_id=instrument_id, acts=tuple(taken.event for taken in acts)),
                [taken.time for taken in acts],
            )
            for instrument_id, acts in self.instruments.items()
        ]

    def count_events(self) -> int:
        """Return how many events the import will append."""
        return 1 + len(self.acts) + sum(len(acts) for acts in self.instruments.values())


def read_sidecar(files: Files, findings: Findings) -> History | None:
    """Return the history in a package that this market exported; None if its files differ from its sidecar's."""
    try:
        history = parse_sidecar(files[SIDECAR])
        made = render_package(history)
    except Refusal as refusal:
        findings.add("problem", SIDECAR, "", refusal.code, refusal.message)
        return None
    differing = sorted(name for name, content in made.items() if files.get(name) != content)
    for name in differing:
        reason = (
            f"{name} differs from what the sidecar's history gives; remove the sidecar to import the other files alone"
        )
        findings.add("problem", name, "", "sidecar_differs", reason)
    return None if differing else history


def take_sidecar(
    files: Files, findings: Findings, *, issuer_id: str, party_id: str, source: str, cause: str
) -> Intake | None:
    """Return what the import of a package that this market exported will record.

    None, with a problem reported, if its files differ from those that its sidecar gives.

    Args:
        files: The package.
        findings: Where problems are added.
        issuer_id: The new issuer.
        party_id: Whose startup it is.
        source: Name of the package.
        cause: The command's id, from which new ids derive.
    """
    history = read_sidecar(files, findings)
    if history is None:
        return None
    found = sorted({match.group().decode() for match in _OURS.finditer(files[SIDECAR])})
    names = {before: derive_id(before[:3], cause, before) for before in found}
    names[history.issuer_id] = issuer_id
    renamed = rename_ids(history, {**names, NOBODY: party_id})
    acts: list[ImportedAct] = []
    instruments: dict[str, list[ImportedAct]] = {}
    for index, act in enumerate(renamed.acts):
        event: Any = act.event
        taken = ImportedAct(event, act.time, SIDECAR, f"acts[{index}] {get_tag(event)}")
        (acts if act.aggregate == issuer_id else instruments.setdefault(act.aggregate, [])).append(taken)
    return Intake(
        issuer_id=issuer_id,
        source=source,
        package_hash=compute_hash(files),
        acts=tuple(acts),
        instruments={instrument_id: tuple(each) for instrument_id, each in sorted(instruments.items())},
        origins={after: before for before, after in names.items() if before != after},
    )


def check_intake(intake: Intake, now: datetime, findings: Findings) -> None:
    """Add what the marketplace would refuse: size, dates, shapes, texts, and every act that breaks a rule."""
    count = intake.count_events()
    if count > EVENTS_MAX:
        reason = f"the import would append {count} events; one atomic append holds {EVENTS_MAX}"
        findings.add("problem", "", "", "package_too_large", reason)
    everything = [*intake.acts, *(taken for acts in intake.instruments.values() for taken in acts)]
    valid = True
    for taken in everything:
        if taken.time > now:
            findings.add("problem", taken.file, taken.label, "date_in_future", f"{taken.time:%Y-%m-%d} is to come")
        try:
            parse_body(get_tag(taken.event), render_body(taken.event))
        except msgspec.ValidationError as error:
            valid = False
            findings.add("problem", taken.file, taken.label, "value_out_of_range", str(error))
        else:
            _check_texts(taken, findings)
    for refusal in list_unreadable({"id": list(intake.origins.values())}):
        findings.add("problem", "", "", refusal.code, refusal.message)
    if valid:
        _check_rules(intake, findings)


def _check_texts(taken: ImportedAct, findings: Findings) -> None:
    """Add a text that no request may have, such as a name with a control character."""
    body = msgspec.json.decode(render_body(taken.event))
    misnamed = (refusal for path in list_names(type(taken.event)) for refusal in list_misnamed(path, body))
    for refusal in islice(chain(list_unreadable(body), misnamed), 1):
        findings.add("problem", taken.file, taken.label, refusal.code, refusal.message)


def _check_rules(intake: Intake, findings: Findings) -> None:
    for index, refusal in list_refused_acts(intake.command):
        taken = intake.acts[index]
        findings.add("problem", taken.file, taken.label, refusal.code, refusal.message)
    for command, _ in intake.list_commands():
        try:
            INSTRUMENT.decide(command, None)
        except Refusal as refusal:
            index = int((refusal.pointer or "/acts/0").rpartition("/")[2])
            taken = intake.instruments[command.instrument_id][index]
            findings.add("problem", taken.file, taken.label, refusal.code, refusal.message)
