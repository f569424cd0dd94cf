"""The control page in a real browser, at the size of a phone, on the real server and a show without models."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "web"))

from pretend import PretendShow

from engine.bench.beside import CHROMIUM, free_port
from engine.config import TOKEN_VARIABLE, load
from engine.web.server import Web

PATIENCE = 60.0  # s
PRESETS = ["presets.Calm={energy: 0.2, temperature: 0.7}", "presets.Drop={energy: 1, apply: bar}"]

# One event loop for all: aioice keeps one lock a thread for mDNS, and it belongs to the first loop that waits for it.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def page() -> AsyncIterator[Page]:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed: see `make test`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield await phone(browser)
        await browser.close()


async def phone(browser: Browser) -> Page:
    page = await browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    return page


@contextlib.asynccontextmanager
async def show(port: int, *settings: str) -> AsyncIterator[tuple[Web, PretendShow]]:
    config = load(None, [f"port={port}", "width=128", "height=224", *PRESETS, *settings])
    show = PretendShow(config=config)
    web = Web(config, show, performer=show.performer)
    await web.start()
    running = asyncio.create_task(show.run(web))
    try:
        yield web, show
    finally:
        running.cancel()
        await web.stop()


async def until(page: Page, true: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(true):
            await page.wait_for_timeout(50)


async def opened(page: Page, url: str) -> None:
    await page.goto(url)
    await until(
        page, "!document.body.classList.contains('away') && document.getElementById('presets').children.length > 0"
    )


async def wanted(page: Page, show: PretendShow, **params: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(show.params[name] != value for name, value in params.items()):
            await page.wait_for_timeout(20)


async def test_a_wish_waits_for_its_bar_and_then_is_so(page: Page) -> None:
    async with show(free_port()) as (web, pretended):
        pretended.patient = True
        await opened(page, web.address + "control")
        await until(page, "document.getElementById('tempo').textContent === '120.0 BPM'")
        assert await page.inner_text("#studio") == "live"
        await page.get_by_label("on the bar").check()
        await page.get_by_role("button", name="Mirror").tap()
        await wanted(page, pretended, mirror=True, apply="bar")
        await until(page, "document.getElementById('mirror').classList.contains('waiting')")
        assert pretended.performer.active.mirror is False
        await page.get_by_label("Energy").fill("0.25")
        await wanted(page, pretended, energy=0.25)
        await until(page, "document.getElementById('energy-now').textContent === 'by the music → 25 % on the bar'")
        pretended.strike("bar")
        await until(page, "document.getElementById('energy-now').textContent === '25 %'")
        assert await page.get_attribute("#mirror", "aria-pressed") == "true"
        assert "waiting" not in (await page.get_attribute("#mirror", "class") or "")


async def test_what_others_change_shows_at_once(page: Page) -> None:
    async with show(free_port()) as (web, pretended):
        await opened(page, web.address + "control")
        pretended.set_params({"temperature": 0.5, "style": "house", "hold": True, "energy": None})
        await until(page, "document.getElementById('temperature').value === '0.5'")
        assert await page.input_value("#style") == "house"
        assert await page.get_attribute("#hold", "aria-pressed") == "true"
        assert await page.get_attribute("#energy-auto", "aria-pressed") == "true"


async def test_keys_recall_presets_and_switch(page: Page) -> None:
    async with show(free_port()) as (web, pretended):
        await opened(page, web.address + "control")
        await page.keyboard.press("2")
        await wanted(page, pretended, energy=1.0, apply="bar")
        await until(page, "document.querySelector('[data-name=Drop]').getAttribute('aria-pressed') === 'true'")
        await page.keyboard.press("b")
        await wanted(page, pretended, blackout=True)
        await page.keyboard.press("9")  # there is none
        await page.keyboard.press("1")
        await wanted(page, pretended, energy=0.2, temperature=0.7)
        await page.goto(web.address)  # the viewer has the same keys
        await page.keyboard.press("2")
        await wanted(page, pretended, energy=1.0)


async def test_the_tempo_is_tapped_doubled_and_nudged(page: Page) -> None:
    async with show(free_port()) as (web, pretended):
        await opened(page, web.address + "control")
        taps: list[float] = []
        pretended.performer.tap = taps.append
        await page.keyboard.press("t")
        await page.get_by_role("button", name="Tap").tap()
        async with asyncio.timeout(PATIENCE):
            while len(taps) < 2:
                await page.wait_for_timeout(20)
        await page.locator("#double").tap()
        await wanted(page, pretended, tempo_scale=2.0)
        await until(page, "document.getElementById('tempo_scale-now').textContent === '×2'")
        await page.locator("#halve").tap()
        await wanted(page, pretended, tempo_scale=1.0)
        await page.locator("#later").tap()
        async with asyncio.timeout(PATIENCE):
            while pretended.params["nudge_ms"] <= 0:
                await page.wait_for_timeout(20)
        await page.get_by_label("Clock").select_option("fixed")
        await wanted(page, pretended, clock="fixed")
        await page.get_by_label("Fixed tempo").fill("96")
        await page.keyboard.press("Enter")
        await wanted(page, pretended, tempo=96.0)


async def test_a_preset_is_saved_where_there_is_a_file(page: Page, tmp_path: Path) -> None:
    async with show(free_port()) as (web, _):
        await opened(page, web.address + "control")
        assert not await page.is_visible("#save")
    async with show(free_port(), f"presets_file={tmp_path / 'presets.yaml'}") as (web, pretended):
        pretended.set_params({"energy": 0.6})
        await opened(page, web.address + "control")
        await page.get_by_label("Keep what is set now as").fill("Süß <2>")
        await page.get_by_role("button", name="Save").click()
        assert not (tmp_path / "presets.yaml").exists()  # the browser says what is wrong with the name
        await page.get_by_label("Keep what is set now as").fill("Süß 2")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="Süß 2").wait_for()
        assert "energy: 0.6" in (tmp_path / "presets.yaml").read_text()


async def test_everything_is_reached_by_keyboard_and_has_a_name(page: Page) -> None:
    async with show(free_port()) as (web, _):
        await opened(page, web.address + "control")
        reached = []
        for _ in range(40):
            await page.keyboard.press("Tab")
            focused = await page.evaluate("((e) => e.id || e.dataset.name || e.value)(document.activeElement)")
            if not focused or focused in reached:
                break
            reached.append(focused)
        names = ["blackout", "hold", "mirror", "Calm", "Drop", "energy", "energy-auto", "temperature", "style", "seed"]
        assert [name for name in reached if name in names] == names
        snapshot = await page.locator("body").aria_snapshot()
        for line in ("button \"Blackout\"", "slider \"Energy\"", "combobox \"Style\"", "spinbutton \"Seed\"",
                     "button \"Drop\"", "group \"Changes take hold\"", "meter \"Input level\""):  # fmt: skip
            assert line in snapshot, snapshot
        small = await page.evaluate(
            """[...document.querySelectorAll('button, select, input:not([type=radio]), .choice label')]
                .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"""
        )
        assert small == []  # px: what a finger hits
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_what_cannot_be_had_says_why(page: Page) -> None:
    async with show(free_port(), "weights.renderer=nobody") as (web, _):
        await opened(page, web.address + "control")
        assert await page.is_disabled("#renderer") and await page.is_disabled("#reference")
        assert "no renderer 'nobody'" in await page.inner_text("#renderer-why")
        assert "diffusion renderer" in await page.inner_text("#reference-why")
        assert await page.get_attribute("#renderer", "aria-describedby") == "renderer-why"


async def test_it_comes_back_when_the_show_does_and_lets_in_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "open sesame")
    port = free_port()
    async with show(port) as (web, _):
        await opened(page, web.address + "control?token=open%20sesame")
    await until(page, "document.getElementById('connection').textContent.includes('Trying again')")
    async with show(port) as (_, pretended):  # a new run, in which the old cookie is worth nothing
        await until(page, "!document.body.classList.contains('away')")
        await page.get_by_role("button", name="Hold").tap()
        await wanted(page, pretended, hold=True)
        await page.get_by_role("button", name="Show the dancer").tap()
        viewer = page.frame_locator("iframe")
        await viewer.locator("#dancer").wait_for()
        assert not await viewer.locator("#controls").is_visible()
        async with asyncio.timeout(PATIENCE):
            while not await viewer.locator("#dancer").evaluate("(video) => video.videoWidth === 128"):
                await page.wait_for_timeout(100)


async def test_the_trim_is_there_where_the_show_anticipates(page: Page) -> None:
    async with show(free_port()) as (web, pretended):
        await opened(page, web.address + "control")
        assert not await page.is_visible("#trim")
        pretended.presentation = "anticipate"
        await page.get_by_label("Trim").fill("-40")
        await wanted(page, pretended, trim_ms=-40)
        await until(page, "document.getElementById('trim_ms-now').textContent === '-40 ms'")
        await page.get_by_role("button", name="Flash on the beat").tap()
        await wanted(page, pretended, flash=True)
        await until(page, "document.getElementById('flash').getAttribute('aria-pressed') === 'true'")
