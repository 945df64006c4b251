"""A real server over a tiny model with random weights: real requests, a real browser."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from PIL.TiffImagePlugin import TiffImageFile
from rdkit import Chem

from eyesmol import __version__
from eyesmol.cli.main import main
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.local import LocalRecognizer
from eyesmol.recognition import Recognition
from eyesmol.serve import page as page_module
from eyesmol.serve.page import has_editor
from nano.model import create_nano

pytest.importorskip("fastapi_offline", reason="the API's page needs the extra `serve`")
httpx2 = pytest.importorskip("httpx2")

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
    return httpx2.post(f"{server}/api/recognize", files=sent, data=fields, timeout=120)


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
    assert row["reason"] == "no molecule: the image is blank"
    [row] = ask(server, ("white.png", white), any_picture="true", v3000="true").json()["results"]
    assert row["answer"]
    assert row["molblock"] is None or "V3000" in row["molblock"]


@pytest.mark.parametrize(
    ("files", "fields", "status", "words"),
    [
        ([("torn.png", encoded(drawing())[:90])], {}, 422, "torn.png: cannot be read"),
        ([("text.png", b"I am no picture")], {}, 422, "text.png: no image; expected PNG"),
        ([("empty.png", b"")], {}, 422, "empty.png: no image"),
        ([("bad.pdf", b"%PDF-1.7 and no more")], {}, 422, "bad.pdf: cannot be read"),
        ([("bad.zip", b"PK\x03\x04 and no more")], {}, 422, "bad.zip: no image"),
        ([("notes.zip", zipped({"notes.txt": b"x"}))], {}, 422, "notes.zip: no image in this"),
        ([("../../etc/passwd", b"x")], {}, 422, "passwd: no image"),
        ([("huge.png", encoded(Image.new("1", (20000, 20000))))], {}, 422, "far too many pixels"),
        ([("large.gif", encoded(Image.new("P", (2000, 900)), "GIF"))], {}, 422, "2,000 x 900"),
        ([("p.png", encoded(drawing()))] * 5, {}, 413, "more than 4 images"),
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
        answer = httpx2.get(f"{server}/{address}")
        assert answer.status_code == 404
        assert "expected POST /api/recognize" in told(answer)
    headers = {"Content-Type": "multipart/form-data"}
    broken = httpx2.post(f"{server}/api/recognize", content=b"x", headers=headers)
    assert broken.status_code == 400
    assert "boundary" in told(broken)
    wrong = httpx2.put(f"{server}/api/health")
    assert wrong.status_code == 404
    assert "expected POST /api/recognize" in told(wrong)


def test_a_body_of_unknown_length_is_limited_too(server: str) -> None:
    whole = httpx2.Request("POST", server, files={"files": ("big.bmp", bytes(3_000_000))})
    body, kind = whole.read(), {"Content-Type": whole.headers["Content-Type"]}
    parts = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    answer = httpx2.post(f"{server}/api/recognize", content=parts, headers=kind, timeout=60)
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
    assert httpx2.get(f"{server}/api/health").json() == {"status": "ok", "waiting": 0}


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
    assert httpx2.get(f"{server}/api/model").json() == {
        "model": "tiny", "version": __version__, "form": "json",
        "max_pixels": 168 * 168, "calibrated": False, "max_megabytes": 1, "max_pages": 4,
        "max_megapixels": 1, "editor": has_editor(),
    }  # fmt: skip
    assert "http" not in httpx2.get(f"{server}/docs").text.replace("<!DOCTYPE html>", "")
    paths = httpx2.get(f"{server}/openapi.json").json()["paths"]
    assert set(paths) == {"/api/recognize", "/api/structure", "/api/health", "/api/model"}


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
        info = httpx2.get(f"{line.split()[1]}api/model", timeout=60).json()
        assert info["model"] == model.name
        # It waits neither for streams nor for slow senders, and makes no noise about them.
        host, port = line.split()[1].split("/")[2].split(":")
        heads = (
            "GET /docs HTTP/1.1\r\n",
            "POST /api/structure HTTP/1.1\r\nContent-Length: 9\r\n"
            "Content-Type: application/json\r\n",
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
    assert not list(tmp_path.glob("eyesmol-*"))


def test_a_stream_gives_each_row_as_soon_as_it_is_read(
    server: str, reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    decode, go_on = reader._decode, threading.Event()

    def waits_with_the_second(pictures: list[Image.Image], *rest: Any) -> Any:
        assert pictures[0].width < 200 or go_on.wait(60)
        return decode(pictures, *rest)

    monkeypatch.setattr(reader, "_decode", waits_with_the_second)
    files = [("files", ("a.png", encoded(drawing()))), ("files", ("no.png", b"no"))]
    # With options of its own, so that it is not read together with the first.
    wide = [("files", ("b.png", encoded(drawing(9))))]
    with httpx2.stream(
        "POST", f"{server}/api/recognize", files=files, data={"stream": "1"}
    ) as some:
        rows = [json.loads(line) for line in some.iter_lines()]
    assert [(row["image"], bool(row["error"])) for row in rows] == [
        ("a.png", False),
        ("no.png", True),
    ]
    files = [*files, *wide]
    with httpx2.stream(
        "POST", f"{server}/api/recognize", files=files, data={"stream": "1"}
    ) as some:
        lines = some.iter_lines()
        assert json.loads(next(lines))["image"] == "a.png"
        assert list(tmp_path.glob("eyesmol-*"))  # and who asked hangs up here
    go_on.set()
    for _ in range(300):
        if not list(tmp_path.glob("eyesmol-*")):
            break
        time.sleep(0.1)
    assert not list(tmp_path.glob("eyesmol-*"))
    # What concerns the whole request is its status, in a stream too.
    many = [("p.png", encoded(drawing()))] * 5
    assert ask(server, *many, stream="true").status_code == 413


def test_details_are_images_and_an_inchi() -> None:
    from eyesmol.serve.details import details_of

    image = Image.new("RGB", (60, 40), "white")
    text = "15 20 C\n45 20 O -0\nsmiles CO"
    read = Recognition.from_answer("a.png", text, size=(60, 40), frame_size=(60, 40))
    details = details_of(image, read)
    assert details["inchi"] == "InChI=1S/CH4O/c1-2/h2H,1H3"
    overlay = Image.open(io.BytesIO(base64.b64decode(details["overlay"].split(",")[1])))
    assert overlay.width == 560
    assert len(overlay.getcolors(1_000_000) or ()) > 50  # something is drawn over the white
    svg = base64.b64decode(details["drawing"].split(",")[1]).decode()
    assert "OH" in svg.replace("</text>", "") or "atom-1" in svg
    broken = Recognition("a.png", error="a.png: no image")
    assert details_of(None, broken) == {"overlay": None, "drawing": None, "inchi": None}


# ---- structures that were typed or drawn ----


def asked_structure(server: str, text: str) -> Any:
    return httpx2.post(f"{server}/api/structure", json={"structure": text}, timeout=60)


def test_a_structure_is_given_in_every_form(server: str) -> None:
    typed = asked_structure(server, " OC(=O)[C@@H](N)C ").json()
    assert typed["smiles"] == "C[C@H](N)C(=O)O"
    assert typed["inchikey"] == "QNAYBMKLOCPYGJ-REOHCLBHSA-N"
    # Drawn: the molfile stays as it is, and says the same.
    drawn = asked_structure(server, typed["molfile"]).json()
    for name in ("smiles", "inchi", "inchikey", "molfile"):
        assert drawn[name] == typed[name]
    group = asked_structure(server, "*c1ccccc1 |$_R2;;;;;;$|").json()
    assert group["inchi"] is None
    assert "_R2" in group["cxsmiles"]


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("C(C)(C)(C)(C)C", "Explicit valence for atom # 0 C, 5"),
        ("c1ccccc", "ring 1 is opened"),
        ("C%12CC", "ring 12 is opened"),
        ("CC)", "parenthesis"),
        ("[Na", "bracket"),
        ("CC==C", "stands where none can"),
        ("", "no atom"),
        ("C" * 201, "at most 200"),
        ("C" * 200_001, "at most 200,000"),
        ("\n\n\nM  END", "not a possible structure"),
    ],
)
def test_what_is_no_structure_says_why(server: str, smiles: str, why: str) -> None:
    answer = asked_structure(server, smiles)
    assert answer.status_code == 422
    assert why in told(answer)


# ---- load ----


def test_requests_are_read_in_turn(
    reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eyesmol.serve.service import Drawing, ReadingService

    order, started, go_on = list[int](), threading.Event(), threading.Event()

    def slow(images: list[Image.Image], **options: Any) -> Iterator[Recognition]:
        started.set()
        assert go_on.wait(60)
        order.extend(image.width for image in images)
        yield from (Recognition("a.png") for _ in images)

    monkeypatch.setattr(reader, "recognize", slow)
    service = ReadingService(reader, batch_size=1)

    def ask_service(width: int, times: int) -> int:
        images = [Drawing(Image.new("L", (width, 1))) for _ in range(times)]
        return len(list(service.read(images)))

    with ThreadPoolExecutor(3) as pool:
        many = pool.submit(ask_service, 1, 9)
        started.wait(60)
        while service.waiting < 2:
            time.sleep(0.01)
        waiting = service.waiting
        others = [pool.submit(ask_service, 2, 2), pool.submit(ask_service, 3, 1)]
        while service.waiting < waiting + 3:
            time.sleep(0.01)
        go_on.set()
        assert many.result() == 9
        assert [other.result() for other in others] == [2, 1]
    service.close()
    # One was being read; then come those who are new, then everybody in turn.
    assert order[0] == 1
    assert sorted(order[1:3]) == [2, 3]
    assert order[3] == 1
    assert sorted(order[4:6]) == [1, 2]
    assert order.count(1) == 9


def test_a_reader_that_loses_an_image_is_heard_of(
    reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eyesmol.serve.service import Drawing, ReadingService

    monkeypatch.setattr(reader, "recognize", lambda images, **options: iter(()))
    service = ReadingService(reader)
    with pytest.raises(RuntimeError, match="no result for 1"):
        list(service.read([Drawing(drawing())]))
    service.close()


def test_frames_are_counted_no_further_than_the_limit(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = encoded(drawing(), "TIFF", save_all=True, append_images=[drawing()] * 20)
    counted = TiffImageFile.n_frames
    monkeypatch.setattr(TiffImageFile, "n_frames", property(lambda self: pytest.fail("counted")))
    answer = ask(server, ("many.tif", many))
    assert answer.status_code == 413
    assert "more than 4" in told(answer)
    monkeypatch.setattr(TiffImageFile, "n_frames", counted)
    few = encoded(drawing(), "TIFF", save_all=True, append_images=[drawing()])
    rows = ask(server, ("few.tif", few)).json()["results"]
    assert [row["image"] for row in rows] == ["few.tif#1", "few.tif#2"]


# ---- attacks ----


def test_no_address_leads_to_a_file(app: Any, server: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"TOP SECRET 4711")
    files = (str(tmp_path / "secret.png"), "/etc/passwd", __file__, "page.py", "../page.py")
    for prefix in ("/page/", "/ketcher/", "/gradio_api/file=", "/file=", "/static/", "/"):
        for file in files:
            for name in (file, file.replace("/", "%2f"), f"..%2f..%2f..{file}", f"%2e%2e/{file}"):
                answer = httpx2.get(f"{server}{prefix}{name}")
                assert answer.status_code == 404, answer.url
                assert "SECRET" not in answer.text
    # The page names files by nothing but what it sends: no address takes a path.
    for address in ("gradio_api/queue/join", "gradio_api/upload", "run/predict", "upload"):
        for method in ("GET", "POST"):
            assert httpx2.request(method, f"{server}/{address}", json={}).status_code == 404
    own = {route.path for route in app.routes if not route.path.startswith(("/docs", "/static-"))}
    assert own == {
        "/", "/page/{name}", "/ketcher/{name}", "/openapi.json", "/api/recognize",
        "/api/structure", "/api/health", "/api/model", "/api/{rest:path}",
    }  # fmt: skip


def test_the_page_may_ask_no_other_server(server: str) -> None:
    page = httpx2.get(server)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    for name in ("page.js", "page.css", "texts.js", "icon.svg"):
        answer = httpx2.get(f"{server}/page/{name}")
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
    missing = httpx2.get(f"{server}/ketcher/index.html")
    assert missing.status_code == (200 if has_editor() else 404)


def test_other_websites_may_not_ask(server: str) -> None:
    port = server.rsplit(":", 1)[1]
    for host in (f"evil.example:{port}", "localhost.evil.example", "a@127.0.0.1", "[::1", ""):
        for path in ("/", "/api/health", "/page/page.js"):
            answer = httpx2.get(server + path, headers={"Host": host})
            assert answer.status_code == 421
            assert "--allowed-host" in told(answer)
    for host in (f"localhost:{port}", "LOCALHOST", f"[::1]:{port}", "192.168.1.7"):
        assert httpx2.get(f"{server}/api/health", headers={"Host": host}).status_code == 200
    sent = {"files": ("a.png", encoded(drawing()))}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"):
        for path in ("/api/structure", "/api/recognize"):
            answer = httpx2.post(server + path, files=sent, headers={"Origin": origin})
            assert answer.status_code == 403
            assert "may not ask this server" in told(answer)
    own = httpx2.post(f"{server}/api/recognize", files=sent, headers={"Origin": server})
    assert own.status_code == 200


def test_beyond_this_machine_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    from eyesmol.serve.access import Access, AccessControl

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
    control = AccessControl(everything, access=access)
    client = TestClient(control, base_url="http://mol.example.org", follow_redirects=False)
    assert client.get("/api/health").status_code == 200
    for path in (
        "/",
        "/?token=wrong",
        "/api/model",
        "/api/model?token=secret",
        "/docs",
        "/page/page.js",
    ):
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

    def choose(self, *paths: Path) -> None:
        """Give files to the page, as its file dialog does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def open(self, address: str) -> None:
        """Open the page and wait until it has asked the server which model it has."""
        self.call("Page.navigate", url=address)
        self.wait("!!document.getElementById('limits')?.textContent")

    def shows(self, name: str) -> str:
        """The text of an element, or what stands in a field."""
        found = f"document.getElementById('{name}')"
        return str(self.says(f"{found}.value ?? {found}.innerText"))

    def click(self, selector: str) -> None:
        self.says(f"document.querySelector('{selector}').click()")

    def write(self, text: str) -> None:
        """Type a SMILES."""
        self.says("document.getElementById('smiles').select()")
        self.call("Input.insertText", text=text)

    def errors(self) -> list[str]:
        """What went wrong in the page so far."""
        seen = [event["params"] for event in self.events]
        logged = [p["entry"]["text"] for p in seen if p.get("entry", {}).get("level") == "error"]
        return logged + [str(p["exceptionDetails"]) for p in seen if "exceptionDetails" in p]

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


@pytest.fixture
def certain(reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of the tiny server that reads methanol, surer of wider images."""

    def recognize(images: list[Image.Image], **options: Any) -> Iterator[Recognition]:
        for image in images:
            name = str(image.filename)  # type: ignore[attr-defined]
            if image.convert("L").getextrema() == (255, 255) and not options["any_picture"]:
                yield Recognition(name, reason="no molecule: the image is blank")
                continue
            text = "15 20 C\n45 20 O -0\nsmiles CO"
            read = Recognition.from_answer(name, text, size=image.size, frame_size=(60, 40))
            yield replace(read, confidence=image.width / 1000)

    monkeypatch.setattr(reader, "recognize", recognize)


def test_an_image_is_read_and_corrected_and_nothing_is_fetched_from_elsewhere(
    server: str, certain: None, browser: Browser, tmp_path: Path
) -> None:
    drawing(45).save(tmp_path / "wide.png")
    browser.open(server)
    browser.choose(tmp_path / "wide.png")
    browser.wait("!document.getElementById('detail').hidden")
    assert browser.shows("title") == "Structure read"
    assert "0.60" in browser.shows("confidence")
    assert "no probability" in browser.shows("confidence")
    assert browser.shows("inchi") == "InChI=1S/CH4O/c1-2/h2H,1H3"
    assert browser.says("document.querySelectorAll('.paper img').length") == 2

    browser.write("C1CC")
    browser.wait("!document.getElementById('refused').hidden")
    assert "Ring 1 is opened" in browser.shows("refused").replace("ring", "Ring")
    browser.write("C1CC1")
    browser.wait("document.getElementById('title').innerText == 'Corrected by you'")
    # The old confidence is gone, and every form is of the new structure.
    assert browser.says("document.getElementById('confidence').hidden") is True
    assert browser.shows("inchi") == "InChI=1S/C3H6/c1-2-3-1/h1-3H2"
    assert browser.shows("cxsmiles") == "C1CC1"
    assert "  3  3  0" in browser.shows("block")
    browser.click("#undo")
    assert "0.60" in browser.shows("confidence")
    assert browser.shows("smiles") == "CO"

    seen = [event["params"] for event in browser.events]
    urls = [p["request"]["url"] for p in seen if "request" in p and "url" in p["request"]]
    assert any(url.startswith(server) for url in urls)
    assert [u for u in urls if not u.startswith((server, "data:", "blob:", "about:"))] == []
    assert [error for error in browser.errors() if "422" not in error] == []


def test_many_files_are_a_table_to_sort_and_to_download(
    server: str, certain: None, browser: Browser, tmp_path: Path
) -> None:
    drawing(45).save(tmp_path / "wide.png")
    Image.new("RGB", (90, 90), "white").save(tmp_path / "white.png")
    (tmp_path / "text.png").write_text("no image")
    archive = tmp_path / "two.zip"
    archive.write_bytes(
        zipped({"in/a.png": encoded(drawing(1)), "b.png": encoded(Image.new("L", (9, 9), 255))})
    )
    browser.open(server)
    browser.choose(*(tmp_path / name for name in ("wide.png", "white.png", "text.png", "two.zip")))
    browser.wait("document.querySelectorAll('#rows tr').length == 5")
    browser.wait("document.getElementById('stop').hidden")
    # One image that is refused at first sight is read all the same; in an archive it is told.
    assert sorted(browser.shows("counts").split(": ")[1].split(", ")) == [
        "1 no structure", "1 read", "1 unreadable", "2 to compare",
    ]  # fmt: skip
    names = "[...document.querySelectorAll('#rows button.name')].map(b => b.innerText)"
    browser.click("[data-sort=confidence]")
    browser.click("[data-sort=confidence]")
    assert browser.says(names)[:3] == ["wide.png", "two.zip/in/a.png", "white.png"]
    assert browser.says(
        "document.querySelector('[data-sort=confidence]').closest('th').ariaSort"
    ) == ("descending")
    # With keys: down from the first row, and the detail follows.
    browser.click("#rows button.name")
    browser.says("document.querySelector('#rows button.name').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowDown", code="ArrowDown")
    assert browser.shows("name") == "two.zip/in/a.png"
    browser.write("C1CC1")
    browser.wait("document.getElementById('title').innerText == 'Corrected by you'")

    browser.says("""URL.createObjectURL = blob => { blob.text().then(t => window.saved = t);
        return 'blob:' + location.origin + '/0'; }""")
    browser.click("#csv")
    browser.wait("!!window.saved")
    rows = list(csv.DictReader(io.StringIO(browser.says("saved").lstrip("\ufeff"))))
    found = {row["image"]: (row["smiles"], row["confidence"], row["corrected"]) for row in rows}
    assert found["two.zip/in/a.png"] == ("C1CC1", "", "yes")
    assert found["wide.png"] == ("CO", "0.6", "")
    assert "no image" in next(row["note"] for row in rows if row["image"] == "text.png")
    browser.says("saved = ''")
    browser.click("#sdf")
    browser.wait("!!window.saved")
    supplier = Chem.SDMolSupplier()
    supplier.SetData(browser.says("saved"))
    molecules = {mol.GetProp("_Name"): mol for mol in supplier}
    assert len(molecules) == 5
    assert Chem.MolToSmiles(molecules["two.zip/in/a.png"]) == "C1CC1"
    assert molecules["wide.png"].GetProp("confidence") == "0.6"
    assert molecules["text.png"].GetNumAtoms() == 0


def test_images_are_pasted_and_dropped_and_korean_is_spoken(
    server: str, certain: None, browser: Browser
) -> None:
    image = base64.b64encode(encoded(drawing(1))).decode()
    browser.open(server)
    browser.says(f"""window.transfer = name => {{
        const data = new DataTransfer(), bytes = [...atob('{image}')].map(c => c.charCodeAt());
        data.items.add(new File([new Uint8Array(bytes)], name, {{type: 'image/png'}}));
        return data; }}""")  # fmt: skip
    browser.says(
        "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: transfer('p.png')}))"
    )
    browser.wait("!document.getElementById('detail').hidden")
    assert browser.shows("name") == "p.png"
    browser.says("document.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer('d.png')}))")
    browser.wait("document.querySelectorAll('#rows tr').length == 2")
    browser.click("[data-language=ko]")
    assert browser.shows("title") == "읽었지만 이미지와 비교하세요"
    assert browser.says("document.documentElement.lang") == "ko"
    browser.open(server)  # the choice is kept
    assert "분자 그림" in browser.says("document.querySelector('header p').innerText")
    assert browser.errors() == []


def test_both_languages_say_the_same_things_and_know_the_servers_messages(
    server: str, browser: Browser
) -> None:
    browser.open(server)
    browser.says("import('./page/texts.js').then(m => window.texts = m)")
    browser.wait("!!window.texts")
    named = "JSON.stringify(Object.keys(texts.TEXTS.{0}).sort())"
    assert browser.says(named.format("en")) == browser.says(named.format("ko"))
    values = "JSON.stringify(Object.values(texts.TEXTS.{0}).map(t => `${{t}}`.match(/{{\\w+}}/g)))"
    counted = [json.loads(browser.says(values.format(language))) for language in ("en", "ko")]
    for english, korean in zip(*counted, strict=True):
        assert sorted(english or []) == sorted(korean or [])
    white = encoded(Image.new("L", (90, 90), 255))
    for words in (
        told(ask(server, ("text.png", b"no image"))),
        told(ask(server, *[("p.png", encoded(drawing()))] * 5)),
        told(asked_structure(server, "CC)")),
        str(ask(server, ("w.png", white)).json()["results"][0]["reason"]),
    ):
        assert is_korean(browser.says(f"texts.message({json.dumps(words)}, 'ko')")), words


def is_korean(text: str) -> bool:
    return any("가" <= letter <= "힣" for letter in text)


# As the readers and the server say them, wherever in the code.
MESSAGES = """
no molecule: the image is noise
no molecule: 55% of the image is dark, as in a photograph
no molecule: 40% of it is neither paper nor ink, as in a photograph
no molecule: most of its ink lies in filled areas, as in a chart or a photograph
no molecule: it has axes or a frame with lettering, as charts and tables have
no molecule: it holds text and no drawing
no molecule: no drawing of a structure was found on this page
no molecule: no atom was listed
no molecule: the graph is no valid molecule
no molecule: what could be a molecule covers 60% of the lines and letters, and is not sure
abstained: confidence 0.03 is below 0.05
big.png: cannot be read as an image: 9,000 x 9,000 pixels; expected at most 50 million pixels. Cut
big.png: cannot be read as an image: found 9,000 x 9,001 pixels, expected at most 90 million in all
big.png: far too many pixels; expected at most 50 million pixels. Cut the molecule out
a.zip: no image in this archive; expected .png
32 requests are being read; try again later
the server is stopping
the server failed to read this; its log says why
the token is missing or wrong; open the address that the server printed when it started
O was read as O- (p 0.12): it balances an ion
HCl was taken for a species (p 0.31)
[CF3] was read as C: an impossible valence (cost 1.2)
a double bond was read as single: RDKit refused the molecule (cost 0.3)
a faint bond (probability 0.12) was taken: it joins parts
a wedge was turned round: its narrow end was a lone end
atom 3: the label 'Xy2' has no known expansion
3 of 12 atoms lie outside the image
2 structures, of 9 and 11 heavy atoms, were read as one compound; if they are several, cut the image
and 4 more problems
251 atoms; expected at most 200
not a possible structure: Explicit valence for atom # 1 C, 5, is greater than permitted
""".strip().splitlines()


def test_messages_of_readers_and_server_are_known_in_korean(tmp_path: Path) -> None:
    """The page's own function, run by Node: each message has a Korean one, and none of English."""
    if not (node := shutil.which("node")):
        pytest.skip("no Node here")
    page = Path(page_module.__file__).with_name("page_files") / "texts.js"
    shutil.copy(page, tmp_path / "texts.mjs")
    program = "import {message} from './texts.mjs'; import {readFileSync} from 'node:fs';"
    program += "console.log(JSON.stringify(JSON.parse(readFileSync(0)).map(m => message(m, 'ko'))))"
    (tmp_path / "run.mjs").write_text(program)
    done = subprocess.run([node, tmp_path / "run.mjs"], input=json.dumps(MESSAGES), text=True,
                          capture_output=True, check=True)  # fmt: skip
    spoken = json.loads(done.stdout)
    assert len(spoken) == len(MESSAGES)
    left = [english for english, korean in zip(MESSAGES, spoken, strict=True)
            if not is_korean(korean) or "expected" in korean or "was read" in korean]  # fmt: skip
    assert left == []
    assert "9,000 x 9,000 픽셀" in spoken[11]


def test_the_page_fits_a_phone(
    server: str, certain: None, browser: Browser, tmp_path: Path
) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=390, height=844, deviceScaleFactor=2, mobile=True,
    )  # fmt: skip
    for number in range(2):
        drawing(number).save(tmp_path / f"a-rather-long-name-of-an-image-{number}.png")
    browser.open(server)
    browser.choose(*sorted(tmp_path.glob("*.png")))
    browser.wait("document.querySelectorAll('#rows tr').length == 2")
    assert browser.says("document.documentElement.scrollWidth") <= 390
    shown = "[...document.querySelectorAll('button:not(.name)')].filter(b => b.offsetHeight)"
    small = f"{shown}.filter(b => b.offsetHeight < 32)"  # pixels, for a finger
    assert browser.says(f"{small}.map(b => b.innerText)") == []


@pytest.mark.skipif(not has_editor(), reason="scripts/build_ketcher.sh was not run here")
def test_a_structure_is_corrected_in_ketcher(
    server: str, certain: None, browser: Browser, tmp_path: Path
) -> None:
    drawing(45).save(tmp_path / "wide.png")
    browser.open(server)
    browser.choose(tmp_path / "wide.png")
    browser.wait("!document.getElementById('detail').hidden")
    frame = "document.querySelector('#editor iframe').contentWindow"
    browser.click("#edit")
    browser.wait(f"!!{frame}.ketcher", 240)

    def drawn() -> str:
        script = f"{frame}.ketcher.getSmiles()"
        return str(
            browser.call(
                "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
            )["result"].get("value")
        )

    browser.wait(lambda: drawn() == "CO", 120)
    browser.click("#take")  # unchanged: it keeps what was read
    browser.wait("!document.getElementById('editor').open")
    assert "0.60" in browser.shows("confidence")
    browser.click("#edit")
    browser.call(
        "Runtime.evaluate", expression=f"{frame}.ketcher.setMolecule('C1CC1O')", awaitPromise=True
    )
    browser.click("#take")
    browser.wait("document.getElementById('title').innerText == 'Corrected by you'")
    assert browser.shows("smiles") == "OC1CC1"
    assert browser.says("document.getElementById('confidence').hidden") is True


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
        assert "token is missing" in told(httpx2.get(server))
        browser.open(f"{server}/?token=secret")
        assert "secret" not in browser.says("location.href + document.cookie")
        browser.choose(picture)
        browser.wait("!document.getElementById('detail').hidden")
        browser.call("Page.navigate", url="about:blank")
    assert browser.errors() == []
