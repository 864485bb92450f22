"""The documents lead everywhere: packages and READMEs are linked, links and modules that are named exist."""

import json
import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, tracked_files

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PAGES = [path for path in tracked_files() if path.endswith(".md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"`((?:api|application|domain|execution|runtime|clearing)/[\w/]+\.py)`")


def resolve(page: str) -> set[Path]:
    """Return the files that a page links to."""
    targets = [target for target in LINK.findall((ROOT / page).read_text()) if "://" not in target]
    return {((ROOT / page).parent / target).resolve() for target in targets}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    assert [target for target in resolve(page) if not target.exists()] == []


def test_the_architecture_names_every_package_and_links_every_readme() -> None:
    packages = {path.split("/")[1] for path in tracked_files() if re.fullmatch(r"marketplace/\w+/__init__\.py", path)}
    assert {package for package in packages if f"`marketplace/{package}/`" not in ARCHITECTURE} == set()
    readmes = {ROOT / path for path in PAGES if path.endswith("/README.md")}
    assert readmes - resolve("docs/architecture.md") == set()
    assert readmes - resolve("README.md") == set()


def test_every_module_of_a_path_exists() -> None:
    named = MODULE.findall(ARCHITECTURE)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / "marketplace" / path).is_file()] == []


def test_no_change_is_stated_twice() -> None:
    begun = re.findall(r"^\* (.{30})", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert len(begun) > 45
    assert sorted({start for start in begun if begun.count(start) > 1}) == []


def test_the_files_of_the_glossary_exist() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(named) > 40
    assert [path for path in named if not (ROOT / path).exists() and not (ROOT / "marketplace" / path).exists()] == []


def test_documents_state_the_status_of_each_code() -> None:
    catalogue = json.loads((ROOT / "marketplace" / "api" / "http" / "errors.json").read_text())
    stated = [pair for page in PAGES for pair in re.findall(r"\b([45]\d\d):? `(\w+)`", (ROOT / page).read_text())]
    assert len(stated) > 15
    assert [(status, code) for status, code in stated if str(catalogue[code]["status"]) != status] == []
