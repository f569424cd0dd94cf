"""The viewer in a real browser, fed by the real server and a show without models."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "web"))

from pretend import PretendShow

from engine.bench.beside import CHROMIUM, free_port
from engine.config import load
from engine.params import Params
from engine.web.server import Web

PATIENCE = 60.0  # s: a loaded machine takes its time to connect


# One event loop for all: aioice keeps one lock a thread for mDNS, and it belongs to the first loop that waits for it.
pytestmark = pytest.mark.asyncio(loop_scope="session")

BOXES = """[...document.querySelectorAll('video')].filter((v) => v.offsetParent).map((v) => {
    const { left, right, top, bottom } = v.getBoundingClientRect();
    return { left, right, top, bottom, fit: getComputedStyle(v).objectFit };
})"""


@pytest_asyncio.fixture(loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed: see `make test`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def show(
    port: int, presentation: str = "delay", pretend: PretendShow | None = None
) -> AsyncIterator[tuple[Web, PretendShow]]:
    pretend = pretend or PretendShow()
    pretend.presentation = presentation
    web = Web(load(None, [f"port={port}", "width=128", "height=224"]), pretend)
    await web.start()
    running = asyncio.create_task(pretend.run(web))
    try:
        yield web, pretend
    finally:
        running.cancel()
        await web.stop()


async def opened(browser: Browser) -> Page:
    return await browser.new_page(viewport={"width": 960, "height": 540})


async def until(page: Page, true: str) -> None:
    """Wait until an expression holds; playwright's own way needs eval, which the page's policy forbids."""
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(true):
            await page.wait_for_timeout(100)


async def playing(page: Page, url: str) -> None:
    await page.goto(url)
    await until(page, "dancer.videoWidth === 128 && dancer.currentTime > 0.5")
    await until(page, "document.getElementById('status').textContent === ''")


async def test_it_plays_with_sound_on_demand_and_a_readout(browser: Browser) -> None:
    async with show(free_port()) as (web, _):
        page = await opened(browser)
        mistakes: list[str] = []
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        await playing(page, web.address)
        assert await page.title() == "xdancer"
        assert await page.is_visible("#sound") and await page.evaluate("dancer.muted")
        await page.click("#sound")
        await until(page, "!dancer.muted && document.getElementById('sound').hidden")
        assert not await page.is_visible("#sound")
        await page.keyboard.press("m")
        await until(page, "dancer.muted")
        await page.keyboard.press("i")
        await until(page, "/\\d+\\.\\d fps, 128 x 224/.test(document.getElementById('readout').textContent)")
        assert "120.0 BPM" in await page.inner_text("#readout")
        assert mistakes == []


EARS = """() => {
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    context.createMediaStreamSource(dancer.srcObject).connect(splitter);
    window.ears = [0, 1].map((channel) => {
        const analyser = context.createAnalyser();
        splitter.connect(analyser, channel);
        return analyser;
    });
    window.peaks = [0, 0];
    const samples = new Float32Array(2048);
    setInterval(() => window.ears.forEach((ear, k) => {
        ear.getFloatTimeDomainData(samples);
        window.peaks[k] = Math.max(window.peaks[k], ...samples);
    }), 10);
}"""


async def test_each_ear_hears_its_own(browser: Browser) -> None:
    one_sided = PretendShow()
    one_sided.sound = one_sided.sound * [1, 0]
    async with show(free_port(), pretend=one_sided) as (web, _):
        page = await opened(browser)
        await playing(page, web.address)
        await page.click("#sound")
        await page.evaluate(EARS)
        await until(page, "peaks[0] > 0.3")
        left, right = await page.evaluate("peaks")
        assert right < 0.2 * left


async def test_layouts_fill_a_wall(browser: Browser) -> None:
    async with show(free_port()) as (web, _):
        page = await opened(browser)
        for layout, videos in (("single", 1), ("trio", 3), ("mirror", 2)):
            await playing(page, f"{web.address}?layout={layout}&fit=cover")
            shown = "[...document.querySelectorAll('video')].filter((v) => v.offsetParent).length"
            assert await page.evaluate(shown) == videos
            boxes = await page.evaluate(BOXES)
            assert min(box["left"] for box in boxes) <= 0 and max(box["right"] for box in boxes) >= 960
            assert all(box["top"] <= 0 and box["bottom"] >= 540 and box["fit"] == "cover" for box in boxes)
        await page.keyboard.press("l")
        assert "single" in await page.inner_text("#layout")
        for layout in ("trio", "mirror"):  # unless asked to, no layout cuts heads and feet off
            await playing(page, f"{web.address}?layout={layout}")
            assert all(box["fit"] == "contain" for box in await page.evaluate(BOXES))


async def test_it_comes_back_when_the_show_does(browser: Browser) -> None:
    port = free_port()
    page = await opened(browser)
    async with show(port) as (web, _):
        await playing(page, web.address)
    await until(page, "/Trying again/.test(document.getElementById('status').textContent)")
    async with show(port):
        await until(page, "document.getElementById('status').textContent === ''")
        before = await page.evaluate("dancer.currentTime")
        await until(page, f"dancer.currentTime > {before} + 0.5")


async def test_where_the_room_hears_the_music_it_is_silent_and_says_how_long_a_picture_takes(browser: Browser) -> None:
    async with show(free_port(), "anticipate") as (web, pretend):
        page = await opened(browser)
        await playing(page, web.address)
        assert not await page.is_visible("#sound")
        reported = await asyncio.wait_for(pretend.reported.get(), PATIENCE)
        assert 0 < reported < 2  # seconds from leaving to the screen, on this machine


async def test_a_room_that_hears_the_music_stays_one_when_the_show_comes_back(browser: Browser) -> None:
    port = free_port()
    page = await opened(browser)
    async with show(port, "anticipate") as (web, pretend):
        await playing(page, web.address)
        await asyncio.wait_for(pretend.reported.get(), PATIENCE)
    await until(page, "/Trying again/.test(document.getElementById('status').textContent)")
    await page.evaluate("ask()")  # as the page does every few seconds, in vain now
    async with show(port, "anticipate") as (_, pretend):
        await asyncio.wait_for(pretend.reported.get(), PATIENCE)
        assert not await page.is_visible("#sound")


async def test_the_trim_is_what_tapping_with_flashes_lags_behind_tapping_with_the_music(browser: Browser) -> None:
    async with show(free_port(), "anticipate") as (web, pretend):
        page = await opened(browser)
        await playing(page, web.address)
        await page.keyboard.press("t")
        await until(page, "/Close your eyes/.test(document.getElementById('trim').textContent)")
        # Time that the test sets: beats every 500 ms, a person who taps 30 ms early, and a picture that is 80 ms late.
        await page.evaluate("() => { ask = async () => {}; clockOffset = 0; state.beat_phase = 0; state.tempo = 120; }")
        for round, offset in (("hear", -30), ("see", 50)):
            await until(page, f"trim.round === '{round}'")
            assert pretend.params["flash"] == (round == "see")
            for k in range(16):
                await page.evaluate(f"() => {{ performance.now = () => {500 * k + 5000 + offset}; }}")
                await page.keyboard.press(" ")
        await until(page, "/80 ms too late/.test(document.getElementById('trim').textContent)")
        assert pretend.performer.wanted == Params(trim_ms=-80)
