"""OCF packages over HTTP: export an issuer as a zip, import a package, and try an import first."""

import base64
import binascii
from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.cap_tables import ImportIssuerBody, ImportReport
from marketplace.api.http.commands import Commanded
from marketplace.api.http.queries import Read, Reader
from marketplace.application.equity.packages import import_issuer, judge_import
from marketplace.application.steps.access import is_company
from marketplace.captable.history import History
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.history import load_history
from marketplace.ocf.container import parse_zip, render_zip
from marketplace.ocf.package import render_package


async def load_own_history(reader: Reader, issuer_id: str) -> History:
    """Return the history of an issuer from the log, for its startup and the platform.

    Raises:
        Refusal: ``issuer_unknown``, also for a holder of its securities.
    """
    if reader.party_id is not None and not is_company(reader.party_id, issuer_id):
        raise refuse_unknown("issuer", issuer_id)
    history = await load_history(reader.services.handler.histories, issuer_id)
    if history.find_issuer() is None:
        raise refuse_unknown("issuer", issuer_id)
    return history


@get(
    "/{issuer_id:str}/ocf",
    operation_id="issuers.export_ocf",
    summary="Export an issuer as an OCF package",
    media_type="application/zip",
)
async def export_package(reader: Read, issuer_id: FromPath[str]) -> Response[bytes]:
    """Return the issuer as an Open Cap Table Format 1.2.0 package; a file beside it has what OCF cannot express.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    history = await load_own_history(reader, issuer_id)
    headers = {"Content-Disposition": f'attachment; filename="{issuer_id}.ocf.zip"'}
    return Response(render_zip(render_package(history)), media_type="application/zip", headers=headers)


@post("/import/dry-run", status_code=200, operation_id="issuers.check_ocf", summary="Check an OCF package")
async def dry_run(command: Commanded, data: JSONBody[ImportIssuerBody]) -> ImportReport:
    """Return every problem of a package by file, item and reason, and every loss. Nothing is written.

    Raises:
        Refusal: ``body_invalid`` if the package is not base64, and those of a zip that cannot be read.
    """
    judged = await judge_import(
        command.handler,
        command.context,
        party_id=data.party_id,
        files=parse_zip(_parse_base64(data.package_base64)),
        source=data.source,
    )
    return ImportReport(
        issuer_id=judged.issuer_id,
        clean=judged.is_clean,
        events=judged.events if judged.is_clean else 0,
        findings=judged.findings,
    )


@post("/import", operation_id="issuers.import_ocf", summary="Import an issuer from an OCF package")
async def import_package(command: Commanded, data: JSONBody[ImportIssuerBody]) -> Response[ReceiptBody]:
    """Import an issuer from a package, as a whole or, if the package has a problem, not at all.

    Raises:
        Refusal: As `dry_run`, and the package's problems.
    """
    receipt = await import_issuer(
        command.handler,
        command.context,
        party_id=data.party_id,
        files=parse_zip(_parse_base64(data.package_base64)),
        source=data.source,
    )
    return command.answer_created(receipt, "/v1/issuers")


def _parse_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal("body_invalid", f"package_base64 is not base64: {error}", pointer="/package_base64") from error


PACKAGE_HANDLERS: Final = (export_package, dry_run, import_package)
