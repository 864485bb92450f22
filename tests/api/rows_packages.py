"""Rows of OCF packages."""

import base64

from tests.api.rows import Row, World


async def take_package(world: World) -> None:
    answer = await world.clients["startup"].get(f"/v1/issuers/{world.ids['issuer']}/ocf")
    assert answer.headers["content-type"] == "application/zip"
    world.ids["package"] = base64.b64encode(answer.content).decode()


def build_import(world: World, **more) -> dict:
    return {"party_id": world.ids["heir"], "source": "x.zip", "package_base64": world.ids["package"], **more}


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
        "GET",
        "/v1/issuers/{inherited}/ocf",
        "platform",
        before=lambda world: is_same_package(world)(),
        check=lambda content: content.startswith("PK"),
    ),
)
