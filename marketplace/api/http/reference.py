"""The API's reference at ``/schema``: Swagger UI, in which calls can be tried with a key.

Its files are those of the npm package swagger-ui-dist in the version below, served by this process. The page runs no
inline script and asks nobody else (`Content-Security-Policy`).
"""

from importlib.resources import files
from typing import Any, Final

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath

from marketplace.api.http.envelope import ADDED

VERSION: Final = "5.35.0"
"""The version of swagger-ui-dist. Its licence and notices stand beside its files."""
_FOLDER: Final = files("marketplace.api.http").joinpath("swagger_ui")
_ASSETS: Final = {
    "reference.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_HEADER: Final = b"content-security-policy"
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reference of the marketplace's API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/schema/assets/swagger-ui.css">
<div id="reference"></div>
<noscript>For machines: <a href="/schema/openapi.json">the OpenAPI document</a>.</noscript>
<script src="/schema/assets/swagger-ui-bundle.js"></script>
<script src="/schema/assets/reference.js"></script>
</html>
"""


class ReferencePage(OpenAPIRenderPlugin):
    """Serves the page at ``/schema``."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page, and let it run the scripts of this server."""
        del openapi_schema
        open_page(request)
        return _PAGE


def open_page(request: Request[Any, Any, Any]) -> None:
    """Let the answer of a request be a page that loads scripts and styles of this server."""
    scope: dict[str, Any] = dict(request.scope)
    added = scope[ADDED]
    added[:] = [(name, _POLICY if name == _HEADER else value) for name, value in added]


@get("/assets/{name:str}", sync_to_thread=True)
def get_asset(name: FromPath[str]) -> Response[bytes]:
    """Return a file of the page."""
    if name not in _ASSETS:
        raise NotFoundException
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(_FOLDER.joinpath(name).read_bytes(), media_type=_ASSETS[name], headers=headers)
