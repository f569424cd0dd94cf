"""What benches start beside themselves: a process, a show, a browser that looks at it."""

import contextlib
import multiprocessing
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from xdancer.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Page

T = TypeVar("T")
START_MOST = 90.0  # seconds until a show that does not begin is given up
SETTLE = 8.0  # seconds that a browser takes to line up sound and picture; not counted
CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip


def apart(work: Callable[..., T], *args: object) -> T:
    """What `work(*args)` returns or raises, in a process of its own, whose memory nobody else has used. Raises
    BrokenProcessPool where the system ends it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def demo_show() -> Iterator[tuple[int, int, subprocess.Popen[bytes]]]:
    """A real `xdancer live --audio demo`: its HTTP port, its MQTT port, its process."""
    port, mqtt, ws = (free_port() for _ in range(3))
    command = "from engine.cli import main; raise SystemExit(main())"
    arguments = ["live", "--audio", "demo", "--port", str(port), f"mqtt.port={mqtt}", f"mqtt.ws_port={ws}"]
    with process([sys.executable, "-c", command, *arguments]) as show:
        yield port, mqtt, show


@contextlib.contextmanager
def process(command: list[str], stdout: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; its output goes to `stdout` or nowhere."""
    running = subprocess.Popen(command, stdout=stdout or subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()


@contextlib.contextmanager
def viewer(port: int, show: subprocess.Popen[bytes]) -> "Iterator[Page]":
    """The viewer in headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("bench drives a browser through playwright; get it with `pip install xdancer[dev]`") from None
    until(lambda: _listening(port), show, time.monotonic())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium", "chromium"), args=CHROMIUM)
        page = browser.new_context(bypass_csp=True).new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        yield page
        browser.close()


def until(ready: Callable[[], bool], show: subprocess.Popen[bytes], begun: float) -> None:
    """Wait. Raises UserError where the show has ended, or is not ready START_MOST after `begun`."""
    while not ready():
        if show.poll() is not None:
            assert show.stderr is not None
            last = show.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"bench: the show ended with code {show.returncode}: {' '.join(last)}")
        if time.monotonic() - begun > START_MOST:
            raise UserError(f"bench: no show within {START_MOST:.0f} s")
        time.sleep(0.05)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def need(program: str, package: str) -> str:
    """Where a program is. Raises UserError where it is not installed."""
    found = shutil.which(program)
    if found is None:
        raise UserError(f"bench needs {program}; get it with `apt-get install {package}`")
    return str(Path(found))
