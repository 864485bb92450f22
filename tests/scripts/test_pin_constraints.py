"""The pins are exact versions, written into one list, and never addresses."""

import pytest

from scripts.pin_constraints import parse_export, render_pins

PYPROJECT = (
    '[tool.uv]\ndefault-groups = ["dev"]\nconstraint-dependencies = [\n    "old==1",\n]\n\n[tool.other]\nx = 1\n'
)


def test_a_marker_stays_only_where_versions_differ() -> None:
    export = (
        "colorama==0.4.6 ; sys_platform == 'win32'\n"
        "numpy==2.4.6 ; python_full_version < '3.12'\n"
        "numpy==2.5.5 ; python_full_version >= '3.12'\n"
    )
    assert parse_export(export) == [
        "colorama==0.4.6",
        "numpy==2.4.6 ; python_full_version < '3.12'",
        "numpy==2.5.5 ; python_full_version >= '3.12'",
    ]


@pytest.mark.parametrize(
    "line", ["thing @ https://example.com/thing.whl", "--index-url https://example.com", "thing>=1"]
)
def test_what_is_not_a_registry_release_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not name==version"):
        parse_export(f"msgspec==0.22.0\n{line}\n")


def test_pins_replace_the_list_and_nothing_else() -> None:
    pinned = render_pins(PYPROJECT, ["a==1", "b==2 ; python_full_version < '3.12'"])
    assert pinned == PYPROJECT.replace('"old==1",\n', '"a==1",\n    "b==2 ; python_full_version < \'3.12\'",\n')
    assert render_pins(pinned, ["old==1"]) == PYPROJECT


def test_a_project_without_the_list_is_refused() -> None:
    with pytest.raises(ValueError, match="0 lists"):
        render_pins("[tool.uv]\n", ["a==1"])
