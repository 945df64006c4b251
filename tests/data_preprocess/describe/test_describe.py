"""Descriptions by Gemini, from a real HTTP server that speaks its wire format with its faults."""

from __future__ import annotations

import base64
import datetime
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_preprocess.catalogue.compounds import COMPOUNDS, Compound
from data_preprocess.describe import BUDGET_SPENT, RequestOptions, Summary, describe, one_by_one
from data_preprocess.describe.budget import Budget, Tokens
from data_preprocess.describe.gemini import Gemini, SentImage
from data_preprocess.describe.journal import JOURNAL, Journal
from data_preprocess.describe.question import PROMPT
from data_preprocess.gemini_models import prices_of
from eyesmol.exceptions import InputError

KEY = "AIzaThisIsAKeyThatNobodyMaySee"
MODEL = "gemini-3.8-flash"
USAGE = {"promptTokenCount": 900, "candidatesTokenCount": 150, "thoughtsTokenCount": 100}
MAX_OUTPUT = 1_000


def _answer(number: int) -> dict[str, Any]:
    return {
        "description": f"Image {number}.",
        "rings": ["benzene"],
        "functional_groups": [],
        "labels": ["OMe", "R1"],
    }


def _reply(number: int, **candidate: Any) -> dict[str, Any]:
    content = {"parts": [{"text": json.dumps(_answer(number))}], "role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0, **candidate}],
        "usageMetadata": {**USAGE, "totalTokenCount": 1150, "newerThanTheSdk": 1},
        "modelVersion": f"{MODEL}-001",
        "responseId": "r",
    }


def _error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


_RETRY = "type.googleapis.com/google.rpc.RetryInfo"
_QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"


def _written(number: int, text: str) -> dict[str, Any]:
    return _reply(number, content={"parts": [{"text": text}], "role": "model"})


# What the service may say about an image: status and body.
_SAYS: dict[str, Callable[[int], tuple[int, Any]]] = {
    "ok": lambda n: (200, _reply(n)),
    "prompt blocked": lambda n: (
        200,
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 900}},
    ),
    "safety": lambda n: (200, _reply(n, finishReason="SAFETY", content={})),
    "new reason": lambda n: (200, _reply(n, finishReason="NEWER_THAN_THE_SDK", content={})),
    "max tokens": lambda n: (200, _reply(n, finishReason="MAX_TOKENS", content={"role": "model"})),
    "no text": lambda n: (200, _reply(n, content={"role": "model"})),
    "not json": lambda n: (200, _written(n, "Here is the description you asked for")),
    "wrong json": lambda n: (200, _written(n, '{"description": "", "rings": []}')),
    "quota": lambda n: (
        429,
        _error(429, "RESOURCE_EXHAUSTED", "slow", {"@type": _RETRY, "retryDelay": "0.25s"}),
    ),
    "daily quota": lambda n: (
        429,
        _error(
            429,
            "RESOURCE_EXHAUSTED",
            "enough for today",
            {"@type": _QUOTA, "violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]},
        ),
    ),
    "html": lambda n: (503, "<html>Service Unavailable</html>"),
    "refused": lambda n: (400, _error(400, "INVALID_ARGUMENT", "Unable to process input image")),
    "cut": lambda n: (200, '{"candidates": [{"content"'),
}


class Service(ThreadingHTTPServer):
    """Gemini's REST interface as far as `describe` uses it.

    An image's number is the red of its first pixel. `plan` says what to answer about a number, one
    entry a call, and ``ok`` after that.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.plan: dict[int, list[str]] = {}
        self.asked: list[int] = []
        self.settings: list[dict[str, Any]] = []
        self.held = threading.Event()  # a call that is never answered has come
        self.release = threading.Event()
        self.in_flight = 0
        self.peak = 0.0  # tokens, if all calls in flight had been the dearest
        self.dearest = 0
        self.uploads: dict[str, bytes] = {}
        self.jobs: list[dict[str, Any]] = []
        self.hold_jobs = False
        self.refuse_jobs = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def says(self, number: int) -> str:
        with self.lock:
            self.in_flight += 1
            billed = (len(self.asked) - self.in_flight + 1) * 1150
            self.peak = max(self.peak, billed + self.in_flight * self.dearest)
            self.asked.append(number)
            plan = self.plan.get(number)
            return plan.pop(0) if plan else "ok"

    def said(self) -> None:
        with self.lock:
            self.in_flight -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def log_message(self, *args: Any) -> None:
        pass

    def _send(self, status: int, body: Any, **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        body = self._body()
        key = self.headers.get("x-goog-api-key")
        if self.path.startswith("/upload-here/"):
            self._take_upload(body)
        elif key != KEY:
            wrong = _error(400, "INVALID_ARGUMENT", f"{key} is not valid", {"reason":
                           "API_KEY_INVALID"})  # fmt: skip
            self._send(400, wrong)
        elif self.path == f"/v1beta/models/{MODEL}:generateContent":
            self._generate(json.loads(body))
        elif self.path == "/upload/v1beta/files":
            assert self.headers["X-Goog-Upload-Command"] == "start"
            name = f"files/{len(self.server.uploads)}"
            self.server.uploads[name] = b""
            self._send(200, {}, X_Goog_Upload_URL=f"{self.server.url}/upload-here/{name}",
                       X_Goog_Upload_Status="active")  # fmt: skip
        elif self.path == f"/v1beta/models/{MODEL}:batchGenerateContent":
            self._begin_job(json.loads(body)["batch"])
        else:
            self._send(404, _error(404, "NOT_FOUND", f"{self.path} is not found"))

    def _generate(self, request: dict[str, Any]) -> None:
        number = _number_in(request)
        self.server.settings.append(request["generationConfig"])
        said = self.server.says(number)
        if said == "hold":
            self.server.held.set()
            self.server.release.wait()
            said = "drop"
        self.server.said()
        if said == "drop":
            self.close_connection = True
            self.connection.close()
            return
        self._send(*_SAYS[said](number))

    def _take_upload(self, body: bytes) -> None:
        name = self.path.removeprefix("/upload-here/")
        assert int(self.headers["X-Goog-Upload-Offset"]) == len(self.server.uploads[name])
        self.server.uploads[name] += body
        final = "finalize" in self.headers["X-Goog-Upload-Command"]
        file = {"file": {"name": name, "uri": f"{self.server.url}/v1beta/{name}"}}
        self._send(200, file, X_Goog_Upload_Status="final" if final else "active")

    def _begin_job(self, batch: dict[str, Any]) -> None:
        if self.server.refuse_jobs:
            self.server.refuse_jobs -= 1
            self._send(429, _error(429, "RESOURCE_EXHAUSTED", "too many tokens are enqueued"))
            return
        lines = self.server.uploads[batch["inputConfig"]["fileName"]].splitlines()
        requests = [json.loads(line) for line in lines]
        job = {"label": batch["displayName"], "requests": requests, "looks": 0}
        self.server.jobs.append(job)
        if self.server.hold_jobs:
            self.server.held.set()
            self.server.release.wait()
        self._send(200, self._job(len(self.server.jobs) - 1))

    def _job(self, number: int) -> dict[str, Any]:
        job = self.server.jobs[number]
        states = ["PENDING", "RUNNING", job.get("ends", "SUCCEEDED")]
        state = states[min(job["looks"], 2)]
        metadata = {"displayName": job["label"], "state": f"BATCH_STATE_{state}"}
        if state == "SUCCEEDED":
            metadata["output"] = {"responsesFile": f"files/replies-{number}"}
        return {"name": f"batches/{number}", "metadata": metadata}

    def do_GET(self) -> None:
        if match := re.fullmatch(r"/v1beta/batches/(\d+)", self.path):
            number = int(match[1])
            self.server.jobs[number]["looks"] += 1
            self._send(200, self._job(number))
        elif self.path.startswith("/v1beta/batches"):
            jobs = [self._job(number) for number in range(len(self.server.jobs))]
            self._send(200, {"operations": jobs})
        elif match := re.fullmatch(
            r"(?:/download)?/v1beta/files/replies-(\d+):download\?alt=media", self.path
        ):
            self._send(200, self._replies(self.server.jobs[int(match[1])]["requests"]))
        else:
            self._send(404, _error(404, "NOT_FOUND", self.path))

    def _replies(self, requests: list[dict[str, Any]]) -> str:
        """In another order, with a line that is no JSON and one that nobody asked for."""
        lines = ["{broken", json.dumps({"key": "999999", "response": _reply(0)})]
        for request in reversed(requests):
            number = _number_in(request["request"])
            status, body = _SAYS[self.server.says(number)](number)
            self.server.said()
            said = {"response": body} if status == 200 else {"error": {"code": 13, "message": "no"}}
            lines.append(json.dumps({"key": request["key"], **said}))
        return "\n".join(lines) + "\n"


def _number_in(request: dict[str, Any]) -> int:
    """The number of the image in a request; checks that the request is what the service takes."""
    image, words = request["contents"][0]["parts"]
    assert words == {"text": PROMPT}
    settings = request["generationConfig"]
    assert settings["responseMimeType"] == "application/json"
    assert settings["responseJsonSchema"]["required"] == list(_answer(0))
    assert settings["maxOutputTokens"] == MAX_OUTPUT
    inline = image["inlineData"]
    mime_type = inline.get("mimeType") or inline["mime_type"]
    # The service takes both alphabets of base64, and the SDK writes the one of URLs.
    data = base64.b64decode(inline["data"].replace("-", "+").replace("_", "/"))
    with Image.open(io.BytesIO(data)) as image:
        assert mime_type == Image.MIME[image.format or ""]
        red = image.convert("RGB").getpixel((0, 0))
    assert isinstance(red, tuple)
    return int(red[0])


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_GEMINI_BASE_URL", raising=False)
    monkeypatch.setattr(one_by_one, "_FIRST_PAUSE", 0.01)


def _catalogue(folder: Path, count: int, suffix: str = "png") -> Path:
    (folder / "images").mkdir(parents=True)
    with COMPOUNDS.writer(folder) as catalogue:
        catalogue.add(Compound("none", "test", "CC0-1.0"))
        for number in range(count):
            image = f"images/{number}.{suffix}"
            Image.new("RGB", (40, 30), (number, 255, 255)).save(folder / image)
            catalogue.add(Compound(f"a{number}", "test", "CC0-1.0", image=image))
    return folder


def _run(
    catalogue: Path, service: Service, budget: Budget | None = None, **request_options: Any
) -> Summary:
    gemini = Gemini(MODEL, max_output_tokens=MAX_OUTPUT, base_url=service.url)
    request_options = {"workers": 4, "poll": 0.01, **request_options}
    return describe(
        catalogue, gemini, budget or Budget(), RequestOptions(**request_options), progress=False
    )


def _described(catalogue: Path) -> dict[str, str]:
    """Id and first line of each description; checks the model that goes with it."""
    rows = [row for row in COMPOUNDS.read(catalogue) if row.visual_description]
    assert {row.visual_model for row in rows} <= {f"{MODEL}-001"}
    return {row.id: str(row.visual_description).split("\n")[0] for row in rows}


def _said(*numbers: int) -> dict[str, str]:
    return {f"a{number}": f"Image {number}." for number in numbers}


def _calls(catalogue: Path) -> Counter[tuple[str, str]]:
    """(image, outcome) of each call in the journal."""
    with closing(sqlite3.connect(catalogue / JOURNAL)) as base:
        return Counter(base.execute("SELECT picture, outcome FROM calls").fetchall())


def test_each_failure_ends_as_it_should(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = _catalogue(tmp_path / "c", 14)
    (catalogue / "images/9.png").write_bytes(b"no image")
    service.plan = {
        1: ["prompt blocked"],
        2: ["safety"],
        3: ["max tokens"],
        4: ["no text"],
        5: ["not json", "wrong json", "no text"],
        6: ["quota"],
        7: ["html"],
        8: ["drop"],
        10: ["refused"],
        11: ["new reason"],
        12: ["cut"],
        13: ["quota", "html", "not json", "drop"],
    }
    pauses: list[float] = []
    pause = one_by_one._Asking._pause

    def noted(self: Any, seconds: float) -> bool:
        pauses.append(seconds)
        return pause(self, seconds)

    monkeypatch.setattr(one_by_one._Asking, "_pause", noted)
    summary = _run(catalogue, service, workers=1)
    assert summary.stopped is None
    assert _described(catalogue) == _said(0, 4, 6, 7, 8, 12, 13)
    assert pauses.count(0.25) == 2  # what RetryInfo asks for
    assert {k: v["count"] for k, v in summary.passed.items()} == {
        "no image": 1,
        "unreadable image": 1,
    }
    failures = {
        "prompt blocked": 1,
        "output blocked": 2,
        "answer cut off at the token limit": 1,
        "answer is not the JSON asked for": 0,
        "no text in the answer": 1,
        "request refused": 1,
        "answered": 7,
    }
    assert Counter({k: v["count"] for k, v in summary.outcomes.items()}) == Counter(failures)
    assert "NEWER_THAN_THE_SDK" in str(_details(catalogue))
    # What was final is final, what was answered is answered, and the file stays as it is.
    asked, before = len(service.asked), (catalogue / COMPOUNDS.name).stat().st_mtime_ns
    again = _run(catalogue, service)
    assert len(service.asked) == asked
    assert again.passed.count("failed") == 6
    assert again.described == 7
    assert (catalogue / COMPOUNDS.name).stat().st_mtime_ns == before
    # Unless it is wished.
    _run(catalogue, service, retry_failed=True)
    assert _described(catalogue) == _said(*(n for n in range(14) if n != 9))
    assert len(service.asked) == asked + 6


def _details(catalogue: Path) -> list[str]:
    with closing(sqlite3.connect(catalogue / JOURNAL)) as base:
        return [row[0] for row in base.execute("SELECT detail FROM calls WHERE detail NOT NULL")]


def test_the_answer_is_kept_whole_and_other_columns_stay(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 3, "tif")
    file = catalogue / COMPOUNDS.name
    table = pq.read_table(file).drop_columns(["visual_model"])
    pq.write_table(table.append_column("mine", pa.array([[n, None] for n in range(4)])), file)
    _run(catalogue, service)
    written = pq.read_table(file)
    assert written.column("mine").to_pylist() == [[n, None] for n in range(4)]
    text = "Image 2.\nRings: benzene.\nLabels: OMe; R1."
    assert written.column("visual_description").to_pylist()[3] == text
    with closing(sqlite3.connect(catalogue / JOURNAL)) as base:
        row = base.execute(
            "SELECT answer, model, model_version, finish_reason, prompt_tokens, candidate_tokens, "
            "thought_tokens FROM calls WHERE picture = 'images/2.tif'"
        ).fetchone()
    assert json.loads(row[0]) == _answer(2)
    assert row[1:] == (MODEL, f"{MODEL}-001", "STOP", 900, 150, 100)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("calls", [0.9, 1, 3.5])
def test_the_budget_holds_with_calls_in_flight(
    service: Service, tmp_path: Path, batch: bool, calls: float
) -> None:
    catalogue = _catalogue(tmp_path / "c", 12)
    gemini = Gemini(MODEL, max_output_tokens=MAX_OUTPUT, base_url=service.url)
    estimate = gemini.estimate(SentImage("", b"", "image/png", (40, 30)))
    service.dearest = estimate.prompt + estimate.answer
    amount = int(calls * service.dearest)
    summary = _run(catalogue, service, Budget(amount), batch=batch)
    assert summary.stopped == BUDGET_SPENT
    billed = 1150 * len(service.asked)
    assert summary.spent == Tokens(900 * len(service.asked), 250 * len(service.asked))
    assert service.peak <= amount
    # And it is used up: one more call, at its dearest, would not fit.
    assert billed + service.dearest > amount >= billed
    assert len(_described(catalogue)) == len(service.asked)


def test_money_is_counted_by_its_prices() -> None:
    budget = Budget.read("5 USD", 0.30, 2.50)
    assert budget.cost(Tokens(2_000_000, 1_000_000)) == pytest.approx(3.10)
    assert budget.admits(Tokens(2_000_000, 1_000_000), Tokens(0, 760_000))
    assert not budget.admits(Tokens(2_000_000, 1_000_000), Tokens(0, 760_001))
    assert Budget.read("$5", 1, 1).amount == 5
    assert Budget.read("2.5M tok", None, None).amount == 2_500_000
    assert Budget.read("500 k tokens", None, None).amount == 500_000
    for text in ("5", "-5 USD", "much", "2M", "$5 USD"):
        with pytest.raises(InputError, match="expected tokens"):
            Budget.read(text, 1, 1)
    with pytest.raises(InputError, match="--price-in and --price-out"):
        Budget.read("5 USD", 0.3, None)


def test_known_prices_follow_the_model_the_day_and_the_way() -> None:
    before, after = datetime.date(2026, 12, 31), datetime.date(2027, 1, 1)
    for day, batch, wanted in (
        (before, False, (0.75, 3.75)),
        (after, False, (1.50, 7.50)),
        (after, True, (0.75, 3.75)),
    ):
        prices = prices_of("gemini-3.8-flash", day, batch=batch)
        assert prices is not None
        assert (prices.prompt, prices.answer) == wanted
        assert Budget.read("5 USD", None, None, prices).price_in == wanted[0]
    assert prices_of("gemini-unknown", before, batch=False) is None
    # One's own prices come first, and another currency has none.
    assert Budget.read("5 USD", 9.0, 9.0, prices).price_in == 9
    with pytest.raises(InputError, match="or in US dollars"):
        Budget.read("5 EUR", None, None, prices)


@pytest.mark.parametrize(
    ("model", "temperature", "thinking"),
    [
        ("gemini-3.8-flash", False, True),
        ("gemini-3.6-pro", False, True),
        ("gemini-3.5-flash", True, True),
        ("gemini-2.5-pro", True, False),
        ("my-own-model", False, True),
    ],
)
def test_a_model_gets_the_settings_that_it_takes(
    model: str, temperature: bool, thinking: bool, service: Service
) -> None:
    gemini = Gemini(model, max_output_tokens=9, thinking="minimal", base_url=service.url)
    image = SentImage("a", b"", "image/png", (8, 8))
    wire = json.loads(gemini.batch_line("1", image))["request"]["generationConfig"]
    assert ("temperature" in wire) is temperature
    assert wire.get("thinkingConfig") == ({"thinkingLevel": "MINIMAL"} if thinking else None)


def test_one_by_one_and_in_batches_the_same_settings_are_sent(
    service: Service, tmp_path: Path
) -> None:
    catalogue = _catalogue(tmp_path / "c", 1)
    _run(catalogue, service, workers=1)
    gemini = Gemini(MODEL, max_output_tokens=MAX_OUTPUT, base_url=service.url)
    image = SentImage("a", b"", "image/png", (8, 8))
    batch = json.loads(gemini.batch_line("1", image))["request"]["generationConfig"]
    # The SDK writes one name in its other case, which the service reads alike.
    thinking = service.settings[0].pop("thinkingConfig")
    assert thinking == {"thinking_level": batch.pop("thinkingConfig")["thinkingLevel"]}
    assert service.settings == [batch]


def test_a_used_up_quota_stops_with_what_is_done(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 6)
    service.plan = {4: ["daily quota"]}
    summary = _run(catalogue, service, workers=1)
    assert "the quota of the day" in str(summary.stopped)
    assert _described(catalogue) == _said(0, 1, 2, 3)
    service.plan = {4: ["quota"]}
    summary = _run(catalogue, service, workers=1, longest_wait=0.1)
    assert "over quota" in str(summary.stopped)
    assert _run(catalogue, service).stopped is None
    assert _described(catalogue) == _said(*range(6))


def test_a_service_that_is_down_stops_the_run(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 9)
    service.plan = {number: ["html"] * 50 for number in range(1, 9)}
    summary = _run(catalogue, service, workers=2)
    assert "server error, again and again" in str(summary.stopped)
    assert _described(catalogue) == _said(0)
    service.plan.clear()
    _run(catalogue, service)
    assert _described(catalogue) == _said(*range(9))


def test_one_run_at_a_time(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 1)
    with Journal(catalogue), pytest.raises(InputError, match="another `describe`"):
        _run(catalogue, service)
    assert not service.asked


def test_batch_replies_are_matched_by_their_keys(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 10)
    service.plan = {2: ["safety"], 5: ["html"], 7: ["not json"]}
    service.refuse_jobs = 2  # the queue is full at first
    summary = _run(catalogue, service, batch=True, job_size=4)
    assert [len(job["requests"]) for job in service.jobs] == [4, 4, 2]
    assert _described(catalogue) == _said(0, 1, 3, 4, 6, 8, 9)
    assert summary.outcomes.count("answered") == 7
    # What failed by chance goes into the next run's job, what is final does not.
    _run(catalogue, service, batch=True)
    assert len(service.jobs[3]["requests"]) == 2
    assert _described(catalogue) == _said(*(n for n in range(10) if n != 2))
    assert sorted(path.name for path in catalogue.iterdir()) == [COMPOUNDS.name, JOURNAL, "images"]


def test_a_failed_job_is_not_sent_again_at_once(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 3)
    service.hold_jobs = True
    starter = threading.Thread(target=_run, args=(catalogue, service), kwargs={"batch": True})
    starter.start()
    assert service.held.wait(30)
    service.jobs[0]["ends"] = "FAILED"
    service.hold_jobs = False
    service.release.set()
    starter.join()
    assert len(service.jobs) == 1
    assert _run(catalogue, service, batch=True).stopped is None
    assert _described(catalogue) == _said(0, 1, 2)


def _command(catalogue: Path, service: Service, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "data_preprocess", "describe", str(catalogue)),
        *("--base-url", service.url, "--max-output-tokens", str(MAX_OUTPUT), *more),
    ]


def _kill_when_held(command: list[str], service: Service) -> None:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        if not service.held.wait(60):
            process.kill()
            pytest.fail(f"the held call never came: {process.communicate()[1]}")
        time.sleep(0.1)  # the calls beside the held one get on
        os.kill(process.pid, signal.SIGKILL)
    service.release.set()


def test_killed_one_by_one_each_picture_is_answered_once(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 12)
    service.plan = {5: ["hold"]}
    _kill_when_held(_command(catalogue, service, "--workers", "2"), service)
    done = subprocess.run(_command(catalogue, service), capture_output=True, text=True, check=True)
    assert _described(catalogue) == _said(*range(12))
    asked = Counter(service.asked)
    lost = {p for p, outcome in _calls(catalogue) if "in flight" in outcome}
    # Only what was in flight is asked twice, and the user is told.
    assert set(asked) == set(range(12))
    assert {f"images/{n}.png" for n, count in asked.items() if count > 1} <= lost
    assert max(asked.values()) == asked[5] == 2
    assert 1 <= len(lost) <= 2
    assert f"{len(lost)}  calls were in flight" in done.stdout
    answered = [p for (p, outcome), n in _calls(catalogue).items() if outcome == "answered"]
    assert len(answered) == 12


def test_a_batch_job_that_was_sent_before_a_kill_is_found_again(
    service: Service, tmp_path: Path
) -> None:
    catalogue = _catalogue(tmp_path / "c", 6)
    service.hold_jobs = True
    batch = _command(catalogue, service, "--batch", "--poll", "0.01", "--job-size", "4")
    _kill_when_held(batch, service)
    service.hold_jobs = False
    # One by one, nothing of the job is asked.
    _run(catalogue, service)
    assert sorted(service.asked) == [4, 5]
    assert len(service.jobs) == 1
    done = subprocess.run(batch, capture_output=True, text=True, check=True)
    assert "6 rows described, 4 in this run" in done.stdout
    assert len(service.jobs) == len(service.uploads) == 1
    assert sorted(service.asked) == list(range(6))


def test_the_key_is_written_nowhere(service: Service, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "c", 3)
    wrong = "AIzaAnotherKeyThatTheServiceEchoes"
    done = subprocess.run(
        _command(catalogue, service),
        env={**os.environ, "GOOGLE_API_KEY": wrong},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "refuses the key" in done.stdout
    files = [path for path in catalogue.rglob("*") if path.is_file()]
    everything = (done.stdout + done.stderr).encode() + b"".join(p.read_bytes() for p in files)
    assert wrong.encode() not in everything
    # It is the key that failed, not the images.
    _run(catalogue, service)
    assert _described(catalogue) == _said(0, 1, 2)


def test_the_key_goes_only_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="expected https://"):
        Gemini(MODEL, max_output_tokens=1, base_url="http://example.org")
    monkeypatch.setenv("GOOGLE_API_KEY", "key\nX-Header: é")
    with pytest.raises(InputError) as error:
        Gemini(MODEL, max_output_tokens=1)
    assert "key\n" not in str(error.value)
    monkeypatch.delenv("GOOGLE_API_KEY")
    with pytest.raises(InputError, match="set GOOGLE_API_KEY or GEMINI_API_KEY"):
        Gemini(MODEL, max_output_tokens=1)
