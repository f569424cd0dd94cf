"""The whole way, from the command to a browser: start, frame rate, tokens over MQTT, sync of sound and picture."""

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench.beside import SETTLE, START_MOST, demo_show, free_port, need, process, until, viewer
from xdancer.errors import UserError

SYNC_SECONDS = 15.0
SURE = 0.9  # of the beat, when the picture is taken
JOINS = 5  # viewers whose clicks and flashes are counted: a browser lines sound and picture up anew for each
# Clicks by an audio worklet, to the sample; flashes by the brightness of each frame and when it is to be on screen.
LISTEN = """
async () => {
  const source = `registerProcessor("clicks", class extends AudioWorkletProcessor {
    constructor() { super(); this.quiet = 0; }
    process([[input]]) {
      if (input) for (let i = 0; i < input.length; i++) {
        if (Math.abs(input[i]) > 0.25 && this.quiet > 4800) this.port.postMessage(currentTime + i / sampleRate);
        this.quiet = Math.abs(input[i]) > 0.25 ? 0 : this.quiet + 1;
      }
      return true;
    }
  });`;
  const context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const clicks = (window.clicks = []), flashes = (window.flashes = []);
  const node = new AudioWorkletNode(context, "clicks");
  node.port.onmessage = ({ data }) => clicks.push(performance.now() - 1000 * (context.currentTime - data));
  const video = document.getElementById("dancer");
  video.muted = false;
  context.createMediaStreamSource(video.srcObject).connect(node).connect(context.destination);
  await context.resume();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  let bright = false;
  const look = (now, meta) => {
    brush.drawImage(video, 0, 0, 8, 8);
    const white = brush.getImageData(0, 0, 8, 8).data[0] > 128;
    if (white && !bright) flashes.push(meta.expectedDisplayTime);
    bright = white;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}
"""
# The browser's own word: NTP time of what it plays of either stream at one moment, in ms.
PLAYING = """
async () => {
  const at = {};
  for (const report of (await session.peer.getStats()).values())
    if (report.type === "inbound-rtp") at[report.kind] = report.estimatedPlayoutTimestamp;
  return at.video - at.audio;
}
"""
DECODED = """
async () => {
  for (const report of (await session.peer.getStats()).values())
    if (report.type === "inbound-rtp" && report.kind === "video")
      return { frames: report.framesDecoded, dropped: report.framesDropped, at: performance.now() };
  return null;
}
"""


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure a demo show for `args.seconds`, the sync, and whether the dance is on the beat. Raises UserError where a
    tool is missing."""
    from engine.bench import onbeat

    return {
        "show": measure_show(args.seconds, args.picture),
        "sync": measure_sync(SYNC_SECONDS),
        "dance": onbeat.measure(args.seconds),
    }


def report(result: dict[str, Any]) -> str:
    show, sync, dance = result["show"], result["sync"], result["dance"]
    tokens = show["tokens"]
    return "\n".join(
        [
            f"first dancing frame     {show['first_frame_s']:.1f} s after the command (goal 15)",
            f"frames decoded          {show['decoded_fps']:.2f} a second over {show['seconds']:.0f} s (goal 29 to 30)",
            f"frames of the show      {show['made']} made, {show['repeated']} repeated, {show['dropped']} dropped",
            f"loop lag p99            {show['loop_lag_p99_ms']:.1f} ms (goal 10)",
            f"tokens by mosquitto_sub {tokens['received']} messages, {tokens['missing']} missing, "
            f"{tokens['out_of_order']} out of order or twice",
            f"click to flash          median {sync['median_ms']:.1f} ms, p95 {sync['p95_ms']:.1f} ms of "
            f"{sync['pairs']} pairs (goals 20, 60); flash after click, by viewer: "
            + ", ".join(f"{bias:+.1f}" for bias in sync["biases_ms"])
            + f" ms; by the browser's own reckoning the picture is {sync['browser_says_ms']:+.1f} ms ahead",
            f"dance against the beat  median {dance['median_ms']:.0f} ms of {dance['motion_beats']} motion beats, by "
            f"chance {dance['chance_ms']:.0f} ms (goals 60, and 40 below chance); the dance after the beat "
            f"{dance['bias_ms']:+.0f} ms",
        ]
    )


def measure_show(seconds: float, picture: Path | None = None) -> dict[str, Any]:
    """A real `xdancer live --audio demo`, watched by a real browser and MQTT client; `picture`: of its screen."""
    subscriber = need("mosquitto_sub", "mosquitto-clients")
    begun = time.monotonic()
    with demo_show() as (port, mqtt, show), viewer(port, show) as page:
        until(lambda: _state(port)["frames"]["made"] > 0, show, begun)
        page.wait_for_function("dancer.videoWidth > 16", timeout=1000 * START_MOST)
        first = time.monotonic() - begun
        time.sleep(SETTLE)
        listen = [subscriber, "-h", "127.0.0.1", "-p", str(mqtt), "-t", "xdancer/v1/+/tokens", "-W", f"{seconds:.0f}"]
        with tempfile.TemporaryFile() as rows:  # a pipe that nobody reads would fill and hold the subscriber up
            with process(listen, stdout=rows) as tokens:
                before, started = _state(port), page.evaluate(DECODED)
                time.sleep(seconds)
                ended, after = page.evaluate(DECODED), _state(port)
                tokens.wait(30)
            rows.seek(0)
            frames = [json.loads(line)["frame"] for line in rows]
        if picture:
            picture.parent.mkdir(parents=True, exist_ok=True)
            page.set_viewport_size({"width": 1280, "height": 720})
            page.goto(f"http://127.0.0.1:{port}/?layout=trio&fit=cover")
            page.wait_for_function("dancer.currentTime > 3", timeout=1000 * START_MOST)
            page.keyboard.press("i")
            time.sleep(SETTLE)
            until(lambda: _state(port)["confidence"] >= SURE, show, time.monotonic())  # no break of the demo track
            page.screenshot(path=picture)
    return {
        "seconds": seconds,
        "first_frame_s": first,
        "decoded_fps": 1000 * (ended["frames"] - started["frames"]) / (ended["at"] - started["at"]),
        "decoder_dropped": ended["dropped"] - started["dropped"],
        **{key: after["frames"][key] - before["frames"][key] for key in ("made", "repeated", "dropped")},
        "loop_lag_p99_ms": after["loop_lag_p99_ms"],
        "tokens": order(frames),
    }


def measure_sync(seconds: float) -> dict[str, Any]:
    """How far apart a click and its flash come out of the browser's jitter buffers, in JOINS viewers one after the
    other: the click as its samples reach the page, the flash at the time its frame is to be displayed."""
    port, apart, ahead = free_port(), [], []
    with process([sys.executable, "-m", "engine.bench.clickflash", str(port)]) as show:
        for _ in range(JOINS):
            with viewer(port, show) as page:
                page.wait_for_function("dancer.videoWidth > 16", timeout=1000 * START_MOST)
                page.evaluate(LISTEN)
                time.sleep(SETTLE)
                page.evaluate("() => { clicks.length = 0; flashes.length = 0; }")
                for _ in range(int(seconds)):
                    time.sleep(1.0)
                    ahead.append(page.evaluate(PLAYING))
                clicks, flashes = page.evaluate("[clicks, flashes]")
            apart.append(offsets(np.array(clicks), np.array(flashes)))
    return summed(apart) | {"browser_says_ms": float(np.median(ahead))}


def offsets(clicks: np.ndarray, flashes: np.ndarray) -> np.ndarray:
    """How much later each flash is than the nearest click, both in ms. Raises UserError where there are none."""
    if not len(clicks) or not len(flashes):
        raise UserError(f"bench live: the browser reported {len(clicks)} clicks and {len(flashes)} flashes")
    return np.asarray(flashes - clicks[np.abs(flashes[:, None] - clicks[None]).argmin(axis=1)])


def summed(apart: list[np.ndarray]) -> dict[str, Any]:
    """Of offsets in ms, by viewer: median and 95th percentile of their size over all, and each viewer's bias."""
    off = np.concatenate(apart)
    return {
        "pairs": len(off),
        "median_ms": float(np.median(np.abs(off))),
        "p95_ms": float(np.percentile(np.abs(off), 95)),
        "biases_ms": [float(np.median(each)) for each in apart],
    }


def order(frames: list[int]) -> dict[str, int]:
    """Of frame numbers as they came: how many, how many are missing between first and last, how many out of order."""
    if not frames:
        return {"received": 0, "missing": 0, "out_of_order": 0}
    wrong = sum(b <= a for a, b in zip(frames, frames[1:], strict=False))
    return {
        "received": len(frames),
        "missing": max(frames) - min(frames) + 1 - len(set(frames)),
        "out_of_order": wrong,
    }


def _state(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/state", timeout=10) as answer:
        state: dict[str, Any] = json.load(answer)
        return state
