"""Page, API and service together, listening until they are told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from eyesmol.serve.access import Access, AccessControl
from eyesmol.serve.app import create_app, model_info
from eyesmol.serve.page import add_page, has_editor
from eyesmol.serve.service import ReadingService
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
    """The whole app over a model, for any ASGI server; its thread ends with it.

    Args:
        reader: the model.
        name: how it is called; of a folder the last part is shown.
        limits: of one request.
        access: who may ask; without it whoever reaches the port, by no name but ``localhost``.
        batch_size, max_new_tokens: see `ReadingService`.
    """
    from eyesmol.reader.detector import DetectorRecognizer

    if isinstance(reader, DetectorRecognizer):
        batch_size = 1  # it reads one after another: nobody need wait for the end of a batch
    service = ReadingService(reader, batch_size=batch_size, max_new_tokens=max_new_tokens)
    try:
        model = model_info(name, reader, limits, editor=has_editor())
        app = create_app(service, model, limits)
        app.add_middleware(AccessControl, access=access or Access())
        add_page(app)
        yield app
    finally:
        service.close()


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
