"""The bill of materials names every file of others that our wheel carries."""

from pathlib import Path

from scripts.vendored import list_vendored

PACKAGE = Path(__file__).parents[2] / "marketplace"
OURS = {"reference.js", "console.js", "console.css", "plots.css"}


def test_every_script_and_style_of_others_stands_in_the_bill() -> None:
    components = list_vendored()
    named = [file["name"] for component in components for file in component["components"]]
    carried = {path.name for kind in ("js", "css") for path in PACKAGE.rglob(f"*.{kind}")}
    assert sorted(named) == sorted(carried - OURS)
    assert all(component["version"] in component["purl"] for component in components)
    assert [component["purl"].partition("@")[0] for component in components] == [
        "pkg:npm/swagger-ui-dist",
        "pkg:npm/htmx.org",
        "pkg:npm/idiomorph",
    ]
