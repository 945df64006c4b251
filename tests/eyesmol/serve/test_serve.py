"""A real server over a tiny model with random weights: real requests, a real browser."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from eyesmol import __version__
from eyesmol.cli.main import main
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.local import LocalRecognizer
from eyesmol.recognition import Recognition
from nano.model import create_nano

pytest.importorskip("gradio", reason="the page needs the extra `serve`")
pytest.importorskip("fastapi_offline", reason="the API's page needs the extra `serve`")
httpx = pytest.importorskip("httpx")

MOST = 24  # tokens of an answer: it is noise anyway
LIMITS = {"megabytes": 1, "pages": 4, "megapixels": 1}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> LocalRecognizer:
    frame = PixelFrame(56 * 56, 168 * 168)
    folder = create_nano(tmp_path_factory.mktemp("nano"), width=32, layers=1, frame=frame)
    return LocalRecognizer.from_folder(folder)


@pytest.fixture(scope="module")
def server(reader: LocalRecognizer) -> Iterator[str]:
    """Address of a running server."""
    import uvicorn

    from eyesmol.cli.serve import _listening
    from eyesmol.serve.server import running_app
    from eyesmol.serve.uploads import Limits

    listening = _listening("127.0.0.1", 0)
    with running_app(reader, "tiny", limits=Limits(**LIMITS), max_new_tokens=MOST) as app:
        running = uvicorn.Server(
            uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        running.should_exit = True
        thread.join()


def drawing(number: int = 0) -> Image.Image:
    """A zigzag that differs with its number."""
    image = Image.new("RGB", (150 + 10 * number, 120), "white")
    points = [(15 + 20 * k, 30 + 50 * (k % 2)) for k in range(4 + number % 3)]
    ImageDraw.Draw(image).line(points, fill="black", width=3)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def ask(server: str, *files: tuple[str, bytes], **fields: str) -> Any:
    sent = [("files", file) for file in files]
    return httpx.post(f"{server}/api/recognize", files=sent, data=fields, timeout=120)


def told(answer: Any) -> str:
    """The error of an answer, which must hold nothing of the server."""
    assert answer.headers["content-type"] == "application/json"
    for secret in ("Traceback", "/tmp", str(Path.home()), os.path.sep + "eyesmol", "0x"):
        assert secret not in answer.text
    return str(answer.json()["error"])


def test_answers_are_those_of_the_reader(server: str, reader: LocalRecognizer) -> None:
    pictures = [drawing(n) for n in range(3)]
    answer = ask(server, *((f"p{n}.png", encoded(p)) for n, p in enumerate(pictures)))
    assert answer.status_code == 200
    rows = answer.json()["results"]
    expected = [r.to_dict() for r in reader.recognize(pictures, max_new_tokens=MOST)]
    assert len({row["answer"] for row in rows}) > 1
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=True)):
        assert row.pop("image") == f"p{number}.png"
        for name in ("answer", "smiles", "molblock", "problems", "reason", "width", "page"):
            assert row[name] == wanted[name]
        places = [(a["label"], a["x"], a["y"]) for a in row["atoms"]]
        assert places == [(a["label"], a["x"], a["y"]) for a in wanted["atoms"]]
        assert row["confidence"] == pytest.approx(wanted["confidence"], abs=2e-4)


def test_pages_members_and_options(server: str) -> None:
    page = Image.new("RGB", (900, 1200), "white")
    page.paste(drawing(2).resize((510, 360)), (100, 100))
    page.paste(drawing(0).resize((450, 360)), (150, 700))
    blank = Image.new("RGB", (900, 1200), "white")
    pdf = encoded(page, "PDF", resolution=150, save_all=True, append_images=[blank])
    limit_hit = ask(server, ("big.pdf", pdf))
    # At 300 dpi these pages have four times the pixels: over this server's limit, and said so.
    assert limit_hit.status_code == 422
    assert "big.pdf#1" in told(limit_hit)
    assert "at most 1 million pixels" in told(limit_hit)

    pdf = encoded(page, "PDF", resolution=400, save_all=True, append_images=[blank])
    rows = ask(server, ("paper.pdf", pdf)).json()["results"]
    assert [row["page"] for row in rows] == [1, 1, 2]
    assert all(row["box"] for row in rows[:2])
    assert rows[0]["box"][3] < rows[1]["box"][1]
    assert "no drawing of a structure" in rows[2]["reason"]
    whole = ask(server, ("paper.pdf", pdf), pages="false").json()["results"]
    assert [row["image"] for row in whole] == ["paper.pdf#1", "paper.pdf#2"]

    archive = zipped({"in/a.png": encoded(drawing()), "../../b.png": encoded(drawing())})
    rows = ask(server, ("all.zip", archive)).json()["results"]
    assert [row["image"] for row in rows] == ["all.zip/../../b.png", "all.zip/in/a.png"]
    assert [bool(row["error"]) for row in rows] == [True, False]

    # Straight through the reader's options: blank pictures are read only when asked for.
    white = encoded(Image.new("RGB", (90, 90), "white"))
    [row] = ask(server, ("white.png", white)).json()["results"]
    assert row["reason"] == "no molecule: the picture is blank"
    [row] = ask(server, ("white.png", white), any_picture="true", v3000="true").json()["results"]
    assert row["answer"]
    assert row["molblock"] is None or "V3000" in row["molblock"]


@pytest.mark.parametrize(
    ("files", "fields", "status", "words"),
    [
        ([("torn.png", encoded(drawing())[:90])], {}, 422, "torn.png: cannot be read"),
        ([("text.png", b"I am no picture")], {}, 422, "text.png: no picture; expected PNG"),
        ([("empty.png", b"")], {}, 422, "empty.png: no picture"),
        ([("bad.pdf", b"%PDF-1.7 and no more")], {}, 422, "bad.pdf: cannot be read"),
        ([("bad.zip", b"PK\x03\x04 and no more")], {}, 422, "bad.zip: no picture"),
        ([("notes.zip", zipped({"notes.txt": b"x"}))], {}, 422, "notes.zip: no picture in this"),
        ([("../../etc/passwd", b"x")], {}, 422, "passwd: no picture"),
        ([("huge.png", encoded(Image.new("1", (20000, 20000))))], {}, 422, "far too many pixels"),
        ([("large.gif", encoded(Image.new("P", (2000, 900)), "GIF"))], {}, 422, "2,000 x 900"),
        ([("p.png", encoded(drawing()))] * 5, {}, 413, "more than 4 pictures"),
        ([("big.bmp", bytes(3_000_000))], {}, 413, "more than 1 MB"),
        ([], {}, 422, "files: missing"),
        ([("p.png", encoded(drawing()))], {"page": "1"}, 422, "page: no such field; expected"),
        ([("p.png", encoded(drawing()))], {"min_confidence": "2"}, 422, "min_confidence: "),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    server: str, files: list[tuple[str, bytes]], fields: dict[str, str], status: int, words: str
) -> None:
    answer = ask(server, *files, **fields)
    assert answer.status_code == status, answer.text
    assert words in told(answer)


def test_other_addresses_are_answered_in_json_and_no_file_is_given(server: str) -> None:
    for address in ("api/recognize", "api/nothing"):
        answer = httpx.get(f"{server}/{address}")
        assert answer.status_code == 404
        assert "expected POST /api/recognize" in told(answer)
    for file in (__file__, "/etc/passwd", "pyproject.toml"):
        assert httpx.get(f"{server}/gradio_api/file={file}").status_code in (403, 404)


def test_a_body_of_unknown_length_is_limited_too(server: str) -> None:
    whole = httpx.Request("POST", server, files={"files": ("big.bmp", bytes(3_000_000))})
    body, kind = whole.read(), {"Content-Type": whole.headers["Content-Type"]}
    parts = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    answer = httpx.post(f"{server}/api/recognize", content=parts, headers=kind, timeout=60)
    assert answer.status_code == 413
    assert "more than 1 MB" in told(answer)


def test_a_bad_file_harms_no_other(server: str) -> None:
    answer = ask(server, ("a.png", encoded(drawing())), ("b.png", b"no"))
    assert answer.status_code == 200
    assert [bool(row["error"]) for row in answer.json()["results"]] == [False, True]


def test_many_at_a_time_get_their_own_answers(server: str) -> None:
    pictures = [encoded(drawing(n)) for n in range(6)]
    alone = [ask(server, ("p.png", p)).json()["results"][0]["answer"] for p in pictures]
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, server, ("p.png", pictures[n % 6])) for n in range(24)]
        together = [future.result().json()["results"][0]["answer"] for future in asked]
    assert together == [alone[n % 6] for n in range(24)]
    assert httpx.get(f"{server}/api/health").json() == {"status": "ok", "waiting": 0}


def test_those_who_wait_are_read_together_with_their_own_options(
    reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eyesmol.serve.service import Drawing, ReadingService

    decode, batches, started, go_on = (
        reader._decode,
        list[int](),
        threading.Event(),
        threading.Event(),
    )

    def slow(pictures: list[Image.Image], *rest: Any) -> Any:
        batches.append(len(pictures))
        started.set()
        go_on.wait(60)
        return decode(pictures, *rest)

    monkeypatch.setattr(reader, "_decode", slow)
    service = ReadingService(reader, batch_size=4, max_new_tokens=4)

    def ask_service(number: int, sure: float = 0.0) -> Any:
        return list(service.read([Drawing(drawing(number))], min_confidence=sure))

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask_service, 0)
        started.wait(60)
        later = [pool.submit(ask_service, 1, 0.5 * (n == 2)) for n in range(6)]
        while service.waiting < 6:
            time.sleep(0.01)
        go_on.set()
        assert all(len(future.result()) == 1 for future in (first, *later))
    service.close()
    # The one with options of its own is read alone; the other five are a batch of four and a rest.
    assert sorted(batches[1:]) == [1, 1, 4]


def test_a_failure_reaches_who_waits_and_the_next_is_read(
    server: str, reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> Any:
        raise MemoryError("in /tmp/secret")

    with monkeypatch.context() as patch:
        patch.setattr(reader, "_decode", fails)
        answer = ask(server, ("p.png", encoded(drawing())))
        assert answer.status_code == 500
        assert "its log says why" in told(answer)
    assert ask(server, ("p.png", encoded(drawing()))).status_code == 200


def test_the_api_describes_itself_offline(server: str) -> None:
    assert httpx.get(f"{server}/api/model").json() == {
        "model": "tiny", "version": __version__, "form": "json",
        "max_pixels": 168 * 168, "calibrated": False, "max_megabytes": 1, "max_pages": 4,
        "max_megapixels": 1,
    }  # fmt: skip
    assert "http" not in httpx.get(f"{server}/docs").text.replace("<!DOCTYPE html>", "")
    paths = httpx.get(f"{server}/openapi.json").json()["paths"]
    assert set(paths) == {"/api/recognize", "/api/health", "/api/model"}


def test_it_listens_where_it_was_told_and_nowhere_else(server: str) -> None:
    port = int(server.rsplit(":", 1)[1])
    own = next((a for a in _own_addresses() if not a.startswith("127.")), None)
    for address in filter(None, ("127.0.0.2", own)):
        with socket.socket() as other:
            assert other.connect_ex((address, port)) != 0
    # Nobody else can take the port, and is told so before a model is loaded.
    assert main(["serve", "--model", "no model", "--port", str(port)]) == 2


def _own_addresses() -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)]


def test_the_command_serves_and_leaves_nothing_behind(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    model = create_nano(tmp_path_factory.mktemp("nano"), width=32, layers=1)
    command = [sys.executable, "-m", "eyesmol", "serve", "--model", str(model), "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        line = next(line for line in process.stderr if line.startswith("page http://127.0.0.1:"))
        info = httpx.get(f"{line.split()[1]}api/model", timeout=60).json()
        assert info["model"] == model.name
        assert list(tmp_path.glob("eyesmol-page-*"))
        process.terminate()
        assert process.wait(60) == 0
    assert not list(tmp_path.glob("eyesmol-page-*"))


# ---- the page ----


def test_every_kind_of_answer_is_said_in_words() -> None:
    from eyesmol.serve import pieces

    def read(text: str) -> Recognition:
        return Recognition.from_answer("a.png", text, size=(60, 40), frame_size=(60, 40))

    good, bad = (
        read("15 20 C\n45 20 O -0\nsmiles CO"),
        read("1 2 F\n9 9 F -0\n9 30 F -0\nsmiles F("),
    )
    blank = Recognition("b.png", reason="no molecule: the picture is blank")
    unsure = good.abstained("abstained: confidence 0.2 is below 0.5")
    expected = {
        "Not sure enough": unsure,
        "No molecule found": blank,
        "no sane molecule": bad,
        "cannot be read": Recognition("<b>.png", error="<b>.png: no picture"),
    }
    for words, result in expected.items():
        said = pieces.verdict(result, calibrated=True)
        assert words in said
        assert "<b>.png" not in said
    assert "CO" in pieces.verdict(unsure, calibrated=True)
    assert "impossible valence" in pieces.verdict(bad, calibrated=True)


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("C(C)(C)(C)(C)C", "Explicit valence for atom # 0 C, 5"),
        ("c1ccccc", "ring 1 is opened"),
        ("C%12CC", "ring 12 is opened"),
        ("CC)", "parenthesis"),
        ("[Na", "bracket"),
        ("CC==C", "stands where none can"),
    ],
)
def test_an_unreadable_smiles_says_why(smiles: str, why: str) -> None:
    from eyesmol.serve import pieces

    assert why in pieces.redrawn(smiles)
    assert pieces.molblock_of(smiles) is None
    assert "<svg" in pieces.redrawn("[Na+].C%12CC%12")


class Browser:
    """Headless Chromium over its DevTools protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        connect = pytest.importorskip("websockets.sync.client").connect
        flags = "headless no-sandbox disable-gpu no-first-run disable-background-networking "
        flags += "disable-component-update disable-sync remote-debugging-port=0"
        command = [program, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={folder}"]
        self._process = subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL)
        told = folder / "DevToolsActivePort"
        self.wait(lambda: told.is_file() and "\n" in told.read_text())
        port = told.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            [page] = [p for p in json.load(answer) if p["type"] == "page"]
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(page["webSocketDebuggerUrl"], max_size=None)
        )
        self._numbers, self.events = count(1), list[dict[str, Any]]()
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                return message["result"]
            self.events.append(message)

    def says(self, script: str) -> Any:
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get(
            "value"
        )

    def wait(self, condition: Any, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while not (condition() if callable(condition) else self.says(condition)):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.1)

    def choose(self, path: Path, kind: str = "") -> None:
        """Give a file to the first place for one, of that kind."""
        root, place = self.call("DOM.getDocument")["root"]["nodeId"], f"input[type=file]{kind}"
        node = self.call("DOM.querySelector", nodeId=root, selector=place)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def click(self, text: str) -> None:
        """Press the button with that text."""
        buttons = "[...document.querySelectorAll('button')]"  # tabs have a hidden twin before them
        self.says(f"{buttons}.filter(b => b.innerText.trim() == '{text}').pop().click()")

    def close(self) -> None:
        self._open.close()
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no Chromium here")
    opened = Browser(program, tmp_path / "profile")
    yield opened
    opened.close()


def test_the_page_reads_a_picture_and_fetches_nothing_from_elsewhere(
    server: str, browser: Browser, tmp_path: Path
) -> None:
    browser.call("Page.navigate", url=server)
    browser.wait("!!document.querySelector('input[type=file]')")
    picture, text = tmp_path / "picture.png", tmp_path / "text.png"
    drawing(1).save(picture)
    text.write_text("no picture")
    browser.choose(picture)
    browser.wait("!!document.querySelector('.legend')")
    assert browser.says("document.querySelector('.verdict .dot') !== null")
    browser.says("document.querySelector('#smiles textarea, #smiles input').select()")
    browser.call("Input.insertText", text="C1CC")
    browser.wait("(document.querySelector('.refused') || {}).innerText !== undefined")
    assert "ring 1" in browser.says("document.querySelector('.refused').innerText")
    browser.says("document.querySelector('#smiles textarea, #smiles input').select()")
    browser.call("Input.insertText", text="C1CC1")
    browser.wait("!document.querySelector('.refused') && !!document.querySelector('.paper svg')")

    browser.call("Page.navigate", url=server)
    browser.wait("!!document.querySelector('input[type=file]')")
    browser.choose(text)
    browser.wait("document.querySelector('.verdict').innerText.includes('no picture')")

    archive = tmp_path / "both.zip"
    members = {"in/picture.png": picture.read_bytes(), "in/text.png": text.read_bytes()}
    archive.write_bytes(zipped(members))
    browser.click("Batch")
    browser.wait("!!document.querySelector('input[type=file][accept*=\".zip\"]')")
    browser.choose(archive, '[accept*=".zip"]')
    browser.wait("document.body.innerText.includes('both.zip')")
    browser.click("Read all")
    browser.wait("document.querySelectorAll('.downloads a').length == 3")
    assert browser.says("document.querySelectorAll('.card').length") == 2
    assert browser.says("document.querySelectorAll('.card.broken').length") == 1
    rows = browser.says("atob(document.querySelectorAll('.downloads a')[2].href.split(',')[1])")
    names = [json.loads(line)["image"] for line in rows.splitlines()]
    assert names == ["both.zip/in/picture.png", "both.zip/in/text.png"]

    seen = [event["params"] for event in browser.events]
    urls = [p["request"]["url"] for p in seen if "request" in p and "url" in p["request"]]
    assert any(url.startswith(server) for url in urls)
    assert [u for u in urls if not u.startswith((server, "data:", "blob:", "about:"))] == []
    errors = [p["entry"]["text"] for p in seen if p.get("entry", {}).get("level") == "error"]
    assert errors == []
