"""The visualizer in a real browser: the show's own server, the embedded broker's WebSocket, real messages."""

import asyncio
import contextlib
import io
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from brokers import outlet, until
from dancer import TOKENIZER, dance, danced
from playwright.async_api import Browser, Page, async_playwright
from pretend import PretendShow

from engine.bench.beside import CHROMIUM
from engine.config import load
from engine.mqtt import MqttOutlet, messages
from engine.web.server import Web

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "clients" / "visualizer"
PATIENCE = 90.0  # s: WebGL without a GPU on a loaded machine
GL = [arg for arg in CHROMIUM if arg != "--disable-gpu"] + ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest_asyncio.fixture(loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=GL)
        yield browser
        await browser.close()


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """What is committed is what the sources give; onnxruntime's WebAssembly is fetched with its package."""
    before = (PAGE / "dist" / "visualizer.js").read_bytes()
    if not (PAGE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=PAGE, check=True)
    subprocess.run(["npm", "run", "build"], cwd=PAGE, check=True)
    assert (PAGE / "dist" / "visualizer.js").read_bytes() == before, "dist/ is older than src/: npm run build"


@contextlib.asynccontextmanager
async def show(decoder: bool = True) -> AsyncIterator[tuple[Web, MqttOutlet]]:
    """A show that dances without end, its server and its embedded broker."""
    web = Web(load(None, ["port=0"]), PretendShow())
    await web.start()
    url = f"{web.address}tokenizer/{TOKENIZER.sha256}/decoder.onnx" if decoder else None
    meta = messages.meta(TOKENIZER.receptive_field, TOKENIZER.name, TOKENIZER.sha256, url)
    out = outlet("embedded", port=0, ws_port=0, meta=meta)
    await out.start()
    await until(lambda: out.connected)
    web.broker = out.ws_address
    dancing = asyncio.create_task(dance(out))
    try:
        yield web, out
    finally:
        dancing.cancel()
        await out.stop()
        await web.stop()


async def opened(browser: Browser, url: str) -> tuple[Page, list[str]]:
    page = await browser.new_page(viewport={"width": 320, "height": 360})
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    await page.goto(url)
    return page, said


async def holds(page: Page, expression: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(f"Boolean({expression})"):
            await page.wait_for_timeout(100)


async def picture(page: Page, transparent: bool = False) -> np.ndarray:
    """The page as RGBA, uint8 (H, W, 4)."""
    png = await page.screenshot(omit_background=transparent, timeout=1000 * PATIENCE)
    with av.open(io.BytesIO(png)) as image:
        return next(image.decode(video=0)).to_ndarray(format="rgba")


async def test_it_decodes_the_tokens_itself_and_draws_a_body(browser: Browser) -> None:
    async with show() as (web, _):
        page, said = await opened(browser, f"{web.address}visualizer")
        await holds(page, "window.xdancer && xdancer.show.frames.at(-1)?.decoded && xdancer.drawn() > 0")
        frames = json.loads(
            await page.evaluate(
                "JSON.stringify(xdancer.show.frames.filter((f) => f.decoded).map((f) => [f.index, [...f.pose]]))"
            )
        )
        for index, pose in frames:
            np.testing.assert_allclose(np.reshape(pose, (60, 3)), danced(index), atol=0.02)
        assert await page.evaluate("xdancer.show.lost") == 0 and await page.evaluate("xdancer.show.beats.length") > 0
        await holds(page, "document.getElementById('status').textContent === ''")
        seen = (await picture(page)).astype(int)
        figure, corner = seen[60:320, 110:210, :3], seen[:60, :60, :3]
        assert (figure.max(axis=2) > 120).mean() > 0.1  # a body, not lines
        assert corner.max() < 60
        assert said == []


async def test_over_a_stream_there_is_nothing_but_the_body(browser: Browser) -> None:
    async with show() as (web, _):
        page, _ = await opened(browser, f"{web.address}visualizer/?bg=transparent")
        await holds(page, "window.xdancer && xdancer.show.frames.length > 9 && xdancer.drawn() > 0")
        seen = await picture(page, transparent=True)
    alpha = seen[..., 3]
    assert alpha[:20, :20].max() == 0 and (alpha[60:320, 110:210] > 200).mean() > 0.1
    assert await page.evaluate("document.getElementById('status').textContent") == ""


async def test_nonsense_is_passed_over_and_late_frames_are_forgotten(browser: Browser) -> None:
    async with show() as (web, _):
        page, _ = await opened(browser, f"{web.address}visualizer")
        await holds(page, "window.xdancer && xdancer.show.frames.length > 9")
        await page.evaluate("""() => {
            const nonsense = JSON.stringify({ session: xdancer.show.session, frame: 1e6, seq: 0, due: 0 });
            xdancer.show.client.emit("message", "xdancer/v1/main/pose", nonsense);
            const now = Date.now;
            Date.now = () => now() + 1500; // all of it comes late for a moment
            setTimeout(() => (Date.now = now), 500);
        }""")
        ahead = "(xdancer.show.frames.at(-1)?.due - Date.now() / 1000)"
        await holds(page, f"{ahead} > 1")
        await holds(page, f"{ahead} > 0 && {ahead} < 0.5")


async def test_without_a_decoder_it_follows_the_pose_topic_and_tells_when_the_show_is_over(browser: Browser) -> None:
    async with show(decoder=False) as (web, _):
        page, _ = await opened(browser, f"{web.address}visualizer/?info=on")
        await holds(page, "window.xdancer && xdancer.show.frames.length > 9")
        assert not await page.evaluate("xdancer.show.frames.some((frame) => frame.decoded)")
        await holds(page, "document.getElementById('readout').textContent.includes('from the pose topic')")
    await holds(page, "/over|reached/.test(document.getElementById('status').textContent)")


async def test_between_frames_the_body_moves_on() -> None:
    code = f"""
        import {{ beatAt, poseAt }} from {json.dumps(str(PAGE / "src" / "motion.js"))};
        const pose = (x, c) => {{ const p = new Float32Array(180); p[0] = x; p[2] = c; return p; }};
        const frames = [0, 1, 2, 3].map((n) => ({{ due: n / 30, pose: pose(10 * n, 1) }}));
        const gone = [{{ due: 0, pose: pose(7, 1) }}, {{ due: 1, pose: pose(0, 0) }}];
        const at = (t) => poseAt(frames, t)[0];
        const beats = [{{ due: 1, inBar: 0, bpm: 120 }}, {{ due: 1.5, inBar: 1, bpm: 120 }}];
        console.log(JSON.stringify([at(-1), at(1 / 30 + 1e-9), at(1.5 / 30), at(1.75 / 30), at(9),
          [...poseAt(gone, 0.5).slice(0, 3)], poseAt([], 0),
          beatAt(beats, 0.5), beatAt(beats, 1.25), beatAt(beats, 9).strong]));
    """
    result = await asyncio.to_thread(
        subprocess.run,
        ["node", "--input-type=module", "-e", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PAGE,
    )
    early, one, half, later, late, fading, none, before, beat, weak = json.loads(result.stdout)
    assert [early, late, none, before, weak] == [0, 30, None, None, False]
    np.testing.assert_allclose([one, half, later], [10, 15, 17.5], atol=1e-4)
    np.testing.assert_allclose(fading, [7, 0, 0.5])
    assert beat == {"age": 0.25, "strong": True, "bpm": 120}
