"""Who may ask the server: only pages of its own, from hosts that it is called by, and with a token from elsewhere.

A page of somebody else's in the same browser must not read the runs. It cannot by cross-origin rules, unless its name
is pointed at this machine (DNS rebinding): so on the loopback only loopback's own names are answered, and elsewhere
nobody without the token, which the browser keeps for the host that it was given to.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "simulacra_view"
LOOPBACK_NAMES = ("localhost",)
# Everything that the page needs comes from the server itself; nothing else is loaded, framed, sent or run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
LARGEST_BODY = 40 << 20


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        token: asked of everybody; None on the loopback.
    """

    token: str | None = field(default=None, repr=False)

    @staticmethod
    def exposed() -> Access:
        """Access with a new token."""
        return Access(secrets.token_urlsafe(24))


def is_loopback(host: str) -> bool:
    """Whether a name or address is only reached from this machine."""
    name = host.strip("[]").lower()
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class AccessGuard:
    """ASGI middleware that refuses whom `Access` does not let in, and adds the policy's headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no websockets here
        headers = Headers(scope=scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refuse(scope, headers)
        await (refused or self._app)(scope, receive, with_headers)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._access.token is None and not is_loopback(name):
            return PlainTextResponse("This server answers to localhost only.", 421)
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if origin is None or urlsplit(origin).netloc != host:
                return PlainTextResponse("Only this server's own page may send anything.", 403)
            size = headers.get("content-length", "")
            if not size.isdecimal() or int(size) > LARGEST_BODY:
                return PlainTextResponse("A request of this size is not read.", 413)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            return PlainTextResponse("Only this server's own page may ask.", 403)
        return None if self._access.token is None else self._refuse_stranger(scope, headers)

    def _refuse_stranger(self, scope: Scope, headers: Headers) -> Response | None:
        token = self._access.token or ""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if given and scope["path"] == "/" and _same(given, token):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", max_age=30 * 86400)
            return answer
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            cookies.clear()
        if COOKIE in cookies and _same(cookies[COOKIE].value, token):
            return None
        return PlainTextResponse("Open the address with ?token=... that the server printed.", 401)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
