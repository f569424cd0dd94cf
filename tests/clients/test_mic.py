"""The page that sends a browser's sound, in a real browser with a microphone that beeps."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "web"))

from peers import Running, serving, until
from pretend import PretendShow

from engine.audio.browser import WAITING, BrowserSource
from engine.bench.beside import CHROMIUM

MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

# One event loop for all: aioice keeps one lock a thread for mDNS, and it belongs to the first loop that waits for it.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed: see `make test`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM, *MICROPHONE])
        yield browser
        await browser.close()


async def heard(running: Running) -> None:
    """Wait until the show hears a beep."""
    async with asyncio.timeout(60):
        while True:
            block = running.show.source.pull()
            assert block is not None
            if np.abs(block).max() > 0.05:
                return
            await asyncio.sleep(1 / 30)


async def status(page: Page, text: str) -> None:
    await page.get_by_role("status").filter(has_text=text).wait_for(timeout=60_000)


# What the page says for a moment only is not missed so, however busy the machine is.
SAID = """() => {
  const status = document.getElementById("status");
  window.said = [];
  new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
}"""


async def said(page: Page, text: str) -> None:
    await page.wait_for_function("text => said.some(line => line.includes(text))", arg=text, timeout=60_000)


async def test_the_show_hears_the_microphone_until_it_is_stopped(browser: Browser) -> None:
    async with serving(PretendShow(source=BrowserSource())) as running:
        page = await browser.new_page(viewport={"width": 640, "height": 720})
        mistakes: list[str] = []
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        await page.goto(running.at("/mic"))
        await status(page, "Nothing is being sent.")
        await page.get_by_role("button", name="Send microphone").click()
        await status(page, "The show hears you.")
        await heard(running)
        assert not await page.get_by_role("button", name="Send microphone").is_visible()
        await page.evaluate(SAID)
        (session,) = running.web.whip._sessions.values()
        await session.peer.close()  # the network breaks; the page comes back by itself
        await said(page, "Trying again")
        await status(page, "The show hears you.")
        await heard(running)
        await page.get_by_role("button", name="Stop").click()
        await until(lambda: running.show.source.status == WAITING)
        assert await page.get_by_role("button", name="Send microphone").is_visible()
        assert mistakes == []
        await page.close()


async def test_a_page_that_another_took_over_from_does_not_come_back(browser: Browser) -> None:
    async with serving(PretendShow(source=BrowserSource())) as running:
        pages = [await browser.new_page() for _ in range(2)]
        for page in pages:
            await page.goto(running.at("/mic"))
            await page.get_by_role("button", name="Send microphone").click()
            await status(page, "The show hears you.")
        await until(lambda: len(running.web.whip) == 1)
        await pages[0].evaluate("lost(session)")  # as when its connection fails, a quarter of a minute later
        await status(pages[0], "Another sender has taken over.")
        assert await pages[0].get_by_role("button", name="Send microphone").is_visible()
        await status(pages[1], "The show hears you.")
        await heard(running)
        for page in pages:
            await page.close()


async def test_a_show_that_does_not_listen_says_how_it_would(browser: Browser) -> None:
    async with serving(PretendShow()) as running:
        page = await browser.new_page()
        await page.goto(running.at("/mic"))
        await page.get_by_role("button", name="Send microphone").click()
        await status(page, "start it with --audio browser")
        await page.close()
