"""The example page that draws poses from a data channel, in a real browser, from another origin."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "web"))

from peers import serving
from pretend import PretendShow

from engine.bench.beside import CHROMIUM
from engine.bench.renderer import swaying
from engine.stage.frame import ShowFrame

PAGE = Path(__file__).parents[2] / "examples" / "poses_over_webrtc.html"

# One event loop for all: aioice keeps one lock a thread for mDNS, and it belongs to the first loop that waits for it.
pytestmark = pytest.mark.asyncio(loop_scope="session")


class Swaying(PretendShow):
    """With somebody in it."""

    poses = swaying()

    def frame(self, index: int, due: float) -> ShowFrame:
        return replace(super().frame(index, due), pose=self.poses[index % len(self.poses)])


async def test_a_page_of_somebody_elses_draws_the_dance() -> None:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed: see `make test`"
    async with async_playwright() as playwright, serving(Swaying()) as running:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        page = await browser.new_page(viewport={"width": 512, "height": 896})
        await page.goto(f"{PAGE.as_uri()}?show={running.url.rstrip('/')}")
        await page.wait_for_function("/^frame \\d+$/.test(document.title)", timeout=60_000)
        before = int((await page.title()).split()[1])
        await page.wait_for_function(f"Number(document.title.split(' ')[1]) > {before} + 10", timeout=60_000)
        data = "[...stage.getContext('2d').getImageData(0, 0, 512, 896).data]"
        assert await page.evaluate(f"{data}.filter((v, k) => k % 4 < 3 && v > 120).length") > 5000
        assert len(running.web.poses) == 1
        await browser.close()
