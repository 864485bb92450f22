"""Pin every package of every group, transitive ones too, in `[tool.uv] constraint-dependencies`.

The lock file names the registry that it was made with, so it is not tracked; the pins are, and they make a clean clone
resolve to the versions that were tested. The hashes of what the container image installs go to `deploy/requirements/`,
without addresses. Run ``just pin`` after a change of dependencies, ``just pin --upgrade`` to
move everything to its newest release.
"""

import argparse
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
BLOCK = re.compile(r"^constraint-dependencies = \[[^\]]*\]$", re.MULTILINE)
REQUIREMENT = re.compile(r"^(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+))?$")
_EXPORT = ("uv", "export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-annotate")
EXPORT = [*_EXPORT, "--all-groups", "--all-extras", "--no-hashes"]
REQUIREMENTS = PYPROJECT.parent / "deploy" / "requirements"
HASHED = {"production.txt": ["--no-default-groups"], "build.txt": ["--only-group", "image"]}
"""What the image installs to run, and to build our own wheel."""


def main() -> None:
    """Rewrite the pins; restore the file if resolving fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="resolve anew, without the present pins")
    upgrade: bool = parser.parse_args().upgrade
    before = PYPROJECT.read_text()
    try:
        PYPROJECT.write_text(render_pins(before, []))
        run("uv", "lock", "--quiet", *(["--upgrade"] if upgrade else []))
        pins = parse_export(run(*EXPORT))
        PYPROJECT.write_text(render_pins(before, pins))
        run("uv", "lock", "--quiet")
        for name, options in HASHED.items():
            (REQUIREMENTS / name).write_text(run(*_EXPORT, *options))
    except BaseException:
        PYPROJECT.write_text(before)
        raise
    print(f"pinned {len(pins)} requirements")


def run(*command: str) -> str:
    """Return what a command prints; its errors go to the terminal.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    return subprocess.run(command, cwd=PYPROJECT.parent, check=True, stdout=subprocess.PIPE, text=True).stdout


def parse_export(text: str) -> list[str]:
    """Return one requirement per package, with a marker only where a package has several versions.

    Raises:
        ValueError: A line is not ``name==version``, such as an address of a registry or a file.
    """
    found = []
    for line in text.splitlines():
        match = REQUIREMENT.match(line.strip())
        if match is None:
            raise ValueError(f"{line!r} is not name==version; only registry releases can be pinned")
        found.append(match)
    versions = Counter(name for name, _ in {(match["name"], match["version"]) for match in found})
    pins = set()
    for match in found:
        marker = f" ; {match['marker']}" if versions[match["name"]] > 1 and match["marker"] else ""
        pins.add(f"{match['name']}=={match['version']}{marker}")
    return sorted(pins)


def render_pins(pyproject: str, pins: list[str]) -> str:
    """Return `pyproject` with these pins in place of its present ones.

    Raises:
        ValueError: There is not exactly one `constraint-dependencies` list.
    """
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    block = f"constraint-dependencies = [\n{lines}]" if pins else "constraint-dependencies = []"
    text, replaced = BLOCK.subn(lambda _: block, pyproject)
    if replaced != 1:
        raise ValueError(f"pyproject.toml has {replaced} lists named constraint-dependencies, expected one")
    if tomllib.loads(text)["tool"]["uv"]["constraint-dependencies"] != pins:
        raise ValueError("the pins could not be written as TOML")
    return text


if __name__ == "__main__":
    main()
