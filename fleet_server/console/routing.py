"""What holds for every page: who is asking, strict headers, and errors as pages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute

from fleet_server.console.access import local_path, require_operating
from fleet_server.console.parts import Console, console_of
from fleet_server.console.rendering import wants_fragment
from fleet_server.errors import FleetServerError, NotSignedIn, http_status
from fleet_server.people.routes import SESSION_COOKIE, check_same_origin
from fleet_server.people.user import User

if TYPE_CHECKING:
    Endpoint: TypeAlias = Callable[[Request], Coroutine[None, None, Response]]

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class ConsoleRoute(APIRoute):
    """A route whose errors are pages, whose unsafe methods come from our pages only, and whose headers are strict."""

    def get_route_handler(self) -> Endpoint:
        """Return the handler with those promises around it."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                check_same_origin(request)
                response = await handle(request)
            except NotSignedIn:
                response = to_sign_in(request)
            except (FleetServerError, ValueError) as error:
                response = error_page(request, str(error), status=http_status(error))
            except RequestValidationError as error:
                first = error.errors()[0]
                response = error_page(request, f"{first['loc'][-1]}: {first['msg']}", status=422)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return guarded


def console_router() -> APIRouter:
    """Return a router for pages: left out of the API's schema."""
    return APIRouter(route_class=ConsoleRoute, include_in_schema=False, default_response_class=Response)


def signed_in(request: Request, console: Annotated[Console, Depends(console_of)]) -> User:
    """Return who is asking; templates find the user in the request's state.

    Raises:
        NotSignedIn: no session, or it has ended.
    """
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        raise NotSignedIn("sign in first")
    user = console.people.user(cookie)
    request.state.user = user
    return user


def operating(user: Annotated[User, Depends(signed_in)]) -> User:
    """Return who is asking, who may also act.

    Raises:
        NotAllowed: the person may only look.
    """
    return require_operating(user)


def to_sign_in(request: Request) -> Response:
    """Return the way to sign-in and back: a redirect for a page, a header for htmx, a bare 401 for the stream."""
    back = request.headers.get("hx-current-url", "") if wants_fragment(request) else str(request.url)
    where = f"/login?next={quote(local_path(_path_of(back)), safe='/')}"
    if wants_fragment(request):
        return Response(status_code=401, headers={"HX-Redirect": where})
    if request.url.path == "/live":
        return Response(status_code=401)
    if request.method != "GET":
        where = "/login"
    return RedirectResponse(where, status_code=303)


def error_page(request: Request, message: str, *, status: int) -> Response:
    """Return the page that says what is wrong."""
    console = console_of(request)
    return console.pages.write(request, "error.html", now=console.clock.now(), status=status, message=message)


def _path_of(url: str) -> str:
    scheme_and_host, _, path = url.partition("://")
    return "/" + path.partition("/")[2] if path else scheme_and_host


Asking = Annotated[User, Depends(signed_in)]
Operating = Annotated[User, Depends(operating)]
Parts = Annotated[Console, Depends(console_of)]
