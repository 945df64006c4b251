"""Loopback services that behave as PubChem's and ChEBI's do, faults included, and count."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from rdkit import Chem
from rdkit.Chem import rdDepictor

JSON = "application/json"


def molblock(smiles: str) -> str:
    """As a source would draw it."""
    mol = Chem.MolFromSmiles(smiles)
    rdDepictor.Compute2DCoords(mol)
    return str(Chem.MolToMolBlock(mol))


def png(shade: int) -> bytes:
    """A whole image, another one for every shade."""
    file = io.BytesIO()
    Image.new("L", (8, 8), shade % 256).save(file, "PNG")
    return file.getvalue()


class Service:
    """A loopback server; `answer` maps a request to a reply.

    Attributes:
        asked: (kind, id) of every request that arrived, an entry for each of its ids.
        faults: replies that come instead of the first one to each question, in turn.
        hold_after: so many replies go out; the next ones wait for `release`.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.agents: set[str] = set()
        self.faults: list[str] = []
        self.hold_after: int | None = None
        self.held, self.release = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._questions = self._replies = 0
        self._lists: dict[str, str] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service._handle(self, "")

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                service._handle(self, self.rfile.read(length).decode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, after: int) -> None:
        """Answer so many requests more, then none until `release` is set."""
        self.held.clear()
        self.release.clear()
        self.hold_after = self._replies + after

    def answer(self, path: str, query: dict[str, str], body: str) -> tuple[int, str, bytes]:
        """Status, content type and body; notes what was asked."""
        raise NotImplementedError

    # ---- the wire ----

    def _handle(self, handler: BaseHTTPRequestHandler, body: str) -> None:
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.agents.add(handler.headers["User-Agent"])
        with self._lock:
            fault = self._fault(f"{handler.path} {body}")
            if self.hold_after is not None and self._replies >= self.hold_after:
                self.held.set()
            self._replies += 1
            holding = self.held.is_set()
        if holding and not self.release.wait(60):
            return
        if parts.path.startswith("/pug/compound/listkey/"):
            key, _, operation = parts.path.split("/listkey/")[1].partition("/")
            body = self._lists[key]
            parts = parts._replace(path=f"/pug/compound/cid/{operation}")
        status, kind, content = self.answer(parts.path, query, body)
        self._send(handler, fault, status, kind, content, body)

    def _fault(self, question: str) -> str:
        self._attempts[question] += 1
        if not self.faults or self._attempts[question] > 1:
            return ""
        self._questions += 1
        return self.faults[self._questions % len(self.faults)]

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        fault: str,
        status: int,
        kind: str,
        content: bytes,
        body: str,
    ) -> None:
        headers = {"X-Throttling-Control": throttling("Green")}
        if fault in BUSY:
            status, kind, content, more = BUSY[fault]
            headers |= more
        elif fault == "red":
            headers["X-Throttling-Control"] = throttling("Red")
        elif fault == "waiting" and "cid=" in body:
            key = str(len(self._lists))
            self._lists[key] = body
            status, kind = 202, JSON
            content = json.dumps({"Waiting": {"ListKey": key, "Message": "..."}}).encode()
        elif fault == "reset":
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.close_connection = True
            handler.connection.close()
            return
        length = len(content)
        if fault in ("cut off", "cut off quietly"):
            content = content[: length // 2]
            handler.close_connection = True
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if fault != "cut off quietly":
            handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)


def throttling(status: str) -> str:
    return (
        f"Request Count status: Green (0%), Request Time status: {status} (80%), "
        "Service status: Green (20%)"
    )


_BUSY = {"Fault": {"Code": "PUGREST.ServerBusy", "Message": "Too many requests or server too busy"}}
_BUSY_TEXT = b"Status: 503\nCode: PUGREST.ServerBusy\nMessage: Too many requests\n"
BUSY: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "busy page": (503, "text/html", b"<html><body>busy</body></html>", {"Retry-After": "0"}),
    "busy 200": (200, JSON, json.dumps(_BUSY).encode(), {}),
    "busy 404": (404, JSON, json.dumps(_BUSY).encode(), {}),
    "busy text": (503, "text/plain", _BUSY_TEXT, {}),
    "page 200": (200, "text/html", b"<!DOCTYPE html><p>maintenance</p>", {}),
    "bare 403": (403, "text/plain", b"no", {}),
    "bare 500": (500, "text/plain", b"", {}),
}
FAULTS = [*BUSY, "red", "waiting", "reset", "cut off", "cut off quietly"]


def fault(status: int, code: str) -> tuple[int, str, bytes]:
    return status, JSON, json.dumps({"Fault": {"Code": code, "Message": "..."}}).encode()


class PubChem(Service):
    """PUG REST and PUG View for a few compounds.

    Attributes:
        compounds: CID -> SMILES.
        descriptions: CID -> (text, source) of each; a CID without has none.
        refused: CIDs that make it refuse the whole request.
        old: with the property names of before 2025.
    """

    def __init__(self) -> None:
        super().__init__()
        self.compounds: dict[int, str] = {}
        self.descriptions: dict[int, list[tuple[str, str]]] = {}
        self.refused: set[int] = set()
        self.old = False
        self.page_size = 3

    def answer(self, path: str, query: dict[str, str], body: str) -> tuple[int, str, bytes]:
        if path.startswith("/pug_view/"):
            return self._annotations(int(query["page"]))
        prefix, _, operation = path.partition("/cid/")
        assert prefix == "/pug/compound", path
        if body:
            cids = [int(cid) for cid in parse_qs(body)["cid"][0].split(",")]
        else:
            first, _, operation = operation.partition("/")
            cids = [int(first)]
        kind = operation.split("/")[0]
        self.asked += [(kind, cid) for cid in cids]
        if self.refused & set(cids):
            return fault(400, "PUGREST.BadRequest")
        known = [cid for cid in cids if cid in self.compounds]
        if not known:
            return fault(200, "PUGREST.NotFound")
        replies: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "property": lambda: self._properties(known),
            "SDF": lambda: self._sdf(known),
            "description": lambda: self._description(known[0]),
            "PNG": lambda: (200, "image/png", png(known[0])),
        }
        return replies[kind]()

    def _properties(self, cids: list[int]) -> tuple[int, str, bytes]:
        rows: list[dict[str, Any]] = []
        for cid in cids:
            smiles = self.compounds[cid]
            row: dict[str, Any] = {"CID": cid, "Title": f"compound {cid}", "MolecularWeight": "1"}
            row["IsomericSMILES" if self.old else "SMILES"] = smiles
            row["CanonicalSMILES" if self.old else "ConnectivitySMILES"] = "C"
            rows.append(row)
        return 200, JSON, json.dumps({"PropertyTable": {"Properties": rows}}).encode()

    def _sdf(self, cids: list[int]) -> tuple[int, str, bytes]:
        return (
            200,
            "chemical/x-mdl-sdfile",
            "".join(
                f"{molblock(self.compounds[cid])}> <PUBCHEM_COMPOUND_CID>\n{cid}\n\n$$$$\n"
                for cid in cids
            ).encode(),
        )

    def _description(self, cid: int) -> tuple[int, str, bytes]:
        if cid not in self.descriptions:
            return fault(404, "PUGREST.NotFound")
        items: list[dict[str, Any]] = [{"CID": cid, "Title": f"title of {cid}"}]
        for text, source in self.descriptions[cid]:
            items.append({"CID": cid, "Description": text, "DescriptionSourceName": source})
        return 200, JSON, json.dumps({"InformationList": {"Information": items}}).encode()

    def _annotations(self, page: int) -> tuple[int, str, bytes]:
        self.asked.append(("annotations", page))
        records: list[dict[str, Any]] = [{"SourceName": "Nobody", "ANID": 1, "Data": []}]
        for cid, notes in self.descriptions.items():
            records += [
                {
                    "SourceName": source,
                    "LicenseURL": f"https://{source}.example/licence",
                    "LinkedRecords": {"CID": [cid, 10_000 + cid]},
                    "Data": [{"Value": {"StringWithMarkup": [{"String": text}]}}],
                }
                for text, source in notes
            ]
        start = (page - 1) * self.page_size
        return (
            200,
            JSON,
            json.dumps(
                {
                    "Annotations": {
                        "Annotation": records[start : start + self.page_size],
                        "Page": page,
                        "TotalPages": -(-len(records) // self.page_size),
                    }
                }
            ).encode(),
        )


class Chebi(Service):
    """ChEBI's REST API for a few compounds.

    Attributes:
        compounds: id -> `data` of an entry.
        replaced: old id -> id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.compounds: dict[int, dict[str, Any]] = {}
        self.molfiles: dict[int, str] = {}
        self.replaced: dict[int, int] = {}

    def answer(self, path: str, query: dict[str, str], body: str) -> tuple[int, str, bytes]:
        if path == "/compounds/":
            asked = json.loads(body)["chebi_ids"]
            assert len(asked) <= 200
            return 200, JSON, json.dumps({text: self._entry(text) for text in asked}).encode()
        kind, _, rest = path.strip("/").partition("/")
        id = int(rest.partition("/")[0])
        self.asked.append((kind, id))
        if id not in self.molfiles:
            return 404, JSON, b'{"detail": "Not found."}'
        if kind == "molfile":
            return 200, "text/plain", self.molfiles[id].encode()
        assert rest.endswith("/structure"), path
        assert query == {"width": "200", "height": "100"}
        return 200, "image/svg+xml", b"<?xml version='1.0'?><svg></svg>"

    def _entry(self, text: str) -> dict[str, Any]:
        id = int(text.removeprefix("CHEBI:"))
        self.asked.append(("compounds", id))
        primary = self.replaced.get(id, id)
        data = self.compounds.get(primary)
        return {
            "exists": data is not None,
            "primary_chebi_id": f"CHEBI:{primary}" if data else None,
            "data": data,
        }


@pytest.fixture
def pubchem() -> Iterator[PubChem]:
    service = PubChem()
    yield service
    service.close()


@pytest.fixture
def chebi() -> Iterator[Chebi]:
    service = Chebi()
    yield service
    service.close()


@pytest.fixture
def faults() -> list[str]:
    """All the ways in which a first reply can go wrong."""
    return FAULTS


@pytest.fixture
def drawn() -> Callable[[str], str]:
    """`molblock`."""
    return molblock
