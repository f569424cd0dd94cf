"""Who may come in, and how often: bearer tokens, limits for each address, headers that keep pages to themselves."""

import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import SecretStr

from engine.web.sessions import CORS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "xdancer_token"
# May be opened with ?token=, for nobody types a header.
PAGES = ("/", "/control", "/mic", "/visualizer", "/visualizer/")
OPEN = ("/whep", "/whip")  # pages of other origins may use these, as WebRTC clients do
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
ADDRESSES = 1024  # in each table of limits; the one not heard of the longest is forgotten
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address may hold the token
    "Permissions-Policy": "geolocation=(), camera=(), payment=()",
}


class Limit:
    """A token bucket for each address: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, who: str) -> float:
        """Seconds until `who` may do it once more; 0: now."""
        return max(0.0, (1 - self._now(who)) / self._rate)

    def spend(self, who: str) -> None:
        """`who` has done it once."""
        self._left[who] = (max(0.0, self._now(who) - 1), self._clock())
        self._left.move_to_end(who)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)

    def _now(self, who: str) -> float:
        left, since = self._left.get(who, (float(self._burst), self._clock()))
        return min(self._burst, left + self._rate * (self._clock() - since))


class Guard:
    """The server's door. Without a token only pages that this machine itself opened come in; with one, whoever has it.

    A page opened with `?token=` gets a cookie that no script sees, drawn anew for each run: it is no guess at the
    token, so those who are in stay in while somebody else at their address is guessing.
    """

    def __init__(self, token: SecretStr | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token.get_secret_value() if token else None
        self._cookie = secrets.token_urlsafe(32)
        self._writes = Limit(rate=20, burst=200, clock=clock)
        self._wrong = Limit(rate=0.2, burst=10, clock=clock)

    def install(self, app: web.Application) -> None:
        app.middlewares.append(self._check)
        app.on_response_prepare.append(self._dress)

    @web.middleware
    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._foreign(request) if self._token is None else self._stranger(request)
        try:
            response = refusal or await handler(request)
        except web.RequestPayloadError:
            return web.Response(status=400, text="a body that is not what its headers say")
        except ConnectionError:
            return web.Response(status=400)  # hung up; nobody reads this
        if request.get("by_address"):
            response.set_cookie(COOKIE, self._cookie, httponly=True, samesite="Strict", secure=request.secure)
        return response

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)

    def _foreign(self, request: web.Request) -> web.Response | None:
        """A foreign page could reach a loopback server through a name that resolves to it, or write to it blindly."""
        try:
            host = request.url.host
        except ValueError:
            return web.Response(status=400, text="not a host")
        if host not in LOCAL_NAMES:
            return web.Response(status=403, text="only as localhost")
        if request.method in WRITES and not request.path.startswith(OPEN) and elsewhere(request):
            return web.Response(status=403, text="not from another site's page")
        return None

    def _stranger(self, request: web.Request) -> web.Response | None:
        if request.method == "OPTIONS":
            return None
        who = address(request.remote)
        if not _same(request.cookies.get(COOKIE, ""), self._cookie):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            by_address = scheme.lower() != "bearer" and request.path in PAGES
            if scheme.lower() != "bearer":
                given = request.query.get("token", "") if by_address else ""
            wait = self._wrong.wait(who) if given else 0.0
            if wait:
                return _too_many(wait)
            if not _same(given, self._token or ""):
                if given:
                    self._wrong.spend(who)
                headers = CORS | {"WWW-Authenticate": "Bearer"}
                return web.Response(status=401, text="a bearer token is required", headers=headers)
            request["by_address"] = by_address
        if request.method in WRITES:
            wait = self._writes.wait(who)
            if wait:
                return _too_many(wait)
            self._writes.spend(who)
        return None


class Discreet(logging.Filter):
    """Keeps requests that cannot be parsed out of the log: aiohttp quotes them, and they may hold the token."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


log = logging.getLogger("engine.web.http")
log.addFilter(Discreet())


def address(remote: str | None) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of /64, of which one machine has many."""
    try:
        ip = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def _same(given: str, wanted: str) -> bool:
    """Compared in constant time, whatever their lengths."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, wanted))
    return bool(wanted) and hmac.compare_digest(*digests)


def _too_many(wait: float) -> web.Response:
    headers = CORS | {"Retry-After": str(math.ceil(wait))}
    return web.Response(status=429, text="too many requests; wait a little", headers=headers)


def elsewhere(request: web.Request) -> bool:
    """Whether a page of another site asks: by its Origin, which is `null` in a sandbox. Other programs send none."""
    origin = request.headers.get("Origin")
    try:
        return origin is not None and urlsplit(origin).netloc != request.host
    except ValueError:
        return True
