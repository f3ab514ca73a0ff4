"""Download of one large file over loopback, one stream: a real vaultd, which hashes what it sends, beside uvicorn with
nothing but Starlette's FileResponse, and nginx with sendfile where it is installed.

The client only takes the bytes. The floor is uvicorn: what an ASGI server can send without looking at it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness import MIB, Row, console, fill, show
from benchmarks.node import BIN, vaultd

FLOOR = "floor: uvicorn, FileResponse"
ROUNDS = 5
_APP = """
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Route
async def send(request):
    return FileResponse("large.bin")
async def take(request):
    with open("taken.bin", "wb") as file:
        async for chunk in request.stream():
            file.write(chunk)
    return Response()
app = Starlette(routes=[Route("/large.bin", send), Route("/large.bin", take, methods=["PUT"])])
"""
_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{ access_log off; sendfile on; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


def run(scale: float) -> None:
    """``scale`` 1 is a file of 1 GiB."""
    size = max(8 * MIB, int(1024 * MIB * scale))
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as name:
        folder = Path(name)
        fill(folder / "large", 1, size)
        (folder / "large" / "f000000.bin").rename(folder / "large.bin")
        with vaultd(folder / "node") as node, ExitStack() as stack:
            node.deposit(folder / "large.bin", 600)
            contenders = {FLOOR: (stack.enter_context(starlette(folder)), "/large.bin", "")}
            nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
            if nginx is None:
                console.print("nginx is not installed; it is left out.")
            else:
                contenders["nginx, sendfile"] = (stack.enter_context(_nginx(nginx, folder)), "/large.bin", "")
            for label, query in (("file", "file=large.bin"), ("tar", "format=tar"), ("zip", "format=zip")):
                contenders[f"khoso, {label}, hashed"] = (node.port, f"/v1/content/bench-1?{query}", node.token)
            seconds = dict.fromkeys(contenders, float("inf"))
            # In turns, so that what else the machine does falls on all of them alike.
            for _ in range(ROUNDS):
                for label, (port, target, token) in contenders.items():
                    began = time.perf_counter()
                    take(port, target, size, token)
                    seconds[label] = min(seconds[label], time.perf_counter() - began)
            rows = [Row(label, found, size) for label, found in seconds.items()]
            show(f"download a file of {size / MIB:.0f} MiB", rows, FLOOR)
            console.print(f"vaultd's peak memory: {node.peak_memory() / MIB:.0f} MiB\n")


def take(port: int, target: str, size: int, token: str = "") -> None:
    """Ask for something and take all of it; at least ``size`` bytes must come."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n".encode())
        buffer, came = bytearray(MIB), 0
        while got := connection.recv_into(buffer):
            came += got
    if came < size:
        raise RuntimeError(f"{target} gave {came} bytes: {bytes(buffer[:200])!r}")


@contextmanager
def starlette(folder: Path) -> Iterator[int]:
    """The plainest application that sends large.bin and takes it, served by uvicorn; gives its port."""
    (folder / "plain_app.py").write_text(_APP, encoding="utf-8")
    port = _free_port()
    command = [sys.executable, BIN / "uvicorn", "plain_app:app", "--port", str(port), "--log-level", "warning"]
    with _running(command, folder, port):
        yield port


@contextmanager
def _nginx(program: str, folder: Path) -> Iterator[int]:
    port = _free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port), encoding="utf-8")
    with _running([program, "-c", config], folder, port):
        yield port


@contextmanager
def _running(command: list[str | Path], folder: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=folder)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
