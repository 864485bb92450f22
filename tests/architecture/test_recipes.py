"""The recipes of CONTRIBUTING.md are followed as they stand: their files exist, and a toy needs those and no others."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import toy
from tests.architecture.source import ROOT, tracked_files

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
TITLES = ("An event type", "An endpoint", "A projection", "An aggregate")
FILES_MAX = {"An event type": 8, "An endpoint": 4, "A projection": 4, "An aggregate": 10}
NEW = {"tests/projections/supply/test_inventory.py"}
"""What a recipe makes and the toy's example does not have: `inventory` is tested by the API's rows."""
RENDER = ("scripts/render_contracts.py",)
TESTS = (
    "tests/contracts/test_samples.py",
    "tests/contracts/test_schemas.py",
    "tests/contracts/test_story.py",
    "tests/domain/supply/test_site.py",
    "tests/domain/test_refusals.py",
    "tests/domain/test_deciders.py",
    "tests/projections/engine/test_runner.py",
    "tests/projections/feed/test_feed.py",
    "tests/api/test_client_routes.py",
    "tests/api/test_endpoints.py",
)
CHOSEN = (
    "(site and not every_endpoint) or story or event_type or every_type or whom or batches_end or has_a_row"
    " or asked_by_a_test or has_a_method"
)


def read_steps(title: str) -> list[str]:
    """Return the files of a recipe in order, as they are for the toy."""
    section = TEXT.partition(f"### {title}\n")[2].partition("\n### ")[0]
    steps = re.findall(r"^(\d+)\. `([^`]+)`", section, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1)), title
    return [re.sub(r"<([^>]+)>", lambda place: toy.PLACES[place[1]], path) for _, path in steps]


def run(copy: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put(path: Path, inserts: tuple[toy.Insert, ...]) -> None:
    """Put text before its anchors, each of which stands there once."""
    text = path.read_text()
    for anchor, insert in inserts:
        assert text.count(anchor) == 1, f"{path}: {anchor!r} stands there {text.count(anchor)} times; mend the toy"
        text = text.replace(anchor, insert + anchor)
    path.write_text(text)


def copy_tree(target: Path) -> None:
    for path in tracked_files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)


@pytest.mark.parametrize("title", TITLES)
def test_the_files_of_a_recipe_exist(title: str) -> None:
    steps = read_steps(title)
    assert len(steps) > 3
    assert len(steps) <= FILES_MAX[title]
    assert [path for path in steps if path not in NEW and not (ROOT / path).is_file()] == []


def test_an_event_type_and_its_endpoint_take_the_files_that_are_named_and_no_others(tmp_path: Path) -> None:
    """A file that the toy needs and no recipe names, or that a recipe names and the toy leaves alone, is red."""
    copy_tree(tmp_path)
    for title, edits in (("An event type", toy.EVENT_TYPE), ("An endpoint", toy.ENDPOINT)):
        steps = read_steps(title)
        assert list(edits) == steps, f"the recipe {title!r} does not name, in order, the files that the toy changes"
        for path in steps:
            put(tmp_path / path, edits[path])
    written = run(tmp_path, *RENDER)
    assert "samples/site.renamed.v1.json" in written
    assert "site.renamed.v1" in (tmp_path / "events" / "README.md").read_text()
    run(tmp_path, "-m", "ruff", "check", "--no-cache", *toy.EVENT_TYPE, *toy.ENDPOINT)
    passed = run(tmp_path, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *TESTS, "-k", CHOSEN)
    assert re.search(r"\d+ passed", passed), passed


def test_an_aggregate_is_found_by_its_modules_alone(tmp_path: Path) -> None:
    """Its event types, prefix, scopes, routes, audience and row of the README need no entry in a list."""
    copy_tree(tmp_path)
    named = {path.replace("site", "berth") for path in read_steps("An aggregate")}
    assert set(toy.AGGREGATE) <= named, "the toy has files that the recipe does not name"
    for path, text in toy.AGGREGATE.items():
        (tmp_path / path).write_text(text)
    run(tmp_path, "-m", "ruff", "check", "--no-cache", *toy.AGGREGATE)
    assert run(tmp_path, "-c", toy.FOUND) == "found\n"
