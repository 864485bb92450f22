"""The project's own files as the rules see them."""

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PURE = (
    "events",
    "marketplace/core",
    "marketplace/domain",
    "marketplace/clearing",
    "marketplace/equity",
    "marketplace/captable",
)


@dataclass(frozen=True)
class Module:
    """One Python file and its syntax tree."""

    path: str
    lines: int
    tree: ast.Module

    @property
    def is_pure(self) -> bool:
        return any(self.path.startswith(f"{package}/") for package in PURE)


@cache
def tracked_files() -> tuple[str, ...]:
    """Every file that git tracks, or would after `git add`, and that exists."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return tuple(sorted({path for path in listed.split("\0") if path and (ROOT / path).is_file()}))


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the project."""
    return tuple(parse(path, (ROOT / path).read_text()) for path in tracked_files() if path.endswith(".py"))


def parse(path: str, text: str) -> Module:
    """One file as the rules see it."""
    return Module(path, len(text.splitlines()), ast.parse(text, path))
