"""What `eyesmol serve` bears: requests a second, waiting times, memory, and slow or greedy clients.

    python benchmarks/load.py                       # about five minutes on an idle core
    python benchmarks/load.py --requests 40 --seconds 30
    python benchmarks/load.py --requests 10000 --seconds 7200 --clients 8    # is the memory flat?

Starts a server of its own on the loopback interface, sends it drawings of a few molecules, and
prints one table of the load and one of what others feel of clients that send slowly and of one that
sends fifty images at once. Every phase ends after `--requests` requests or
`--seconds` seconds, whichever comes first. Server and clients share this machine.
"""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import httpx2
from rdkit import Chem
from rdkit.Chem import Draw

_MOLECULES = ("CC(=O)Oc1ccccc1C(=O)O", "CN1CCC[C@H]1c1cccnc1", "CC(=O)Nc1ccc(O)cc1", "CC(C)CO")
_WARM_UP = 8  # requests, before memory is looked at
_TIMEOUT = 600


def drawing(smiles: str) -> bytes:
    """A PNG of 300 x 220 pixels."""
    buffer = io.BytesIO()
    Draw.MolToImage(Chem.MolFromSmiles(smiles), size=(300, 220)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Phase:
    """Requests that were answered.

    Attributes:
        waits: seconds from each request to its answer.
        refused: answers with 503, which tells a client to come again.
        seconds: from the first request to the last answer.
    """

    waits: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0

    @property
    def middle(self) -> float:
        """Median of the waits; NaN where there is none."""
        return median(self.waits) if self.waits else float("nan")

    @property
    def late(self) -> float:
        """95th percentile of the waits."""
        return quantiles(self.waits, n=20)[-1] if len(self.waits) > 1 else self.middle


class Server:
    """`eyesmol serve` in a process of its own."""

    def __init__(self, model: str) -> None:
        command = [sys.executable, "-m", "eyesmol", "serve", "--model", model, "--port", "0"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        for line in self._process.stderr:
            if line.startswith("page http"):
                self.address = line.split()[1].rstrip("/")
                return
        raise SystemExit(f"the server did not start: exit code {self._process.wait()}")

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def close(self) -> None:
        """Stop it and wait until it is gone."""
        self._process.terminate()
        self._process.wait(30)


def load(address: str, images: list[bytes], clients: int, requests: int, seconds: float) -> Phase:
    """Clients that send one image after another."""
    phase, numbers, lock = Phase(), count(), threading.Lock()
    start = time.perf_counter()

    def client() -> None:
        with httpx2.Client(timeout=_TIMEOUT) as connection:
            while time.perf_counter() - start < seconds:
                with lock:
                    number = next(numbers)
                if number >= requests:
                    return
                file = {"files": ("a.png", images[number % len(images)])}
                asked = time.perf_counter()
                answer = connection.post(f"{address}/api/recognize", files=file)
                waited = time.perf_counter() - asked
                with lock:
                    if answer.status_code == 503:
                        phase.refused += 1
                    else:
                        answer.raise_for_status()
                        phase.waits.append(waited)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    phase.seconds = time.perf_counter() - start
    return phase


# ---- clients that are a burden ----


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname or "", parts.port or 80))


def _encoded(address: str, file: tuple[str, bytes]) -> bytes:
    """A whole request as it travels."""
    request = httpx2.Request("POST", f"{address}/api/recognize", files={"files": file})
    body = request.read()
    head = "\r\n".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"POST /api/recognize HTTP/1.1\r\n{head}\r\n\r\n".encode() + body


def sends_slowly(address: str, stop: threading.Event, image: bytes) -> None:
    """Sends a request a byte every tenth of a second."""
    with _connect(address) as connection:
        for byte in cycle(_encoded(address, ("a.png", image))[:-1]):
            if stop.wait(0.1):
                return
            connection.sendall(bytes([byte]))


def asks_for_fifty(address: str, stop: threading.Event, image: bytes) -> None:
    """Sends archives of fifty images, one after the other, until it is told to stop."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.png", image)
    whole = _encoded(address, ("fifty.zip", buffer.getvalue()))
    while not stop.is_set():
        with _connect(address) as connection:
            connection.settimeout(0.5)
            connection.sendall(whole)
            while not stop.is_set():
                try:
                    if connection.recv(65536):
                        break
                except TimeoutError:
                    continue


Burden = Callable[[str, threading.Event, bytes], None]


@contextmanager
def beside(burden: Burden, address: str, image: bytes, clients: int) -> Iterator[None]:
    """Some such clients at work."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=burden, args=(address, stop, image), daemon=True)
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


# ---- tables ----


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="detector")
    parser.add_argument("--requests", type=int, default=200, help="of each phase, at most (200)")
    parser.add_argument("--seconds", type=float, default=60, help="of each phase, at most (60)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32], help="(1 8 32)")
    options = parser.parse_args()
    images = [drawing(smiles) for smiles in _MOLECULES]
    server = Server(options.model)
    try:
        load(server.address, images, 2, _WARM_UP, options.seconds)
        _print_load(server, images, options)
        _print_burdens(server, images, options)
    finally:
        server.close()


def _print_load(server: Server, images: list[bytes], options: argparse.Namespace) -> None:
    before = server.megabytes
    print("| clients | requests | a second | median, s | 95th percentile, s | refused | MB |")
    print("|---|---|---|---|---|---|---|")
    total = 0
    for clients in options.clients:
        phase = load(server.address, images, clients, options.requests, options.seconds)
        total += len(phase.waits)
        print(
            f"| {clients} | {len(phase.waits)} | {len(phase.waits) / phase.seconds:.2f} "
            f"| {phase.middle:.2f} | {phase.late:.2f} | {phase.refused} "
            f"| {server.megabytes:.0f} |",
            flush=True,
        )
    grown = server.megabytes / before - 1
    print(f"\nMemory: {before:.0f} MB before, {grown:+.1%} after {total} requests.\n")


def _print_burdens(server: Server, images: list[bytes], options: argparse.Namespace) -> None:
    print("| beside one client | median, s | 95th percentile, s | times as long |")
    print("|---|---|---|---|")
    requests = min(options.requests, 30)

    def one() -> Phase:
        return load(server.address, images, 1, requests, options.seconds)

    alone = one()
    print(f"| nobody | {alone.middle:.2f} | {alone.late:.2f} | 1.0 |", flush=True)
    burdens: list[tuple[str, Burden, int]] = [
        ("eight that send a byte at a time", sends_slowly, 8),
        ("one that sends fifty images at once, again and again", asks_for_fifty, 1),
    ]
    for name, burden, clients in burdens:
        with beside(burden, server.address, images[0], clients):
            phase = one()
        times = phase.middle / alone.middle
        print(f"| {name} | {phase.middle:.2f} | {phase.late:.2f} | {times:.1f} |", flush=True)


if __name__ == "__main__":
    main()
