"""The REST API with its limits: one FastAPI app, to which the page is added.

Every answer is JSON. What cannot be done is ``{"error": "..."}`` with a status that says whose
fault it is; no answer holds a path or a traceback of the server.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eyesmol import __version__
from eyesmol.recognition import Recognition
from eyesmol.serve.details import details_of
from eyesmol.serve.service import Drawing, ReadingService, ServiceBusyError
from eyesmol.serve.structure import Structure, StructureError, structure_of
from eyesmol.serve.uploads import (
    Limits,
    UploadError,
    list_uploads,
    open_uploads,
    save_upload,
    with_expanded_graph,
)

__all__ = ["Answer", "BodyLimit", "ModelInfo", "create_app", "model_info"]

_log = logging.getLogger(__name__)
_ADDRESSES = (
    "expected POST /api/recognize or /api/structure, GET /api/health or /api/model, see /docs"
)


class ModelInfo(BaseModel):
    """The model, how it sees and answers, and what one request may hold."""

    model: str = Field(description="name of the model")
    version: str = Field(description="of EyesMol")
    form: str | None = Field(description="form of the model's answers; the detector writes none")
    max_pixels: int | None = Field(
        description="pixels of an image as the model sees it, at most; the detector sees all"
    )
    calibrated: bool = Field(
        description="true where a confidence is the probability of being right"
    )
    max_megabytes: int = Field(description="of one request")
    max_pages: int = Field(description="images, pages and members of archives in one request")
    max_megapixels: int = Field(description="of one image")
    editor: bool = Field(False, description="true where the page has its structure editor")


class Health(BaseModel):
    """The server lives."""

    status: str = "ok"
    waiting: int = Field(description="images in the queue")


# What a row looks like, for the API's description.
_ROW = Recognition.from_answer(
    "methanol.png", "15 20 C\n45 20 O -0\nsmiles CO", size=(60, 40), frame_size=(60, 40)
).to_dict()


class Answer(BaseModel):
    """What was read: a row an image, or a row a structure where pages were searched."""

    results: list[dict[str, Any]] = Field(
        description="rows as `eyesmol recognize` writes them in JSON Lines", examples=[[_ROW]]
    )
    seconds: float = Field(description="from the arrival of the request to its answer")


class Problem(BaseModel):
    """Why a request could not be done."""

    error: str
    results: list[dict[str, Any]] = []


class Order(BaseModel):
    """The fields of a request; a field that is not known is refused, for it may be mistyped."""

    model_config = ConfigDict(extra="forbid")

    files: list[UploadFile] = Field(
        min_length=1, description="images, PDF, or ZIP archives of images"
    )
    pages: bool | None = Field(
        None,
        description="these are pages: find the structures on them and read each. By default so "
        "for PDF and not for images",
    )
    expanded: bool = Field(
        False, description="give atoms and bonds with the abbreviations written out"
    )
    v3000: bool = Field(False, description="give molblocks in V3000 instead of V2000")
    any_picture: bool = Field(
        False, description="read images too that show no drawing of a molecule at first sight"
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="give no molecule below it; the guess is in withheld_smiles"
    )
    details: bool = Field(
        False,
        description="add to each row `overlay`, a PNG of the image with what was read over it, "
        "`drawing`, an SVG of the molecule, both as data URIs, and `inchi`",
    )
    stream: bool = Field(
        False, description="answer in JSON Lines: each row as soon as it is read, and no more"
    )


class StructureText(BaseModel):
    """A structure that somebody typed or drew."""

    model_config = ConfigDict(extra="forbid")

    structure: str = Field(description="a SMILES, or a molfile (V2000 or V3000)")


def create_app(service: ReadingService, model: ModelInfo, limits: Limits) -> FastAPI:
    """The app: ``/api/recognize``, ``/api/structure``, ``/api/health``, ``/api/model``, ``/docs``.

    Args:
        service: reads the images; closing it is the caller's.
        model: what ``/api/model`` answers.
        limits: what one request may hold.
    """
    # FastAPI's own page of documentation would be fetched from a public network.
    app: FastAPI = import_module("fastapi_offline").FastAPIOffline(
        title="EyesMol",
        version=__version__,
        description="Images of molecules in; SMILES, molfiles, places and confidences out.",
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, limits=limits)
    _add_errors(app)

    @app.get("/api/health")
    async def health() -> Health:
        """Does the server answer, and how long is its queue?"""
        return Health(waiting=service.waiting)

    @app.get("/api/model")
    async def about_model() -> ModelInfo:
        """Which model reads, and within which limits."""
        return model

    @app.post("/api/recognize", responses={code: {"model": Problem} for code in (413, 422, 503)})
    def recognize(order: Annotated[Order, Form(media_type="multipart/form-data")]) -> Answer:
        """Read images.

        A file that cannot be read is a row with its error; if none can be, the status is 422, but
        not in a stream.
        """
        start = time.perf_counter()
        rows = _read(service, order, limits)
        if order.stream:
            return _Lines(rows)  # type: ignore[return-value]  # FastAPI passes it on
        results = list(rows)
        if results and all(row["error"] for row in results):
            raise _Unreadable("; ".join(str(row["error"]) for row in results[:5]), results)
        return Answer(results=results, seconds=round(time.perf_counter() - start, 3))

    @app.post("/api/structure", responses={422: {"model": Problem}})
    def structure(text: StructureText) -> Structure:
        """One structure in every form; what is none is answered with 422 and the reason."""
        try:
            return structure_of(text.structure)
        except StructureError as error:
            raise UploadError(422, str(error)) from None

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    @app.api_route("/api/{rest:path}", methods=methods, include_in_schema=False)
    async def nothing(rest: str) -> None:
        raise HTTPException(404, f"nothing answers here; {_ADDRESSES}")

    return app


_Rows = Generator[dict[str, Any], None, None]


def _read(service: ReadingService, order: Order, limits: Limits) -> _Rows:
    """The rows of a request, as they are read; its files are gone when the iterator is closed."""
    with tempfile.TemporaryDirectory(prefix="eyesmol-") as folder:
        uploads = [
            save_upload(file.file, file.filename or "", Path(folder, str(number)))
            for number, file in enumerate(order.files)
        ]
        places = list_uploads(uploads, limits)
        sources = open_uploads(places, limits, pages=order.pages, any_picture=order.any_picture)
        # Closed with this one: what still waits in the queue then need not be read.
        with closing(service.read(sources, min_confidence=order.min_confidence)) as read:
            for source, result in read:
                image = source.image if isinstance(source, Drawing) else None
                details = details_of(image, result) if order.details else {}
                if order.expanded:
                    result = with_expanded_graph(result)
                yield (result.as_v3000() if order.v3000 else result).to_dict() | details


class _Lines(StreamingResponse):
    """Rows as JSON Lines; what is wrong with the whole request is raised when it is made."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        first = next(rows, None)
        super().__init__(
            map(_line, chain([] if first is None else [first], rows)),
            media_type="application/jsonl",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the rows; who hangs up leaves neither files nor images in the queue behind."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._rows.close)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


# ---- what goes wrong ----


class _Unreadable(UploadError):
    """No file of a request could be read."""

    def __init__(self, message: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(422, message)
        self.rows = rows


def _add_errors(app: FastAPI) -> None:
    """Every error as ``{"error": "..."}``."""

    @app.exception_handler(UploadError)
    async def refused(request: Request, error: UploadError) -> JSONResponse:
        rows = error.rows if isinstance(error, _Unreadable) else []
        return JSONResponse({"error": str(error), "results": rows}, error.status)

    @app.exception_handler(ServiceBusyError)
    async def busy(request: Request, error: ServiceBusyError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": "5"})

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": _in_words(error)}, 422)

    @app.exception_handler(Exception)
    async def ours(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(
            {"error": "the server failed to read this; its log says why"}, 500
        )  # fmt: skip


_FIELDS = ", ".join(Order.model_fields)


def _in_words(error: RequestValidationError) -> str:
    """Which field of a request is wrong, and what was expected."""
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"][1:]) or "request"
        if problem["type"] == "extra_forbidden":
            problems.append(f"{name}: no such field; expected {_FIELDS}")
        elif problem["type"] == "missing":
            problems.append(f"{name}: missing; send files as multipart/form-data in `files`")
        else:
            found = problem.get("input")
            found = f" (found {found!r:.60})" if isinstance(found, str | int | float) else ""
            problems.append(f"{name}: {problem['msg']}{found}")
    return "; ".join(problems)


class BodyLimit:
    """ASGI middleware: a body over the limit is answered with 413, said in its header or not.

    What is too much is read and thrown away, up to ten times the limit, since a browser shows no
    answer to a body that it could not send.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._most = limits.bytes + 1_000_000  # what multipart adds to the files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                await self._drain(receive, size, message)
                raise HTTPException(413, self._message)
            return message

        if declared.isdigit() and int(declared) > self._most:
            await self._drain(receive, 0, {"more_body": True})
            await JSONResponse({"error": self._message}, 413)(scope, receive, send)
            return
        await self._app(scope, limited, send)

    @property
    def _message(self) -> str:
        return (
            f"more than {self._limits.megabytes} MB in one request; send fewer or smaller files"
        )  # fmt: skip

    async def _drain(self, receive: Receive, size: int, message: Message) -> None:
        while message.get("more_body") and size < 10 * self._most:
            message = await receive()
            size += len(message.get("body", b""))


def model_info(name: str, reader: Any, limits: Limits, *, editor: bool = False) -> ModelInfo:
    """What is to be known of a `Recognizer`; of a local folder its last name only."""
    known = {f"max_{key}": value for key, value in asdict(limits).items()}
    return ModelInfo(
        model=Path(name).resolve().name if Path(name).exists() else name,
        version=__version__,
        form=getattr(reader, "form", None),
        max_pixels=reader.frame.max_pixels if hasattr(reader, "frame") else None,
        calibrated=reader.calibration is not None,
        editor=editor,
        **known,
    )
