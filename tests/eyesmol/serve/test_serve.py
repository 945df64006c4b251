"""A real server over a tiny model with random weights: real requests, a real browser."""

from __future__ import annotations

import io
import json
import os
import re
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
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from eyesmol import __version__
from eyesmol.cli.main import main
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.local import LocalRecognizer
from eyesmol.recognition import Recognition
from eyesmol.serve.uploads import UploadError
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
def app(reader: LocalRecognizer) -> Iterator[Any]:
    from eyesmol.serve.server import running_app
    from eyesmol.serve.uploads import Limits

    with running_app(reader, "tiny", limits=Limits(**LIMITS), max_new_tokens=MOST) as app:
        yield app


@pytest.fixture(scope="module")
def server(app: Any) -> Iterator[str]:
    """Address of a running server."""
    with listening_for(app) as address:
        yield address


@contextmanager
def listening_for(app: Any) -> Iterator[str]:
    import uvicorn

    from eyesmol.cli.serve import _listening

    listening = _listening("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
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
    headers = {"Content-Type": "multipart/form-data"}
    broken = httpx.post(f"{server}/api/recognize", content=b"x", headers=headers)
    assert broken.status_code == 400
    assert "boundary" in told(broken)
    wrong = httpx.put(f"{server}/api/health")
    assert wrong.status_code == 404
    assert "expected POST /api/recognize" in told(wrong)
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
        # It waits neither for streams nor for slow senders, and makes no noise about them.
        host, port = line.split()[1].split("/")[2].split(":")
        heads = (
            "GET /gradio_api/heartbeat/a HTTP/1.1\r\n",
            "POST /gradio_api/upload HTTP/1.1\r\nContent-Length: 9\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n",
            "POST /api/recognize HTTP/1.1\r\nContent-Length: 9\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n",
        )
        with ExitStack() as slow:
            for head in heads:
                connection = slow.enter_context(socket.create_connection((host, int(port))))
                connection.sendall(f"{head}Host: {host}:{port}\r\n\r\n".encode())
            time.sleep(1)
            process.terminate()
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
    assert not list(tmp_path.glob("eyesmol-page-*"))


# ---- attacks ----

SECRET = b"TOP SECRET 4711"
REFUSED = "this file was not uploaded here"


def blocks_of(app: Any) -> Any:
    """Gradio's blocks behind the page."""
    return app.routes[-1].app.get_blocks()


def file_shapes(path: str) -> dict[str, Any]:
    """Ways to name a file in a request."""
    marked = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return {
        "file": marked,
        "without meta": {"path": path},
        "stream": {**marked, "is_stream": True},
        "with a URL": {**marked, "url": f"file://{path}", "orig_name": "a.png"},
        "list": [marked],
        "list without meta": [{"path": path}],
        "gallery": [{"image": marked, "caption": "a"}],
        "pairs": [[marked, "a"]],
        "dict": {"value": marked, "root": [marked]},
        "text": path,
        "texts": [path],
    }


def asked_by_page(server: str, function: int, data: list[Any]) -> str:
    """What Gradio's queue answers, everything up to the end of the call."""
    session = f"s{next(_sessions)}"
    body = {"fn_index": function, "data": data, "session_hash": session}
    joined = client.post(f"{server}/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return str(joined.text)
    lines, at = list[str](), f"{server}/gradio_api/queue/data"
    with client.stream("GET", at, params={"session_hash": session}) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if '"process_completed"' in line:
                break
    return "\n".join(lines)


_sessions = count()
client = httpx.Client(timeout=60)


def calls(app: Any, shape: Any) -> Iterator[tuple[int, list[Any]]]:
    """Every function of the page, with something in the place of each of its inputs in turn."""
    sensible = {"checkbox": False, "slider": 0, "radio": "PDF only", "textbox": "CO"}
    for number, function in blocks_of(app).fns.items():
        inputs = [sensible.get(block.get_block_name()) for block in function.inputs]
        for place in range(max(1, len(inputs))):
            yield number, [*inputs[:place], shape, *inputs[place + 1 :]]


def leaks(server: str, answer: str) -> bool:
    """Does an answer show or lead to the secret, or show a drawing that was not uploaded?"""
    found = re.findall(r'"(?:path|url)": ?"([^"]+)"', answer)
    files = [name if "file=" in name else f"/gradio_api/file={name}" for name in found]
    contents = [client.get(server + name[name.index("/gradio_api") :]).content for name in files]
    return any(SECRET in content for content in contents) or "data:image/png" in answer


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """Path of a drawing that was not uploaded, with a text inside."""
    told = PngInfo()
    told.add_text("Comment", SECRET.decode())
    drawing().save(tmp_path / "secret.png", pnginfo=told)
    return str(tmp_path / "secret.png")


# Gradio's check, where it is on, is not enough; without both most of the attack succeeds.
@pytest.mark.parametrize(
    ("ours", "gradio", "expected"),
    [
        (True, True, set()),
        (False, True, {(0, "without meta"), (1, "without meta")}),
        (False, False, {(0, "without meta"), (0, "file"), (1, "file"), (8, "list")}),
    ],
)
def test_the_page_gives_no_file_but_uploads(
    ours: bool,
    gradio: bool,
    expected: set[tuple[int, str]],
    app: Any,
    server: str,
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from eyesmol.serve.upload_folder import UploadFolder

    assert blocks_of(app).has_launched, "Gradio checks no path"
    if not ours:
        monkeypatch.setattr(UploadFolder, "check", lambda self, payload: None)
        monkeypatch.setattr(UploadFolder, "file", lambda self, name: Path(name))
    monkeypatch.setattr(blocks_of(app), "has_launched", gradio)
    leaking = {
        (number, name)
        for name, shape in file_shapes(secret).items()
        if ours or name in ("file", "without meta", "list")
        for number, data in calls(app, shape)
        if leaks(server, asked_by_page(server, number, data))
    }
    assert leaking == expected if gradio else leaking >= expected


def test_a_refusal_says_why_and_not_whether_there_is_such_a_file(
    app: Any, server: str, secret: str, tmp_path: Path
) -> None:
    uploads = blocks_of(app).uploads.path
    link = uploads / "link" / "a.png"
    link.parent.mkdir()
    link.symlink_to(secret)
    names = [secret, str(tmp_path / "none.png"), str(uploads), str(link.parent)]
    names += [str(link), f"{uploads}/a/../../../etc/passwd", "https://example.org/a.png", "\0", ""]
    for name in names:
        for number, shape in ((0, file_shapes(name)["file"]), (8, file_shapes(name)["list"])):
            data = [shape, False, 0][: len(blocks_of(app).fns[number].inputs)]
            answer = asked_by_page(server, number, data)
            assert REFUSED in answer or (name == "" and "data:image" not in answer)
            body = {"fn_index": number, "data": data, "session_hash": "direct"}
            direct = httpx.post(f"{server}/gradio_api/run/predict", json=body)
            assert direct.status_code != 200 or not leaks(server, direct.text)
        assert httpx.get(f"{server}/gradio_api/file={quote(name)}").status_code == 403
    link.unlink()
    deep = json.loads("[" * 500 + json.dumps(file_shapes(names[0])["file"]) + "]" * 500)
    with pytest.raises(UploadError, match=REFUSED):
        blocks_of(app).uploads.check(deep)


@pytest.mark.parametrize(
    "address",
    ["run/read", "api/read", "call/read", "call/v2/read", "component_server", "stream/a",
     "process_recording", "proxy=https://example.org/", "file/etc/passwd", "info", "deep_link"],
)  # fmt: skip
def test_what_the_page_does_not_use_of_gradio_is_closed(server: str, address: str) -> None:
    for answer in (
        httpx.post(f"{server}/gradio_api/{address}", json={"data": []}),
        httpx.get(f"{server}/gradio_api/{address}"),
    ):
        assert answer.status_code == 404
        assert "programs use /api" in told(answer)


def uploaded(server: str, content: bytes, name: str = "a.png") -> str:
    answer = httpx.post(f"{server}/gradio_api/upload", files={"files": (name, content)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0])


def test_uploads_are_read_and_the_oldest_forgotten(app: Any, server: str) -> None:
    path = uploaded(server, encoded(drawing()))
    shapes = file_shapes(path)
    assert "data:image/png" in asked_by_page(server, 0, [shapes["file"], False, 0])
    assert "data:image/png" in asked_by_page(server, 5, [shapes["list"], "PDF only", False])
    assert path in asked_by_page(server, 8, [shapes["list"]])
    assert httpx.get(f"{server}/gradio_api/file={path}").content == encoded(drawing())

    uploads = blocks_of(app).uploads
    for number in range(30):
        last = uploaded(server, number.to_bytes(2, "big") * 450_000)
    for _ in range(600):  # the oldest go when the newest has been answered
        if not Path(path).parent.exists():
            break
        time.sleep(0.1)
    with uploads._trimming:
        kept = [file for file in uploads.path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in kept) <= uploads.most_bytes + 1_000_000
    assert uploads.most_bytes == 25_000_000
    assert len(kept) > 20
    assert Path(last) in kept
    assert not Path(path).parent.exists()
    assert "is no longer kept" in asked_by_page(server, 0, [shapes["file"], False, 0])


def test_other_websites_may_not_ask(server: str) -> None:
    port = server.rsplit(":", 1)[1]
    for host in (f"evil.example:{port}", "localhost.evil.example", "a@127.0.0.1", "[::1", ""):
        for path in ("/", "/api/health", "/gradio_api/queue/data"):
            answer = httpx.get(server + path, headers={"Host": host})
            assert answer.status_code == 421
            assert "--allowed-host" in told(answer)
    for host in (f"localhost:{port}", "LOCALHOST", f"[::1]:{port}", "192.168.1.7"):
        assert httpx.get(f"{server}/api/health", headers={"Host": host}).status_code == 200
    sent = {"files": ("a.png", encoded(drawing()))}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"):
        for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/api/recognize"):
            answer = httpx.post(server + path, files=sent, headers={"Origin": origin})
            assert answer.status_code == 403
            assert "may not ask this server" in told(answer)
    own = httpx.post(f"{server}/gradio_api/upload", files=sent, headers={"Origin": server})
    assert own.status_code == 200


def test_beyond_this_machine_a_token_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    from eyesmol.serve.access import Access, AccessControl
    from eyesmol.serve.upload_folder import UploadFolder

    assert Access.at("127.0.0.1") == Access.at("::1") == Access()
    assert Access.at("0.0.0.0").token != Access.at("0.0.0.0").token
    assert Access.at("::", with_token=False).token is None
    for unfit in ("péssword", "pass word", "short"):
        monkeypatch.setenv("EYESMOL_TOKEN", unfit)
        assert main(["serve", "--model", "no model", "--host", "0.0.0.0", "--port", "0"]) == 2
    monkeypatch.setenv("EYESMOL_TOKEN", "pass-word")
    access = Access.at("0.0.0.0", ["Mol.example.org"])
    assert access.token == "pass-word"
    assert access.knows(socket.gethostname().lower())

    access = Access(access.names, "secret")
    everything = PlainTextResponse("hello")
    control = AccessControl(everything, access=access, uploads=UploadFolder(tmp_path, 0))
    client = TestClient(control, base_url="http://mol.example.org", follow_redirects=False)
    assert client.get("/api/health").status_code == 200
    for path in ("/", "/?token=wrong", "/api/model", "/api/model?token=secret", "/docs", "/config"):
        assert client.get(path).status_code == 401
    for key in ("Bearer wrong", "Bearer", "secret", "Basic secret", "Bearer sécret"):
        answer = client.get("/api/model", headers={b"Authorization": key.encode()})
        assert answer.status_code == 401
        assert "Authorization: Bearer TOKEN" in told(answer)
    assert client.get("/api/model", headers={"Authorization": "bearer secret"}).is_success
    welcome = client.get("/?token=secret")
    assert welcome.status_code == 303
    assert "secret" not in welcome.headers["location"]
    assert {"HttpOnly", "SameSite=lax"} <= set(welcome.headers["set-cookie"].split("; "))
    assert client.get("/").status_code == 200  # by its cookie


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


def test_the_page_opens_with_its_token(
    reader: LocalRecognizer, browser: Browser, tmp_path: Path
) -> None:
    from eyesmol.serve.access import Access
    from eyesmol.serve.server import running_app
    from eyesmol.serve.uploads import Limits

    picture = tmp_path / "picture.png"
    drawing(1).save(picture)
    asking = Access(token="secret")
    with (
        running_app(
            reader, "tiny", limits=Limits(**LIMITS), access=asking, max_new_tokens=MOST
        ) as app,
        listening_for(app) as server,
    ):
        assert "token is missing" in told(httpx.get(server))
        browser.call("Page.navigate", url=f"{server}/?token=secret")
        browser.wait("!!document.querySelector('input[type=file]')")
        assert "secret" not in browser.says("location.href + document.cookie")
        browser.choose(picture)
        browser.wait("!!document.querySelector('.legend')")
        browser.call("Page.navigate", url="about:blank")
    seen = [event["params"] for event in browser.events]
    errors = [p["entry"]["url"] for p in seen if p.get("entry", {}).get("level") == "error"]
    assert errors == []
