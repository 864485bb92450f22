"""The equity commands: check what the engine certified, without trusting the engine."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cyclopts

from marketplace.equity.checker import verify as verify_certificate
from marketplace.equity.record_check import check_record, find_records, read_certificate

app = cyclopts.App(name="equity")
FILE_BYTES_MAX = 64_000_000


@app.command
def verify(file: Path) -> int:
    """Check the certificate, or the list of certificates, in FILE.

    A certificate may be alone, in a JSON array, under the key ``certificate``, or as ``certificate_json`` anywhere in
    an event or in an answer of the API. In the last two cases, the numbers beside it are compared with it too.

    Args:
        file: JSON file, at most 64 MB.

    Returns:
        0 if every certificate holds; 1 if one fails; 2 if the file cannot be read.
    """
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            print(f"{file} is larger than {FILE_BYTES_MAX} bytes", file=sys.stderr)
            return 2
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{file} cannot be read as JSON: {error}", file=sys.stderr)
        return 2
    failures = 0
    checks = list(_list_checks(content))
    for number, (kind, problems) in enumerate(checks, start=1):
        failures += bool(problems)
        print(f"{number} {kind}: {'ok' if not problems else 'FAILED'}")
        for problem in problems:
            print(f"  {problem}")
    print(f"{len(checks)} checked, {failures} failed")
    return 1 if failures or not checks else 0


def _list_checks(content: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the kind and the problems of every certificate in a JSON value."""
    records = list(find_records(content))
    for record in records:
        try:
            certificate = read_certificate(record)
        except ValueError as error:
            yield "unknown", [f"the certificate cannot be read: {error}"]
            continue
        yield certificate.get("kind", "unknown"), verify_certificate(certificate) or check_record(record, certificate)
    if records:
        return
    for item in content if isinstance(content, list) else [content]:
        certificate = item.get("certificate", item) if isinstance(item, dict) else {}
        yield certificate.get("kind", "unknown"), verify_certificate(certificate)
