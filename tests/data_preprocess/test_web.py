"""The polite client: its pace, what it hears from the service, and how it sorts replies."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preprocess import web
from data_preprocess.web import (
    NotFound,
    Pace,
    RateLimit,
    Refused,
    Unavailable,
    Web,
    retry_after,
    worst_status,
)
from eyesmol.exceptions import InputError

STATUSES = ["Green", "Yellow", "Red", "Black"]
QUICK = RateLimit(per_second=1e5, per_minute=1e5, backoff=0.001, rest=0.01, attempts=3)


@given(
    st.lists(st.tuples(st.sampled_from(STATUSES), st.integers(0, 100)), min_size=1),
    st.sampled_from([str.upper, str.lower, str.title]),
)
def test_the_worst_status_of_a_header_counts(statuses: list[tuple[str, int]], case: Any) -> None:
    parts = [f"Request Count status: {case(status)} ({share}%)" for status, share in statuses]
    worst = max((status for status, _ in statuses), key=STATUSES.index)
    assert worst_status(", ".join(parts)) == worst.lower()


@given(st.text())
def test_any_header_can_be_read(text: str) -> None:
    assert worst_status(text) in (None, "green", "yellow", "red", "black")
    seconds = retry_after(text)
    assert seconds is None or seconds >= 0
    assert worst_status("too many requests per second or blacklisted") is None


@given(st.integers(0, 800), st.datetimes(datetime(2020, 1, 1), datetime(2037, 1, 1)))
def test_retry_after_is_a_number_or_a_date(seconds: int, date: datetime) -> None:
    date = date.replace(microsecond=0, tzinfo=UTC)
    assert retry_after(str(seconds)) == seconds
    before = date.timestamp() - seconds
    assert retry_after(format_datetime(date, usegmt=True), now=before) == seconds
    assert retry_after(format_datetime(date, usegmt=True), now=date.timestamp() + 5) == 0


class Clock(threading.Event):
    """A stop event whose waiting takes no time but moves the clock."""

    now = 1000.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(web, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def turns(pace: Pace, clock: Clock, count: int) -> list[float]:
    times = []
    for _ in range(count):
        pace.wait_turn()
        times.append(clock.now)
    return times


def test_both_limits_hold_where_the_minute_is_the_tighter(clock: Clock) -> None:
    times = turns(Pace(RateLimit(per_minute=100), clock), clock, 301)
    assert times[99] - times[0] == pytest.approx(19)
    assert times[-1] - times[0] == pytest.approx(180)


def test_neither_limit_is_broken_and_neither_is_wasted(clock: Clock) -> None:
    times = turns(Pace(RateLimit(), clock), clock, 1_201)
    for limit, seconds in ((5, 1), (400, 60)):
        gaps = [late - early for early, late in zip(times, times[limit:], strict=False)]
        assert min(gaps) >= seconds - 1e-6
    assert times[-1] - times[0] == pytest.approx(240)  # 5 a second are 300 a minute


def test_yellow_halves_the_pace_red_and_black_rest_green_ends_it(clock: Clock) -> None:
    said: list[str] = []
    pace = Pace(RateLimit(rest=10), clock, said.append)
    header = "Request Count status: Green (0%), Service status: {} (80%)"

    def seconds_for(count: int) -> float:
        clock.now += 60
        times = turns(pace, clock, count)
        return times[-1] - times[0]

    assert seconds_for(11) == pytest.approx(2)
    pace.apply_headers(header.format("Yellow"), "")
    assert seconds_for(11) == pytest.approx(4)
    for status, rest in (("Red", 10), ("Black", 60)):
        pace.apply_headers(header.format(status), "")
        assert turns(pace, clock, 1)[0] == pytest.approx(clock.now)
        pace.apply_headers(header.format(status), "")
        before = clock.now
        assert turns(pace, clock, 1)[0] - before == pytest.approx(rest)
    pace.apply_headers(header.format("Green"), "")
    assert seconds_for(11) == pytest.approx(2)
    pace.apply_headers("", "30")
    before = clock.now
    assert turns(pace, clock, 1)[0] - before == pytest.approx(30)
    pace.apply_headers("", "99999")  # one that asks for more says so again
    before = clock.now
    assert turns(pace, clock, 1)[0] - before == pytest.approx(900)
    assert any("Service status: Red" in line for line in said)


class OneReply:
    """What httpx2 would give."""

    def __init__(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.status_code, self.content = status, content
        self.headers = {"content-type": kind}


@pytest.mark.parametrize("status", [200, 400, 404, 503])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("PUGREST.NotFound", NotFound),
        ("PUGVIEW.NotFound", NotFound),
        ("PUGREST.BadRequest", Refused),
        ("PUGREST.NotAllowed", Refused),
        ("PUGREST.Unimplemented", Refused),
        ("PUGREST.ServerBusy", web._Passing),
        ("PUGREST.Timeout", web._Passing),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        '{{"Fault": {{"Code": "{}", "Message": "..."}}}}',
        '{{\n  "Fault": {{\n    "Message": "...",\n    "Code" : "{}"}}}}',
        "Status: 1\nCode: {}\nMessage: ...\n",
        '<?xml version="1.0"?><Fault xmlns="..."><Code>{}</Code></Fault>',
    ],
)
def test_a_fault_is_what_its_code_says_whatever_the_status(
    status: int, code: str, kind: type[Exception], form: str
) -> None:
    with pytest.raises(kind, match=code):
        web._sort(OneReply(status, form.format(code).encode()), faults=True)  # type: ignore[arg-type]


def test_without_faults_the_status_counts() -> None:
    for status, kind in ((404, NotFound), (400, Refused), (429, web._Passing), (500, web._Passing)):
        with pytest.raises(kind):
            web._sort(OneReply(status, b"{}"), faults=False)  # type: ignore[arg-type]
        with pytest.raises(web._Passing):
            web._sort(OneReply(status, b"{}"), faults=True)  # type: ignore[arg-type]
    body = b'{"text": "a compound, not a Code: PUGREST.NotFound"}'
    assert web._sort(OneReply(200, body), faults=True) == body  # type: ignore[arg-type]


def test_an_answer_of_another_form_is_tried_again_and_then_given_up(pubchem: Any) -> None:
    pubchem.compounds = {1: "C"}
    tries: list[bytes] = []

    def read(body: bytes) -> int:
        tries.append(body)
        raise KeyError("no such key")

    with Web(pubchem.url, QUICK) as client:
        with pytest.raises(Unavailable, match="another form"):
            client.ask("GET", "/pug/compound/cid/1/PNG", read)
        assert len(tries) == QUICK.attempts
        assert client.ask("GET", "/pug/compound/cid/1/PNG", len) > 0


def test_the_headers_of_every_reply_are_heeded(
    pubchem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[str] = []
    monkeypatch.setattr(Pace, "rest", lambda _, seconds, why: rests.append(f"{seconds} {why}"))
    pubchem.compounds, pubchem.faults = {1: "C"}, ["busy page", "red"]
    with Web(pubchem.url, QUICK) as client:
        for size in ("1", "2"):
            assert client.ask("GET", f"/pug/compound/cid/1/PNG?image_size={size}", len)
    assert any(rest.startswith("0.0 Retry-After: 0") for rest in rests)
    assert any(rest.startswith(f"{QUICK.backoff} a web page") for rest in rests)
    assert any(rest.startswith(f"{QUICK.rest} Request Count status") for rest in rests)


def test_nonsense_is_refused_before_it_is_asked() -> None:
    for url in ("pubchem.ncbi.nlm.nih.gov/rest", "ftp://ncbi.nlm.nih.gov", "http://[", "https://"):
        with pytest.raises(InputError, match="expected http"):
            Web(url, QUICK)
    with pytest.raises(InputError, match="at least 1"):
        RateLimit(attempts=0)
    with pytest.raises(InputError, match="above 0"):
        RateLimit(per_second=0)


def test_what_waits_ends_when_the_client_is_closed(pubchem: Any) -> None:
    pubchem.compounds = {1: "C"}
    slow = RateLimit(per_second=0.001, per_minute=1e5)
    with Web(pubchem.url, slow) as client:
        answers = client.gather(
            [1, 2, 3], lambda _: client.ask("GET", "/pug/compound/cid/1/PNG", len)
        )
        next(answers)
        answers.close()  # the others wait for a quarter of an hour otherwise
