"""Whether the dance is on the beat where people see and hear it: in the browser, against the true beats of the sound.

The page reports how loud the sound is that reaches it, moment by moment, which is laid over the demo track whose beats
are known; and when each picture comes and is displayed. The poses come by MQTT with the time that each is due.
(`estimatedPlayoutTimestamp` would be simpler, but what Chromium does after decoding, some 30 ms, is not in it.)
"""

import json
import tempfile
import time
from typing import Any

import numpy as np

from engine.bench.beside import SETTLE, START_MOST, demo_show, need, process, viewer
from xdancer.errors import UserError
from xdancer.evaluation.alignment import motion_beats
from xdancer.music.demo import demo_track
from xdancer.music.frame import SAMPLE_RATE

STEP = 0.005  # s of sound to a value of loudness
SHIFTS = 20
RTP_RATE = 90.0  # of pictures, a ms

HEAR = """
async () => {
  const source = `registerProcessor("loudness", class extends AudioWorkletProcessor {
    constructor() { super(); this.sum = 0; this.count = 0; }
    process([[input]]) {
      if (input) for (let i = 0; i < input.length; i++) {
        this.sum += input[i] * input[i];
        if (++this.count === BLOCK) {
          this.port.postMessage([currentTime + i / sampleRate, this.sum]);
          this.sum = this.count = 0;
        }
      }
      return true;
    }
  });`;
  const context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const heard = (window.heard = []);
  const node = new AudioWorkletNode(context, "loudness");
  // When a block ends, in ms of the page's clock: what the worklet says is when it will have been played.
  node.port.onmessage = ({ data }) => heard.push([performance.now() - 1000 * (context.currentTime - data[0]), data[1]]);
  context.createMediaStreamSource(dancer.srcObject).connect(node).connect(context.destination);
  dancer.muted = false;
  await context.resume();
  const shown = (window.shown = []);
  const look = (now, meta) => {
    shown.push([meta.rtpTimestamp, meta.receiveTime, meta.expectedDisplayTime]);
    dancer.requestVideoFrameCallback(look);
  };
  dancer.requestVideoFrameCallback(look);
}
""".replace("BLOCK", str(round(STEP * SAMPLE_RATE)))


def measure(seconds: float) -> dict[str, Any]:
    """A real `xdancer live --audio demo` in a real browser, for so long. Raises UserError where a tool is missing."""
    subscriber = need("mosquitto_sub", "mosquitto-clients")
    with demo_show() as (port, mqtt, show), viewer(port, show) as page:
        page.wait_for_function("dancer.videoWidth > 16", timeout=1000 * START_MOST)
        page.evaluate(HEAR)
        time.sleep(SETTLE)
        page.evaluate("() => { heard.length = shown.length = 0; }")
        listen = [subscriber, "-h", "127.0.0.1", "-p", str(mqtt), "-t", "xdancer/v1/+/pose", "-W", f"{seconds:.0f}"]
        with tempfile.TemporaryFile() as rows:
            with process(listen, stdout=rows) as poses:
                poses.wait(seconds + 30)
            rows.seek(0)
            messages = [json.loads(line) for line in rows]
        heard, shown, origin = (np.array(v) for v in page.evaluate("[heard, shown, performance.timeOrigin]"))
    if len(heard) < 1000 or len(shown) < 100 or len(messages) < 100:
        raise UserError(f"bench live: the browser reported {len(heard)} blocks of sound, {len(shown)} pictures")
    late = picture_delay(shown) - float(origin) / 1000
    pose = np.array([m["pose"] for m in messages], np.float32).reshape(-1, 60, 3)
    danced = messages[0]["due"] + motion_beats(pose) + late
    return verdict(danced, beats_heard(heard[:, 0] / 1000, heard[:, 1]))


def picture_delay(shown: np.ndarray) -> float:
    """Seconds from a picture's due time to the screen. shown: (N, 3) RTP timestamp, ms of its last packet's arrival, ms
    of its display. A picture leaves when it is due, so that the one which came soonest, over loopback, says when."""
    ticks = (shown[:, 0] - shown[0, 0]) / RTP_RATE
    return float(np.median(shown[:, 2] - ticks) - (shown[:, 1] - ticks).min()) / 1000


def beats_heard(at: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """When the beats of the looped demo track were heard: blocks of sound that end `at` (s) with their energy are laid
    over the track where they fit best; the beats within them, on the same clock."""
    track = demo_track()
    block = round(STEP * SAMPLE_RATE)
    whole = len(track.samples) // block
    true = np.square(track.samples[: whole * block].mean(1)).reshape(whole, block).sum(1)
    grid = np.arange(at[0], at[-1], STEP)
    first = _attacks(np.interp(grid, at, energy))
    second = _attacks(true)
    long = max(len(first), whole)
    product = np.fft.irfft(np.conj(np.fft.rfft(first, long)) * np.fft.rfft(np.resize(second, long), long), long)
    began = (int(product.argmax()) + 1) * STEP  # how far the track is at grid[0], where a block ends
    length = len(track.samples) / SAMPLE_RATE
    once = track.beats_s[track.beats_s < length - STEP]
    beats = np.concatenate([once + k * length for k in range(-1, 3)]) - began + grid[0]
    return beats[(beats > at[0]) & (beats < at[-1])]


def _attacks(energy: np.ndarray) -> np.ndarray:
    """Where it grows louder."""
    loud = np.log10(1e-4 + energy)
    return np.maximum(np.diff(loud, prepend=loud[:1]), 0.0)


def verdict(danced: np.ndarray, beats: np.ndarray) -> dict[str, Any]:
    """Motion beats against beats, both in s of one clock: the distance to the nearest beat, and that by chance (the
    beats moved by 20 parts of a beat), in ms."""
    danced = danced[(danced > beats[0]) & (danced < beats[-1])]
    apart = _nearest(danced, beats)
    gap = float(np.median(np.diff(beats)))
    chance = [np.median(np.abs(_nearest(danced, beats + (k + 0.5) / SHIFTS * gap))) for k in range(SHIFTS)]
    return {
        "motion_beats": len(danced),
        "beats": len(beats),
        "median_ms": 1000 * float(np.median(np.abs(apart))),
        "chance_ms": 1000 * float(np.mean(chance)),
        "bias_ms": 1000 * float(np.median(apart)),
    }


def _nearest(times: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """By how much each time is later than the beat nearest to it."""
    gaps = times[:, None] - beats[None]
    return gaps[np.arange(len(times)), np.abs(gaps).argmin(1)]
