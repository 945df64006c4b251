"""The web page: a few files of this package, and nothing else, sent as they are.

The page works through the REST API alone. It names no file of the server and keeps none there; the
server sends it no address of another machine, and the browser is told to ask none.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

__all__ = ["add_page", "has_editor"]

_FILES = Path(__file__).with_name("page_files")
# Written by scripts/build_ketcher.sh; its larger files are compressed.
_EDITOR = Path(__file__).with_name("ketcher")
_NAMES = ("index.html", "page.css", "page.js", "texts.js", "icon.svg")
_EDITOR_NAMES = ("index.html", "process.js", "ketcher.js", "ketcher.css", "LICENSE")
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    "": "text/plain",
}
_POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'"
# Ketcher styles its elements as it runs, and starts WebAssembly from inside its script.
_EDITOR_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' blob: 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'"
)


def has_editor() -> bool:
    """Was the structure editor built?"""
    return (_EDITOR / "index.html").is_file()


def add_page(app: FastAPI) -> None:
    """Answer ``/`` with the page, ``/ketcher/`` with the structure editor where there is one."""

    @app.get("/", include_in_schema=False)
    @app.get("/page/{name}", include_in_schema=False)
    async def page(name: str = "index.html") -> Response:
        if name not in _NAMES:
            raise HTTPException(404, f"the page has no file {name[:100]!r}")
        return _answer(_FILES / name, _POLICY)

    @app.get("/ketcher/{name}", include_in_schema=False)
    async def editor(name: str, request: Request) -> Response:
        if name not in _EDITOR_NAMES or not has_editor():
            raise HTTPException(
                404, "no such file of the structure editor; scripts/build_ketcher.sh builds it"
            )
        packed = _EDITOR / f"{name}.gz"
        if not packed.is_file():
            return _answer(_EDITOR / name, _EDITOR_POLICY)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            raise HTTPException(406, "this file is sent compressed with gzip only")
        answer = _answer(packed, _EDITOR_POLICY, Path(name).suffix)
        answer.headers["Content-Encoding"] = "gzip"
        return answer


def _answer(path: Path, policy: str, ending: str | None = None) -> Response:
    """A file of the package; browsers ask each time whether it has changed."""
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    kind = _KINDS[path.suffix if ending is None else ending]
    return FileResponse(path, headers=headers, media_type=kind)
