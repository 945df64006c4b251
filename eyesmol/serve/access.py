"""Who may ask the server, and what of Gradio's interface is open to them.

- The Host header must name this server. A website can give its own name this machine's address
  (DNS rebinding), and would then be asking from the browser of somebody who may reach us.
- The Origin must be this server: no other website may upload or ask.
- Where others than this machine can reach the port, they need the token.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["TOKEN_VARIABLE", "Access", "AccessControl"]

TOKEN_VARIABLE = "EYESMOL_TOKEN"
_COOKIE = "eyesmol-token"
# What needs no token and tells nothing: asked by what watches over containers.
_OPEN = {"/api/health"}
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d+)?")


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        names: host names of this server besides ``localhost``. Addresses in digits need not be
            named: no website can claim one.
        token: what everybody must show; None lets everybody in.
    """

    names: frozenset[str] = frozenset()
    token: str | None = None

    @classmethod
    def at(cls, address: str, names: Iterable[str] = (), *, with_token: bool = True) -> Access:
        """Access to a server that listens at an address.

        Args:
            address: in digits. Beyond the loopback interface this machine's name is one of the
                names, and a token is asked for: that of the environment, or a new one.
            names: other host names of the server.
            with_token: False asks for none, wherever the server listens.

        Raises:
            ValueError: the environment's token cannot travel in an address and a header, or is
                short enough to be guessed.
        """
        known = {name.lower() for name in names}
        if ipaddress.ip_address(address).is_loopback:
            return cls(frozenset(known))
        token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{TOKEN_VARIABLE}: expected 8 or more of A-Z a-z 0-9 . _ ~ -")
        known.add(socket.gethostname().lower())
        return cls(frozenset(known), token if with_token else None)

    def knows(self, name: str) -> bool:
        """Is that a name or an address of this server?"""
        if name == "localhost" or name in self.names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def admits(self, shown: str | None) -> bool:
        """Is that the token?"""
        return self.token is None or secrets.compare_digest(
            (shown or "").encode(), self.token.encode()
        )


class AccessControl:
    """ASGI middleware: requests that may not be made are answered here."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answer = self._foreign(request) or self._stranger(request)
        if answer:
            await answer(scope, receive, send)
            return
        with suppress(ClientDisconnect):  # who hung up in the middle of a request hears no answer
            await self._app(scope, receive, send)

    def _foreign(self, request: Request) -> Response | None:
        """The answer to what another website asks."""
        host = request.headers.get("host", "").lower()
        name = _HOST.fullmatch(host)
        if not name or not self._access.knows(name[1]):
            return _error(
                421,
                f"this server does not know itself as {host[:100]!r}; if that is its name, start "
                "it with --allowed-host",
            )
        origin = request.headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host:
            return _error(
                403,
                f"{origin[:100]!r} may not ask this server, which was called {host[:100]!r}; a "
                "proxy in between must pass the Host header on",
            )
        return None

    def _stranger(self, request: Request) -> Response | None:
        """The answer to who shows no token; who comes with it in the address keeps it."""
        if self._access.token is None or request.url.path in _OPEN:
            return None
        if request.url.path == "/" and self._access.admits(request.query_params.get("token")):
            welcome = RedirectResponse("./", 303)
            welcome.set_cookie(_COOKIE, self._access.token, httponly=True, samesite="lax")
            return welcome
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._access.admits(shown.strip()):
            return None
        if self._access.admits(request.cookies.get(_COOKIE)):
            return None
        return _error(
            401,
            "the token is missing or wrong; open the address that the server printed when it "
            "started, or send the header Authorization: Bearer TOKEN",
        )


def _error(status: int, message: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": message}, status, headers)
