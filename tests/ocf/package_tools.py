"""Changing packages for tests: an item, a file, the manifest's checksums."""

import copy
import functools
import hashlib
import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from marketplace.captable.history import Act, build_history
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.ocf.importing import judge_package
from marketplace.ocf.package import MANIFEST
from marketplace.ocf.sidecar import NAME as SIDECAR
from tests.captable.company import make_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = [parent / "shared" / "ocf" for parent in Path(__file__).resolve().parents]
PUBLISHED = next((place for place in PLACES if (place / "check_package.py").is_file()), None)


@functools.cache
def load_checker():
    """Return the checker of the published schema; where it is not on this machine say so, and return None."""
    if PUBLISHED is None:
        sys.stderr.write("no folder above has shared/ocf with the published schema: only our own levels are checked\n")
        return None
    spec = importlib.util.spec_from_file_location("check_package", PUBLISHED / "check_package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_by_published_schema(folder):
    """Return what the published schema finds in the package of a folder."""
    checker = load_checker()
    return [] if checker is None else checker.check(folder)


def strip_sidecar(files):
    return {name: content for name, content in files.items() if name != SIDECAR}


def seal(files):
    """Return the files with a manifest that has their checksums."""
    manifest = json.loads(files[MANIFEST])
    for key, entries in manifest.items():
        for entry in entries if key.endswith("_files") else ():
            if entry["filepath"] in files:
                entry["md5"] = hashlib.md5(files[entry["filepath"]], usedforsecurity=False).hexdigest()
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def change_items(files, name, change):
    """Return the files after `change` had its way with the items of one."""
    document = json.loads(files[name])
    document["items"] = change(copy.deepcopy(document["items"])) or document["items"]
    return seal({**files, name: json.dumps(document).encode()})


def change_item(files, name, item_id, **members):
    """Return the files after members of one item were replaced; a member that is `...` is taken out."""

    def change(items):
        item = next(item for item in items if item["id"] == item_id)
        item.update(members)
        for key in [key for key, value in item.items() if value is ...]:
            del item[key]
        return items

    return change_items(files, name, change)


def judge(files, number=2, now=NOW):
    return judge_package(
        files,
        issuer_id=make_id("iss", number),
        party_id=make_id("pty", number),
        source="lattice.ocf.zip",
        cause=make_id("cmd", number),
        now=now,
    )


def take_in(files, number=2, now=NOW):
    """Return the history that an import of a package makes."""
    verdict = judge(files, number, now)
    assert verdict.intake is not None, verdict.findings
    intake = verdict.intake
    events = ISSUER.decide(intake.command, None)
    times = [NOW, *(taken.time for taken in intake.acts)]
    told = [(time, intake.issuer_id, event) for time, event in zip(times, events, strict=True)]
    for command, own_times in intake.list_commands():
        decided = INSTRUMENT.decide(command, None)
        told += [(time, command.instrument_id, event) for time, event in zip(own_times, decided, strict=True)]
    return build_history(intake.issuer_id, [Act(number, *each) for number, each in enumerate(told, start=100)])
