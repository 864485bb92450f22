"""Finds a module by its last name, whichever room it is in."""

import importlib
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def find_module(package: str, name: str) -> ModuleType:
    """Return the only module or package of that name below a package.

    Raises:
        ValueError: There is none, or more than one.
    """
    folder = ROOT / Path(*package.split("."))
    found = [path for path in folder.rglob(f"{name}.py") if "__pycache__" not in path.parts]
    found += [path for path in folder.rglob(name) if (path / "__init__.py").is_file()]
    [path] = [path for path in found if not any(path != other and other in path.parents for other in found)]
    return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
