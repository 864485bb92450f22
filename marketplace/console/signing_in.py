"""Signing in, by an API key or a one-time link, and signing out."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect, Template
from litestar.status_codes import HTTP_303_SEE_OTHER, HTTP_401_UNAUTHORIZED

from marketplace.console.desk import Desked, Door
from marketplace.core.errors import Refusal


class KeyForm(msgspec.Struct, frozen=True):
    """The form of the sign-in page."""

    key: str


class LinkForm(msgspec.Struct, frozen=True):
    """The form that a one-time link submits."""

    token: str


@get("/", opt={"exclude_from_csrf": True})
async def to_console() -> Redirect:
    """Lead a browser to the console."""
    return Redirect("/console", status_code=HTTP_303_SEE_OTHER)


@get("/")
async def home(desk: Desked) -> Response[Any]:
    """Lead to the first page that the key may open."""
    return desk.go(desk.first)


@get("/sign-in")
async def show_sign_in() -> Template:
    """Ask for an API key."""
    return _show(None)


@get("/enter")
async def show_enter() -> Template:
    """Show the page that submits a link's token, which stands after the address's hash and so reaches no server."""
    return Template("enter.html", context={"desk": None})


@post("/sign-in")
async def sign_in(request: Request[Any, Any, Any], data: URLEncodedBody[KeyForm]) -> Template | Redirect:
    """Begin a session with an API key."""
    door: Door = request.app.state["door"]
    address = request.client.host if request.client else "unknown"
    try:
        door.attempts.hit(address, [])
        principal = await door.services.keys.verify(f"Bearer {data.key.strip()}")
    except Refusal as refusal:
        return _show(str(refusal))
    return _begin(door, principal.key_id)


@post("/enter")
async def enter(request: Request[Any, Any, Any], data: URLEncodedBody[LinkForm]) -> Template | Redirect:
    """Begin a session with the token of a one-time link."""
    door: Door = request.app.state["door"]
    link = door.sessions.read_link(data.token)
    if link is None or not await door.services.keys.use_link(*link):
        return _show("this link was used, or is older than ten minutes; sign in with an API key")
    return _begin(door, link[0])


@post("/sign-out")
async def sign_out(request: Request[Any, Any, Any]) -> Redirect:
    """End the session in this browser."""
    door: Door = request.app.state["door"]
    return Redirect("/console/sign-in", status_code=HTTP_303_SEE_OTHER, cookies=[door.build_cookie(None)])


def _show(problem: str | None) -> Template:
    status = 200 if problem is None else HTTP_401_UNAUTHORIZED
    return Template("sign_in.html", context={"desk": None, "problem": problem}, status_code=status)


def _begin(door: Door, key_id: str) -> Redirect:
    cookie = door.build_cookie(door.sessions.begin(key_id, door.services.follower.position))
    return Redirect("/console", status_code=HTTP_303_SEE_OTHER, cookies=[cookie])


HANDLERS: Final = (home, show_sign_in, sign_in, show_enter, enter, sign_out)
