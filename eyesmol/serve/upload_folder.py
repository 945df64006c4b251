"""The folder in which the page keeps what was uploaded to it: nothing else is read for anybody.

A request of the page names its files by their paths on this machine, as Gradio made it. So every
path that comes in is checked here, whatever Gradio checks itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eyesmol.serve.uploads import UploadError

__all__ = ["UploadFolder"]

_LEAST = 8192  # bytes that even an empty file and its folder take


@dataclass(frozen=True)
class UploadFolder:
    """Uploads as Gradio keeps them: ``FOLDER/SHA-256 OF THE FILE/NAME``.

    Gradio does not say in which session a file was uploaded. What keeps the uploads of others apart
    is the hash: nobody can name a file without having it.

    Attributes:
        path: the folder.
        most_bytes: of all its files together, see `trim`.
    """

    path: Path
    most_bytes: int
    _trimming: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def file(self, name: str) -> Path:
        """The uploaded file of that path.

        Raises:
            UploadError: 403, it is anything else: a file elsewhere, whether there is one or not, a
                folder (which would hold the uploads of others), a link out of here, a URL.
        """
        with suppress(OSError, ValueError):  # a name that no file can have
            path, folder = Path(name).resolve(), self.path.resolve()
            if path.parent.parent == folder and path.is_file():
                return path
        raise UploadError(
            403, "this file was not uploaded here, or is no longer kept: upload it again"
        )

    def check(self, payload: Any) -> None:
        """Refuse JSON that names, however deep inside, a file that was not uploaded.

        Raises:
            UploadError: see `file`.
        """
        unseen = [payload]
        while unseen:
            value = unseen.pop()
            if isinstance(value, dict):
                if isinstance(value.get("path"), str):
                    self.file(value["path"])
                unseen += value.values()
            elif isinstance(value, list):
                unseen += value

    def trim(self) -> None:
        """Delete the oldest files until the others are no more than is kept."""
        with self._trimming:
            files = sorted(self._files())
            total = sum(size for _, size, _ in files)
            for _, size, path in files:
                if total <= self.most_bytes:
                    return
                total -= size
                with suppress(OSError):  # Gradio deleted it, or its folder holds another
                    path.unlink()
                    if path.parent != self.path:
                        path.parent.rmdir()

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """When each was written, the bytes that it takes, and its path."""
        for path in self.path.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    about = path.stat()
                    yield about.st_mtime, max(about.st_size, _LEAST), path
