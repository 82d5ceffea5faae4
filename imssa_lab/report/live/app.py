"""The web application of the live page: for this computer alone, and the button for who holds the token."""

from __future__ import annotations

import hmac
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.writer_presence import ask_to_make_safe
from imssa_lab.report.live.view import LiveView

_PARTS = {"live.html": "text/html", "live.css": "text/css", "live.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def make_app(view: LiveView, token: str) -> Starlette:
    """The page at ``/``, its numbers at ``/state``, and ``POST /make-safe`` with the token in the header X-Token.

    Requests that name another host than this one are refused, so that no web site can reach it by a name of its own.
    """

    def part(name: str) -> Response:
        text = (files("imssa_lab.report.live") / name).read_text(encoding="utf-8")
        return Response(text, media_type=_PARTS[name], headers=_HEADERS)

    def page(request: Request) -> Response:
        return part("live.html")

    def style(request: Request) -> Response:
        return part("live.css")

    def script(request: Request) -> Response:
        return part("live.js")

    def state(request: Request) -> Response:
        asked = request.query_params.get("array", "")
        try:
            state = view.state(int(asked) if asked.isdigit() else None)
        except LogError as error:
            state = {"error": str(error)}  # the file may be closed just now; the page asks again
        return JSONResponse(state, headers=_HEADERS)

    def make_safe(request: Request) -> Response:
        given = request.headers.get("x-token", "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            text = "wrong token: open the page by the address that the terminal shows"
            return JSONResponse({"error": text}, status_code=403, headers=_HEADERS)
        try:
            ask_to_make_safe(view.path)
        except LogError as error:
            return JSONResponse({"error": str(error)}, status_code=409, headers=_HEADERS)
        return JSONResponse({"asked": True}, headers=_HEADERS)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/live.css", style),
            Route("/live.js", script),
            Route("/state", state),
            Route("/make-safe", make_safe, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )
