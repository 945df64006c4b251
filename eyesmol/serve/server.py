"""Page, API and service together, listening until they are told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from eyesmol.serve.access import Access, AccessControl
from eyesmol.serve.app import create_app, model_info
from eyesmol.serve.service import ReadingService
from eyesmol.serve.upload_folder import UploadFolder
from eyesmol.serve.uploads import Limits

if TYPE_CHECKING:
    from eyesmol.reader.base import Recognizer

__all__ = ["running_app", "serve"]

_GRACE = 3  # seconds in which answers may be finished after the server was told to stop


@contextmanager
def running_app(
    reader: Recognizer,
    name: str,
    *,
    limits: Limits,
    access: Access | None = None,
    batch_size: int = 8,
    max_new_tokens: int | None = None,
) -> Iterator[Any]:
    """The whole app over a model, for any ASGI server; its folder and its thread end with it.

    Args:
        reader: the model.
        name: how it is called; of a folder the last part is shown.
        limits: of one request.
        access: who may ask; without it whoever reaches the port, by no name but ``localhost``.
        batch_size, max_new_tokens: see `ReadingService`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="eyesmol-page-") as folder,
        _environment(
            # No telemetry, and no upload outlives the server.
            GRADIO_ANALYTICS_ENABLED="False",
            GRADIO_TEMP_DIR=folder,
        ),
    ):
        from eyesmol.serve.page import mount_page

        service = ReadingService(reader, batch_size=batch_size, max_new_tokens=max_new_tokens)
        try:
            model = model_info(name, reader, limits)
            app = create_app(service, model, limits)
            uploads = UploadFolder(Path(folder), limits.kept_bytes)
            app.add_middleware(AccessControl, access=access or Access(), uploads=uploads)
            yield mount_page(app, service, model, limits, uploads)
        finally:
            service.close()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables of the environment, as they were afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(
    reader: Recognizer,
    name: str,
    listening: socket.socket,
    *,
    limits: Limits,
    access: Access | None = None,
    batch_size: int = 8,
    max_new_tokens: int | None = None,
) -> None:
    """Answer requests at a listening socket until interrupted; arguments as in `running_app`."""
    import uvicorn

    class Server(uvicorn.Server):
        """Hangs up on who is still sending or listening soon after it was told to stop."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            asyncio.get_running_loop().call_later(_GRACE, self._hang_up)
            await super().shutdown(sockets)

        def _hang_up(self) -> None:
            for connection in list(self.server_state.connections):
                cast(Any, connection).transport.abort()

    # uvicorn ends well at SIGTERM and then raises it again: let that too tidy up.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    access = access or Access()
    with running_app(
        reader,
        name,
        limits=limits,
        access=access,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
    ) as app:
        host, port = listening.getsockname()[:2]
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        host = f"[{host}]" if ":" in host else host
        key = f"?token={access.token}" if access.token else ""
        print(f"page http://{host}:{port}/{key}   API http://{host}:{port}/docs", file=sys.stderr)
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, timeout_graceful_shutdown=2 * _GRACE
        )
        Server(config).run(sockets=[listening])
