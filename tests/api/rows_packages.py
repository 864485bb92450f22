"""Rows of OCF packages."""

import base64
import io
import json
import zipfile

from tests.api.rows import Row, World
from tests.ocf.foreign import SAFE, STOCK, pack

FILES = (
    "stock_plans",
    "stock_legend_templates",
    "stock_classes",
    "vesting_terms",
    "valuations",
    "transactions",
    "stakeholders",
    "financings",
    "documents",
)
COMPANY = {
    "object_type": "ISSUER",
    "id": "newcomer",
    "legal_name": "Newcomer, Inc.",
    "formation_date": "2025-01-01",
    "country_of_formation": "US",
}
MANIFEST = {
    "ocf_version": "1.2.0",
    "file_type": "OCF_MANIFEST_FILE",
    "issuer": COMPANY,
    "as_of": "2025-01-01",
    "generated_at": "2025-01-01T00:00:00Z",
    **{f"{name}_files": [] for name in FILES},
}
"""The shortest package: a company without shares."""


def pack_shortest() -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
        text = json.dumps(MANIFEST, separators=(",", ":"))
        package.writestr(zipfile.ZipInfo("Manifest.ocf.json"), text, zipfile.ZIP_DEFLATED, 9)
    return base64.b64encode(packed.getvalue()).decode()


async def register_newcomer(world: World) -> None:
    world.ids["newcomer"] = await world.stage.register("Newcomer", "startup")


async def take_package(world: World) -> None:
    answer = await world.clients["startup"].get(f"/v1/issuers/{world.ids['issuer']}/ocf")
    assert answer.headers["content-type"] == "application/zip"
    world.ids["package"] = base64.b64encode(answer.content).decode()


async def register_importer(world: World) -> None:
    world.ids["importer"] = await world.stage.register("Importing company", "startup")


def build_foreign(world: World) -> dict:
    """Build the package of a company that took money for a SAFE elsewhere, from a holder without a key."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in pack((STOCK, SAFE), plans=()).items():
            package.writestr(name, content)
    text = base64.b64encode(packed.getvalue()).decode()
    return {"party_id": world.ids["importer"], "source": "elsewhere.zip", "package_base64": text}


async def find_foreign(world: World) -> None:
    issuer, headers = world.ids["importer"].replace("pty_", "iss_"), {"Min-Seq": await world.stage.reach()}
    answer = await world.clients["platform"].get(f"/v1/instruments?issuer_id={issuer}", headers=headers)
    (found,) = answer.json()["items"]
    world.ids |= {"foreign": found["instrument_id"], "keyless": found["holder_id"]}


def build_import(world: World, **more) -> dict:
    return {"party_id": world.ids["heir"], "source": "x.zip", "package_base64": world.ids["package"], **more}


def build_shortest(world: World) -> dict:
    return {"party_id": world.ids["newcomer"], "source": "newcomer.zip", "package_base64": pack_shortest()}


def is_same_package(world: World):
    async def check() -> None:
        heir = world.ids["heir"].replace("pty_", "iss_")
        answer = await world.clients["platform"].get(f"/v1/issuers/{heir}/ocf")
        assert base64.b64encode(answer.content).decode() == world.ids["package"]

    return check


UNKNOWN_PARTY = (404, "party_unknown")
PACKAGES = (
    Row("GET", "/v1/issuers/{issuer}/ocf", check=lambda content: content.startswith("PK")),
    Row(
        "POST",
        "/v1/issuers/import/dry-run",
        "platform",
        build_import,
        refused=(lambda world: build_import(world, package_base64="!"), 422, "body_invalid"),
        other=UNKNOWN_PARTY,
        before=take_package,
        check=lambda report: report["clean"] and report["events"] > 10 and report["findings"] == [],
    ),
    Row(
        "POST",
        "/v1/issuers/import",
        "platform",
        build_import,
        201,
        (lambda world: build_import(world, package_base64="UEs="), 422, "package_unreadable"),
        UNKNOWN_PARTY,
        save="inherited",
    ),
    Row(
        "POST",
        "/v1/issuers/import/dry-run",
        "platform",
        build_shortest,
        other=UNKNOWN_PARTY,
        before=register_newcomer,
        check=lambda report: report["clean"] and report["events"] == 2,
    ),
    Row("POST", "/v1/issuers/import", "platform", build_shortest, 201, other=UNKNOWN_PARTY),
    Row(
        "POST",
        "/v1/issuers/import",
        "platform",
        build_foreign,
        201,
        other=UNKNOWN_PARTY,
        before=register_importer,
    ),
    Row(
        "POST",
        "/v1/instruments/{foreign}/transfer",
        "platform",
        lambda world: {"holder_id": world.ids["keyless"], "holder_id_after": world.ids["fund"]},
        refused=(
            lambda world: {"holder_id": world.ids["fund"], "holder_id_after": world.ids["fund"]},
            422,
            "instrument_not_held",
        ),
        before=find_foreign,
    ),
    Row("GET", "/v1/instruments/{foreign}", "fund", check=lambda one: one["principal_usd"] == "100000.00"),
    Row(
        "GET",
        "/v1/issuers/{inherited}/ocf",
        "platform",
        before=lambda world: is_same_package(world)(),
        check=lambda content: content.startswith("PK"),
    ),
)
