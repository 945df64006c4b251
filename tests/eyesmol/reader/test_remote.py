"""A model behind a server reads as the same model here, whatever the server does in between.

The server is a real one on the loopback, with vLLM's wire format; the tiny model answers in it.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from eyesmol.answer.grammar import AnswerGrammar, answer_pattern
from eyesmol.answer.text import AnswerForm, prompt, read_answer, write_answer
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.cli.main import main
from eyesmol.image.loading import Source
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.base import RecognizerError
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.remote import Patience, RemoteRecognizer
from nano.model import create_nano

FRAME = PixelFrame(56 * 56, 168 * 168)
QUICK = Patience(timeout=20, attempts=4, first_wait=0.01, longest_wait=0.02)
KEY = "sk-do-not-tell"
ANSWER = "10 10 C\n50 50 O -0\nsmiles CO"

Reply = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """vLLM as far as a client sees it: ``/v1/models`` and ``/v1/chat/completions``.

    Attributes:
        answer: gives an answer's text and its tokens with their log-probabilities.
        fault: looks at each request's number and body; a reply of its own stands for the answer,
            and None lets it pass.
        card: of the model.
        seen: bodies of the requests, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.answer: Callable[[Image.Image, dict[str, Any]], tuple[str, Any]] = canned
        self.fault: Callable[[int, dict[str, Any]], Reply | None] = lambda *_: None
        self.card: dict[str, Any] = {"id": "tiny", "owned_by": "vllm", "max_model_len": 8192}
        self.key = ""
        self.alive = True
        self.shrinks = False
        self.seen: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self.server.alive:
            self._send(503, {}, b"<html>down for maintenance</html>")
        elif self._may() and self.path == "/v1/models":
            self._send_json(200, {"object": "list", "data": [self.server.card]})
        elif self._may():
            self._send_json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._may():
            return
        if self.path != "/v1/chat/completions":
            self._send_json(404, {"detail": "Not Found"})
            return
        with self.server.lock:
            number = len(self.server.seen)
            self.server.seen.append(body)
        if (reply := self.server.fault(number, body)) is not None:
            if reply[0] == 0:  # the connection breaks
                self.close_connection = True
                return
            self._send(*reply)
            return
        self._send_json(200, completion(body, self.server))

    def _may(self) -> bool:
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            given = self.headers["Authorization"]
            self._send_json(401, {"error": {"message": f"Incorrect API key: {given}"}})
            return False
        return True

    def _send_json(self, status: int, value: Any) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def shown(body: dict[str, Any]) -> Image.Image:
    """The picture of a request."""
    picture, words = body["messages"][0]["content"]
    assert words["type"] == "text"
    kind, _, data = picture["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def completion(body: dict[str, Any], server: Server) -> dict[str, Any]:
    image = shown(body)
    text, tokens = server.answer(image, body)
    width, height = image.size[0] // (2 if server.shrinks else 1), image.size[1]
    return {
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": {"content": tokens} if body.get("logprobs") else None,
            "finish_reason": "stop" if tokens[-1]["token"] == "<|im_end|>" else "length",
        }],
        "usage": {"prompt_tokens": 9 + width * height // 28**2},
    }  # fmt: skip


def token(text: str, value: float) -> dict[str, Any]:
    return {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}


def canned(image: Image.Image, body: dict[str, Any]) -> tuple[str, Any]:
    """An answer that names the picture's size, a token a letter."""
    text = ANSWER.replace("50 50", "{} {}".format(*image.size))
    return text, [*(token(letter, -0.01) for letter in text), token("<|im_end|>", -0.1)]


def by(reader: LocalRecognizer) -> Callable[[Image.Image, dict[str, Any]], tuple[str, Any]]:
    """Answers of the model, one at a time."""
    alone = threading.Lock()

    def answer(image: Image.Image, body: dict[str, Any]) -> tuple[str, Any]:
        assert image.size == reader.frame.size(*image.size), "nothing is left to resize"
        assert image.mode == "RGB"
        assert body["messages"][0]["content"][1]["text"] == prompt(reader.form)
        assert (body["temperature"], body["repetition_penalty"]) == (0, 1)
        with alone:
            [found] = reader._decode([image], body["max_tokens"], "structured_outputs" in body)
        assert found.trace is not None
        ends, sums = found.trace._ends, found.trace._sums
        pieces = [found.text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        logs = [b - a for a, b in itertools.pairwise(sums)]
        tokens = [token(*pair) for pair in zip(pieces, logs, strict=True)]
        if not found.problems:
            tokens[-1] = token("<|im_end|>", logs[-1])
        return found.text, tokens

    return answer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = create_nano(tmp_path_factory.mktemp("nano"), seed=1, width=32, layers=2, frame=FRAME)
    info = {"pixel_frame": FRAME.to_dict(), "answer_form": "compact"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("EYESMOL_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as found:
        yield found
        found.shutdown()


def remote(server: Server, model: Path, **options: Any) -> RemoteRecognizer:
    return RemoteRecognizer.connect(
        server.url, folder=model, **{"patience": QUICK, "concurrency": 4, **options}
    )


def picture(width: int, height: int, stroke: int = 3) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line([5, 5, width - 9, height - 5], fill="black", width=stroke)
    return image


PICTURES = [picture(100, 100), picture(300, 120, 5), picture(60, 200), picture(30, 30, 1)]


@pytest.mark.parametrize(("grammar", "looks"), [(True, 1), (False, 1), (True, 3)])
def test_a_server_reads_as_the_model_here(
    server: Server, model: Path, grammar: bool, looks: int
) -> None:
    local = LocalRecognizer.from_folder(model, options=ReadOptions(views=looks))
    server.answer = by(local)
    options: dict[str, Any] = {"max_new_tokens": 100, "grammar": grammar}
    here = list(local.recognize(PICTURES, batch_size=1, **options))
    there = list(remote(server, model, looks=looks).recognize(PICTURES, **options))
    assert len({result.answer for result in here}) > 1
    for one, other in zip(here, there, strict=True):
        assert (one.answer, one.smiles, one.image) == (other.answer, other.smiles, other.image)
        assert one.graph == other.graph
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
        assert one.atom_confidence == pytest.approx(other.atom_confidence, rel=1e-3)
        assert one.bond_confidence == pytest.approx(other.bond_confidence, rel=1e-3)
    assert all(("structured_outputs" in body) == grammar for body in server.seen)


def test_results_come_in_order_and_few_pictures_are_held(server: Server, model: Path) -> None:
    chance = random.Random(0)

    def late(image: Image.Image, body: dict[str, Any]) -> tuple[str, Any]:
        time.sleep(chance.random() / 50)
        return canned(image, body)

    server.answer = late
    taken = given = 0
    sizes = [(60 + n, 60 + n % 7) for n in range(80)]

    def pictures() -> Iterator[Image.Image]:
        nonlocal taken
        for size in sizes:
            taken += 1
            assert taken - given <= 4 * 2 + 1, "back-pressure"
            yield picture(*size)

    for number, result in enumerate(remote(server, model).recognize(pictures())):
        given += 1
        assert result.image == f"image {number}"
        assert result.size == sizes[number]
        assert result.graph is not None
        assert (result.graph.atoms[1].x, result.graph.atoms[1].y) == pytest.approx(sizes[number])
    assert given == len(sizes)


def busy_for(moments: float) -> Callable[[int, dict[str, Any]], Reply | None]:
    """Refuse so long, from the first request on: a machine with much to do may be late with it."""
    begun: list[float] = []

    def refuse(*_: Any) -> Reply | None:
        begun[:] = begun or [time.monotonic()]
        is_busy = time.monotonic() - begun[0] < moments
        return (429, {"Retry-After": "0.2"}, b"busy") if is_busy else None

    return refuse


FAULTS: dict[str, Callable[[int, dict[str, Any]], Reply | None]] = {
    "broken connection": lambda n, _: (0, {}, b"") if n % 3 == 0 else None,
    "500 of a proxy": lambda n, _: (502, {}, b"<html>Bad Gateway</html>") if n % 3 == 0 else None,
    "no JSON": lambda n, _: (200, {}, b"<html>Sign in</html>") if n % 3 == 0 else None,
    "other JSON": lambda n, _: (200, {}, b'{"choices": []}') if n % 3 == 0 else None,
}


@pytest.mark.parametrize("name", [*FAULTS, "429"])
def test_what_fails_for_now_is_asked_again(server: Server, model: Path, name: str) -> None:
    server.fault = FAULTS.get(name) or busy_for(0.3)
    results = list(remote(server, model, concurrency=1).recognize(PICTURES))
    assert [result.error for result in results] == [None] * 4
    assert {result.smiles for result in results} == {"CO"}
    assert len(server.seen) > len(PICTURES)


def test_what_fails_for_good_is_one_row(server: Server, model: Path, tmp_path: Path) -> None:
    def refuse(number: int, body: dict[str, Any]) -> Reply | None:
        width, height = shown(body).size
        if width > height:
            return 400, {}, json.dumps({"error": {"message": "image too wide"}}).encode()
        return (500, {}, b"worker died") if width < height else None

    server.fault = refuse
    (tmp_path / "broken.png").write_bytes(b"no picture")
    sources: list[Source] = [
        *PICTURES,
        tmp_path / "broken.png",
        Image.new("RGB", (90, 90), "white"),
    ]
    results = list(remote(server, model).recognize(sources))
    assert [result.smiles for result in results] == ["CO", None, None, "CO", None, None]
    errors = [result.error for result in results]
    assert errors[1] is not None
    assert "image too wide" in errors[1]
    assert "after 4 attempts: 500 Internal Server Error: worker died" in (errors[2] or "")
    assert "cannot be read" in (errors[4] or "")
    assert (results[5].reason or "").startswith("no molecule")
    assert len(server.seen) == 2 + 1 + 4, "neither a bad nor a blank picture travels"


def test_a_server_that_goes_away_ends_the_run(server: Server, model: Path) -> None:
    """It is gone at the third picture, in whatever order the pictures come to be opened."""
    list(remote(server, model, concurrency=1).recognize([PICTURES[2]]))
    third = shown(server.seen[0]).tobytes()

    def vanish(number: int, body: dict[str, Any]) -> Reply | None:
        server.alive = shown(body).tobytes() != third
        return None if server.alive else (503, {}, b"")

    server.fault = vanish
    results = remote(server, model, concurrency=1).recognize(PICTURES[:3])
    assert [next(results).smiles, next(results).smiles] == ["CO", "CO"]
    with pytest.raises(RecognizerError, match="does not answer any more"):
        next(results)
    server.alive, server.fault = True, lambda *_: (429, {}, b"quota")
    with pytest.raises(RecognizerError, match="too busy, after 4 attempts"):
        list(remote(server, model).recognize(PICTURES))


def test_parts_that_a_server_does_not_know_are_left_out(server: Server, model: Path) -> None:
    def refuse(number: int, body: dict[str, Any]) -> Reply | None:
        for part in ("structured_outputs", "logprobs"):
            if part in body:
                message = json.dumps({"error": {"message": f"unknown parameter {part}"}})
                return 400, {}, message.encode()
        return None

    server.fault = refuse
    refused = pytest.warns(UserWarning, match="refuses")
    with refused, pytest.warns(UserWarning, match="no confidences"):
        results = list(remote(server, model, concurrency=1).recognize(PICTURES))
    assert [(r.smiles, r.confidence, r.atom_confidence) for r in results] == [("CO", None, ())] * 4
    assert len(server.seen) == 2 + len(PICTURES), "they are not sent again"


def test_other_servers_get_plain_requests(server: Server, model: Path) -> None:
    server.card = {"id": "tiny", "owned_by": "me"}
    [result] = remote(server, model).recognize(PICTURES[:1])
    assert result.smiles == "CO"
    assert not server.seen[0].keys() & {"structured_outputs", "repetition_penalty"}


def test_a_server_that_resizes_or_ignores_the_grammar_is_noticed(
    server: Server, model: Path
) -> None:
    server.shrinks = True
    with pytest.warns(UserWarning, match="resizes images again"):
        list(
            remote(server, model).recognize([picture(100, 100), picture(60, 200), picture(56, 56)])
        )
    server.shrinks = False
    server.answer = lambda *_: (
        "I see ethanol.",
        [token("I see ethanol.", -1), token("<|im_end|>", 0)],
    )
    with pytest.warns(UserWarning, match="does not heed the grammar"):
        [result] = remote(server, model).recognize(PICTURES[:1])
    assert result.smiles is None
    assert result.problems


def test_tokens_that_do_not_fit_give_no_confidence(server: Server, model: Path) -> None:
    for tokens in ([token("else", -1)], [{"token": "x"}], [{"token": 3, "logprob": None}]):
        server.answer = lambda *_, tokens=tokens: (ANSWER, tokens)
        with pytest.warns(UserWarning, match="no confidences"):
            [result] = remote(server, model).recognize(PICTURES[:1])
        assert (result.smiles, result.confidence) == ("CO", None)


def test_the_frame_is_found_or_asked_for(server: Server, model: Path) -> None:
    with pytest.raises(RecognizerError, match="--frame-from"):
        RemoteRecognizer.connect(server.url)
    named = RemoteRecognizer.connect(server.url, form="json", frame=PixelFrame(3136, 3136))
    assert (named.form, named.frame, named.model) == ("json", PixelFrame(3136, 3136), "tiny")
    server.card["root"] = str(model)
    served = RemoteRecognizer.connect(server.url)
    assert (served.form, served.frame) == ("compact", FRAME)
    with pytest.raises(RecognizerError, match=r"no model 'huge'; found: tiny"):
        RemoteRecognizer.connect(server.url, "huge")
    with pytest.raises(RecognizerError, match=r"usually ends in /v1"):
        RemoteRecognizer.connect(server.url.removesuffix("/v1"), "tiny", folder=model).recognize(
            PICTURES
        ).__next__()


def test_the_key_is_sent_and_never_shown(
    server: Server, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.key = "another"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = ["recognize", "a.png", "--server", server.url, "--frame-from", str(model)]
    assert main(options) == 2
    said = capsys.readouterr().err
    assert "EYESMOL_API_KEY" in said
    assert KEY not in said
    server.key = KEY
    assert [r.smiles for r in remote(server, model).recognize(PICTURES[:1])] == ["CO"]
    with pytest.raises(RecognizerError) as caught:
        RemoteRecognizer.connect(f"http://me:{KEY}@127.0.0.1:1/v1")
    assert KEY not in str(caught.value)


def test_a_server_that_is_down_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "a.png", "--server", "http://127.0.0.1:9/v1"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "http://127.0.0.1:9/v1: no server answers there" in line


def test_a_killed_run_goes_on_where_it_was(server: Server, model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in range(12):
        picture(60 + number, 60).save(folder / f"{number:02}.png")
    command = [sys.executable, "-m", "eyesmol", "recognize", str(folder), "--server", server.url,
               "--frame-from", str(model), "--out", str(out), "--concurrency", "2"]  # fmt: skip
    gate = threading.Event()

    def hold(image: Image.Image, body: dict[str, Any]) -> tuple[str, Any]:
        if len(server.seen) > 6:
            gate.wait(60)
        return canned(image, body)

    server.answer = hold
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    journal = tmp_path / "out.jsonl.part"
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 4):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    gate.set()
    kept = journal.read_bytes().count(b"\n") - 1
    before = len(server.seen)
    assert main(command[3:]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [f"{n:02}.png" for n in range(12)]
    assert [row["smiles"] for row in rows] == ["CO"] * 12
    assert len(server.seen) - before == 12 - kept


# ---- the grammar as a regular expression ----


@pytest.mark.parametrize("form", get_args(AnswerForm))
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_pattern_holds_all_that_the_grammar_allows(form: AnswerForm, seed: int) -> None:
    """A random walk through the grammar, closed at a random place, matches."""
    chance = random.Random(seed)
    grammar = AnswerGrammar(form, 999, 999)
    state, text = grammar.start, b""
    for _ in range(chance.randrange(120)):
        after = {byte: found for byte in range(256) if (found := grammar.step(state, byte))}
        if not after:
            break
        byte = chance.choice(list(after))
        state, text = after[byte], text + bytes([byte])
    text += grammar.closing(state)
    assert re.fullmatch(answer_pattern(form), text.decode()), text


@pytest.mark.parametrize("form", get_args(AnswerForm))
def test_the_pattern_holds_little_else(form: AnswerForm) -> None:
    text = write_answer(graph_from_smiles("C/C=C/[OH2+]").transformed(20, 90, 90), "CC", form)
    assert re.fullmatch(answer_pattern(form), text)
    assert read_answer(text).problems == ()
    for wrong in (text[:-1] + "\n", text[5:], text + " ", text.replace("smiles", "SMILES"), ""):
        assert not re.fullmatch(answer_pattern(form), wrong)
