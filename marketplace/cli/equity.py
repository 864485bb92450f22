"""The equity commands: check what the engine certified, without trusting the engine."""

import json
import sys
from pathlib import Path
from typing import Any

import cyclopts

from marketplace.equity.checker import verify as verify_certificate

app = cyclopts.App(name="equity")
FILE_BYTES_MAX = 64_000_000


@app.command
def verify(file: Path) -> int:
    """Check the certificate, or the list of certificates, in FILE.

    A certificate may stand alone, in a JSON array, or under the key ``certificate`` of an event's body.

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
    certificates = content if isinstance(content, list) else [content]
    failures = 0
    for number, item in enumerate(certificates, start=1):
        certificate = item.get("certificate", item) if isinstance(item, dict) else {}
        problems = verify_certificate(certificate)
        failures += bool(problems)
        print(f"{number} {certificate.get('kind', 'unknown')}: {'ok' if not problems else 'FAILED'}")
        for problem in problems:
            print(f"  {problem}")
    print(f"{len(certificates)} checked, {failures} failed")
    return 1 if failures or not certificates else 0
