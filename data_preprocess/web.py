"""A client of a public web service that asks at the rate that the service allows, with retries.

Made for PubChem, whose rules are the strictest: 5 requests a second, 400 a minute, 300 seconds of
running time a minute, and a header on every reply that says how close to the limits one is
(https://pubchem.ncbi.nlm.nih.gov/docs/dynamic-request-throttling). What went wrong is told by the
fault's code, since the status is not to be trusted: "busy" comes as 503, as another status, or as a
web page, and "not found" is an answer.
"""

from __future__ import annotations

import argparse
import email.utils
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from data_preprocess.closing import Closing
from eyesmol import __version__
from eyesmol.exceptions import InputError, ServerError

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "Listed",
    "NotFound",
    "Pace",
    "RateLimit",
    "Refused",
    "ServiceError",
    "Unavailable",
    "Web",
    "add_rate_limit",
    "rate_limit_of",
    "retry_after",
    "worst_status",
]

T = TypeVar("T")
J = TypeVar("J")


@dataclass(frozen=True)
class RateLimit:
    """How often to ask, and how often again.

    Attributes:
        per_second, per_minute: requests.
        in_flight: requests at once; 5 for a minute are the 300 seconds of running time.
        timeout: seconds without a byte.
        attempts: for one request.
        backoff: seconds before the second attempt; doubled for each further one, up to a minute's
            worth (60 times this), plus jitter.
        rest: seconds without a request when the service says Red; six times that at Black.
    """

    per_second: float = 5
    per_minute: float = 400
    in_flight: int = 5
    timeout: float = 60
    attempts: int = 8
    backoff: float = 1
    rest: float = 10

    def __post_init__(self) -> None:
        rates = self.per_second, self.per_minute, self.timeout
        if min(rates) <= 0 or min(self.in_flight, self.attempts) < 1 or self.backoff < 0:
            raise InputError(
                "--per-second, --per-minute and --timeout must be above 0, --in-flight and "
                "--attempts at least 1, --backoff at least 0"
            )


def add_rate_limit(parser: argparse.ArgumentParser, base_url: str) -> None:
    """Add the options about the service to a parser."""
    limit = RateLimit()
    group = parser.add_argument_group("the service")
    group.add_argument(
        "--base-url", default=base_url, metavar="URL", help=f"or a mirror's ({base_url})"
    )
    for name, meaning in (
        ("per-second", "requests a second"),
        ("per-minute", "requests a minute"),
        ("in-flight", "requests at once; 5 keep to 300 seconds of running time a minute"),
        ("timeout", "seconds to wait for a reply"),
        ("attempts", "for each request, when the service is busy or the line breaks"),
        ("backoff", "seconds before the second attempt, then twice as many, and so on"),
        ("rest", "seconds without a request when the service says Red; six times that at Black"),
    ):
        default = getattr(limit, name.replace("-", "_"))
        group.add_argument(
            f"--{name}",
            type=type(default) if name in ("in-flight", "attempts") else float,
            default=default,
            metavar="N",
            help=f"{meaning} ({default})",
        )


def rate_limit_of(options: argparse.Namespace) -> RateLimit:
    """The parsed options of `add_rate_limit`."""
    return RateLimit(**{name: getattr(options, name) for name in RateLimit.__dataclass_fields__})


# ---- pace ----

_STATUSES = ("green", "yellow", "red", "black")
_STATUS = re.compile(r"\bstatus\s*:\s*(" + "|".join(_STATUSES) + r")\b", re.IGNORECASE)
_SLOWER = {"green": 1.0, "yellow": 2.0, "red": 4.0, "black": 4.0}
_LONGEST_REST = 900.0  # seconds; a service that needs more says so again


def worst_status(header: str) -> str | None:
    """The worst of the statuses in an ``X-Throttling-Control`` header, in lower case.

    >>> worst_status("Request Count status: Green (0%), Service status: Yellow (60%)")
    'yellow'
    """
    found = [status.lower() for status in _STATUS.findall(header)]
    return max(found, key=_STATUSES.index, default=None)


def retry_after(header: str, now: float | None = None) -> float | None:
    """Seconds to wait, as a ``Retry-After`` header says: a number or a date.

    Args:
        header: its value.
        now: seconds since the epoch; for dates.
    """
    if re.fullmatch(r"\d{1,9}(\.\d+)?", header.strip(), re.ASCII):
        seconds = float(header)
    else:
        try:
            date = email.utils.parsedate_to_datetime(header).timestamp()
        except (TypeError, ValueError, OverflowError):
            return None
        seconds = date - (time.time() if now is None else now)
    return max(seconds, 0.0)


class Stopped(Exception):
    """The client was closed while a request waited for its turn."""


class Pace:
    """When the next request may go out: the service's two windows, and what it says of its load.

    Args:
        limit: the limits.
        stop: set, it wakes and ends all that wait.
        say: is told of long rests.
    """

    def __init__(
        self, limit: RateLimit, stop: threading.Event, say: Callable[[str], None] = print
    ) -> None:
        self._limit, self._stop, self._say = limit, stop, say
        self._windows = [_window(limit.per_second, 1.0), _window(limit.per_minute, 60.0)]
        self._sent: deque[float] = deque(maxlen=max(count for count, _ in self._windows))
        self._rest_until = 0.0
        self._slower = 1.0
        self._turn = threading.Lock()  # held by the request that is next, until it goes out
        self._load = threading.Lock()

    def wait_turn(self) -> None:
        """Return when one more request may go out.

        Raises:
            Stopped: the client was closed.
        """
        with self._turn:
            while not self._stop.is_set():
                delay = self._free_at() - time.monotonic()
                if delay <= 0:
                    self._sent.append(time.monotonic())
                    return
                self._stop.wait(delay)
            raise Stopped

    def _free_at(self) -> float:
        at = self._rest_until
        for count, seconds in self._windows:
            if len(self._sent) >= count:
                at = max(at, self._sent[-count] + seconds * self._slower)
        return at

    def apply_headers(self, throttling: str, after: str) -> None:
        """Take in the headers ``X-Throttling-Control`` and ``Retry-After`` of a reply."""
        if (seconds := retry_after(after) if after else None) is not None:
            self.rest(min(seconds, _LONGEST_REST), f"Retry-After: {after}")
        status = worst_status(throttling)
        if status is None:
            return
        self._slower = _SLOWER[status]
        if status in ("red", "black"):
            self.rest(self._limit.rest * (6 if status == "black" else 1), throttling)

    def rest(self, seconds: float, why: str) -> None:
        """No request for so long."""
        with self._load:
            until = time.monotonic() + seconds
            if until > self._rest_until + 5:
                self._say(f"the service asks for a rest of {seconds:.0f} s ({why})")
            self._rest_until = max(self._rest_until, until)


def _window(rate: float, seconds: float) -> tuple[int, float]:
    """A whole number of requests, and the seconds in which no more may go out."""
    count = max(1, int(rate))
    return count, seconds * count / rate


# ---- what comes back ----


class NotFound(Exception):
    """The service has no such thing: an answer."""


class Unavailable(Exception):
    """No attempt brought an answer; the message is a short reason."""


class Refused(Unavailable):
    """The service says that it will not answer this question: no use in attempts."""


class Listed(Unavailable):
    """The answer will lie under this list key later; asking again would begin again."""


class ServiceError(ServerError):
    """One question after the other finds no answer: there is no point in asking more now."""


class _Passing(Exception):
    """What may be gone at the next attempt."""


class _Busy(_Passing):
    """The service is asked too much, by all requests together."""


_CODE = re.compile(rb"(?:\"Code\"\s*:\s*\"|<Code>|^Code:\s*)(PUG\w*\.\w+)", re.MULTILINE)
_PASSING = frozenset({"Timeout", "ServerError", "Unknown"})
_FAULT_WITHIN = 2_000  # bytes: faults come first and are short, data may say what it likes


def _sort(response: httpx2.Response, *, faults: bool) -> bytes:
    """The body of a reply that is an answer; the exception that fits any other."""
    body, status = response.content, response.status_code
    if fault := _CODE.search(body[:_FAULT_WITHIN]):
        code = fault.group(1).decode()
        kind = code.rpartition(".")[2]
        if kind == "NotFound":
            raise NotFound(f"not found ({code})")
        if kind == "ServerBusy":
            raise _Busy(code)
        if kind in _PASSING:
            raise _Passing(code)
        raise Refused(f"refused ({code})")
    if status == 202 or body.lstrip()[:12].startswith(b'{"Waiting"'):
        raise Listed(_list_key(body))
    if _is_page(response):
        raise _Busy(f"a web page with status {status}")
    if status < 400:
        return body
    if status in (429, 503):
        raise _Busy(f"status {status}")
    if faults or status >= 500 or status in (408, 425):
        raise _Passing(f"status {status}")
    if status == 404:
        raise NotFound("not found (status 404)")
    raise Refused(f"refused (status {status})")


def _list_key(body: bytes) -> str:
    try:
        key = str(json.loads(body)["Waiting"]["ListKey"])
    except (ValueError, KeyError, TypeError):
        raise _Passing("202 without a list key") from None
    if not re.fullmatch(r"\w+", key, re.ASCII):
        raise _Passing("a list key that is none")
    return key


def _is_page(response: httpx2.Response) -> bool:
    head = response.content[:200].lstrip().lower()
    return head.startswith((b"<!doctype html", b"<html")) or response.headers.get(
        "content-type", ""
    ).startswith("text/html")


# ---- the client ----


class Web(Closing):
    """Asks one service, over and over if need be, from a few threads at once.

    Args:
        base_url: what stands before every path.
        limit: how to ask.
        faults: the service says what went wrong by PubChem's faults. Then a status of 400 and above
            without one comes from something else on the way, and is no answer.
        say: is told of long rests.

    Raises:
        InputError: no URL, or httpx2 is not installed.
    """

    def __init__(
        self,
        base_url: str,
        limit: RateLimit,
        *,
        faults: bool = True,
        say: Callable[[str], None] = print,
    ) -> None:
        try:
            import httpx2
            import tenacity
        except ImportError as error:
            raise InputError(
                f"{error.name} is not installed; it comes with: pip install -e '.[data]'"
            ) from None
        if not re.fullmatch(r"https?://([\w.-]+|\[[\da-fA-F:]+\])(:\d+)?(/\S*)?", base_url):
            raise InputError(f"--base-url {base_url}: expected http://... or https://...")
        self.base_url = base_url.rstrip("/")
        self.limit = limit
        self._faults = faults
        self._stop = threading.Event()
        self._pace = Pace(limit, self._stop, say)
        self._client = httpx2.Client(
            headers={"User-Agent": f"EyesMol/{__version__}"},
            timeout=limit.timeout,
            limits=httpx2.Limits(max_connections=limit.in_flight),
            follow_redirects=True,
        )
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(limit.attempts),
            wait=tenacity.wait_exponential_jitter(
                initial=limit.backoff, max=60 * limit.backoff, jitter=limit.backoff
            ),
            sleep=tenacity.nap.sleep_using_event(self._stop),
            reraise=True,
        )

    def close(self) -> None:
        """End what waits, and the connections."""
        self._stop.set()
        self._client.close()

    def ask(self, method: str, path: str, read: Callable[[bytes], T], **request: Any) -> T:
        """One question, asked until there is an answer.

        Args:
            method: ``GET`` or ``POST``.
            path: behind the base URL, with the query.
            read: turns the body into what is returned; its ValueError, KeyError or TypeError means
                that the body is not whole, or of another form, and leads to another attempt.
            request: `data` or `json` of httpx2.

        Raises:
            NotFound: the service's answer.
            Unavailable: no attempt brought one; `Refused` and `Listed` say more.
        """
        try:
            return self._retrying.copy()(self._once, method, path, read, request)
        except _Passing as error:
            raise Unavailable(str(error)) from None

    def follow(self, path: str, read: Callable[[bytes], T]) -> T:
        """Ask for a listed answer until it is there; raises as `ask`, save `Listed`."""

        def once() -> T:
            try:
                return self._once("GET", path, read, {})
            except Listed:
                raise _Passing("still waiting for a list") from None

        try:
            return self._retrying.copy()(once)
        except _Passing as error:
            raise Unavailable(str(error)) from None

    def _once(
        self, method: str, path: str, read: Callable[[bytes], T], request: dict[str, Any]
    ) -> T:
        import httpx2

        self._pace.wait_turn()
        try:
            response = self._client.request(method, self.base_url + path, **request)
        except httpx2.HTTPError as error:  # refused, reset, cut off, too slow
            raise _Passing(type(error).__name__) from None
        headers = response.headers
        self._pace.apply_headers(
            headers.get("x-throttling-control", ""), headers.get("retry-after", "")
        )
        try:
            body = _sort(response, faults=self._faults)
        except _Busy as busy:
            self._pace.rest(self.limit.backoff, str(busy))
            raise
        try:
            return read(body)
        except (ValueError, KeyError, TypeError):
            raise _Passing("an answer that is cut off or of another form") from None

    def gather(
        self, jobs: Iterable[J], ask: Callable[[J], T]
    ) -> Generator[tuple[J, T | Unavailable], None, None]:
        """Every job with its answer, as they come; a few are under way at once.

        Raises:
            ServiceError: one after the other found no answer.
        """
        pool = ThreadPoolExecutor(self.limit.in_flight)
        in_vain = 0
        try:
            for job, future in _as_done(pool, jobs, ask, 2 * self.limit.in_flight):
                try:
                    answer: T | Unavailable = future.result()
                    in_vain = 0
                except Unavailable as error:
                    answer = error
                    in_vain += 1
                yield job, answer
                if in_vain >= 2 * self.limit.in_flight:
                    raise ServiceError(
                        f"{self.base_url} does not answer ({answer}, {in_vain} requests of "
                        f"{self.limit.attempts} attempts in a row); what came is kept, and the "
                        "same command resumes from there. Is --base-url right?"
                    )
        except BaseException:
            self.close()  # wakes what waits, so that the pool can end
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _as_done(
    pool: ThreadPoolExecutor, jobs: Iterable[J], ask: Callable[[J], T], most: int
) -> Iterator[tuple[J, Future[T]]]:
    pending: dict[Future[T], J] = {}
    for job in jobs:
        pending[pool.submit(ask, job)] = job
        if len(pending) >= most:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            yield from ((pending.pop(future), future) for future in done)
    while pending:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        yield from ((pending.pop(future), future) for future in done)
