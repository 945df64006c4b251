"""``serve``: the web page and the REST API."""

from __future__ import annotations

import argparse
import socket
from importlib.util import find_spec
from typing import Any

from eyesmol.cli import UsageError, add_views, positive
from eyesmol.reader.embedded import DETECTOR

_EXAMPLES = """examples:
  eyesmol serve
  eyesmol serve --model runs/quickstart/merged
  curl -F files=@drawing.png http://127.0.0.1:7860/api/recognize
  curl -F files=@paper.pdf -F v3000=true http://127.0.0.1:7860/api/recognize

The page is at http://127.0.0.1:7860/, the API's description at /docs. Both work without a network:
nothing is fetched and nothing is sent anywhere. With another --host than this machine's own
127.0.0.1, a token is asked for: it is in the address that is printed, and programs send it as
"Authorization: Bearer TOKEN". EYESMOL_TOKEN sets it; else it is new at each start."""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "serve",
        help="a web page and a REST API for reading images",
        description="Serve a model: a web page for people, a REST API for programs. Requests that "
        "wait together are read together.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        default=DETECTOR,
        help="detector, which comes with EyesMol (the default); nano, the tiny vision-language "
        "model that comes with it; the folder of a merged model, or its hub name",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name by which the server is called, as behind a proxy; may be given again. "
        "Others are refused, but for localhost, addresses in digits and, with another --host, "
        "this machine's name",
    )
    parser.add_argument(
        "--no-token",
        action="store_true",
        help="ask nobody for a token: whoever reaches the port can use the model",
    )
    parser.add_argument("--port", type=_port, default=7860, help="port (7860); 0 takes a free one")
    parser.add_argument(
        "--max-megabytes", type=positive, default=20, metavar="N", help="of one request (20)"
    )
    parser.add_argument(
        "--max-pages",
        type=positive,
        default=50,
        metavar="N",
        help="images, pages and members of archives in one request (50)",
    )
    parser.add_argument("--batch-size", type=positive, default=8, help="images at a time (8)")
    parser.add_argument("--max-new-tokens", type=positive, help="where to cut an answer off (4096)")
    parser.add_argument(
        "--form", choices=("json", "compact"), help="answer form, where the model does not say"
    )
    add_views(parser)
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="of eyesmol calibrate (calibration.json in the model's folder, where there is one)",
    )
    parser.add_argument("--device", help="cuda, cuda:1, cpu, ... (the first GPU, else the CPU)")
    parser.set_defaults(run=_serve)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to 65535")
    return number


def _serve(options: argparse.Namespace) -> None:
    missing = [
        name
        for name in ("fastapi_offline", "python_multipart", "uvicorn", "scipy")
        if find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"the web page needs {', '.join(missing)}: pip install 'eyesmol[serve]'"
        )  # fmt: skip
    listening = _listening(options.host, options.port)  # before the model loads
    from eyesmol.serve.access import Access

    try:
        access = Access.at(
            listening.getsockname()[0], options.allowed_host, with_token=not options.no_token
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    from eyesmol.reader.base import Recognizer
    from eyesmol.serve.server import serve
    from eyesmol.serve.uploads import Limits

    reader = Recognizer.from_pretrained(
        options.model,
        form=options.form,
        device=options.device,
        calibration=options.calibration,
        views=options.views,
    )
    serve(
        reader,
        options.model,
        listening,
        limits=Limits(options.max_megabytes, options.max_pages),
        access=access,
        batch_size=options.batch_size,
        max_new_tokens=options.max_new_tokens,
    )


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there and nowhere else."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host}, port {port}: {error.strerror}; choose another --port or "
            "--host"
        ) from None
    return listening
