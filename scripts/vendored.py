"""The packages of npm whose files our wheel carries, as components of the CycloneDX bill of materials."""

import hashlib
from pathlib import Path
from typing import Any, Final

from marketplace.api.http.reference import VERSION

_PACKAGE: Final = Path(__file__).resolve().parents[1] / "marketplace"
_NPM_NAMES: Final = {"htmx": "htmx.org", "idiomorph": "idiomorph"}


def list_vendored() -> list[dict[str, Any]]:
    """Return one component for each package, with the hash of each of its files."""
    folder = _PACKAGE / "api" / "http" / "swagger_ui"
    components = [_render("swagger-ui-dist", VERSION, [folder / "swagger-ui-bundle.js", folder / "swagger-ui.css"])]
    for path in sorted((_PACKAGE / "console" / "static" / "vendor").glob("*.js")):
        name, _, version = path.name.removesuffix(".min.js").rpartition("-")
        components.append(_render(_NPM_NAMES[name], version, [path]))
    return components


def _render(name: str, version: str, paths: list[Path]) -> dict[str, Any]:
    purl = f"pkg:npm/{name}@{version}"
    files = [
        {"type": "file", "name": path.name, "hashes": [{"alg": "SHA-256", "content": _hash(path)}]} for path in paths
    ]
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "components": files}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
