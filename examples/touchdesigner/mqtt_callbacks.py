# TouchDesigner: the dancer's joints in a Table DAT, its beats in a Constant CHOP.
#
# 1. Make an MQTT Client DAT: Network Address tcp://127.0.0.1:1883 (the show's broker), Callbacks DAT = a Text DAT with
#    this file.
# 2. Beside it make a Table DAT named `joints` and a Constant CHOP named `beat` (its channels: pulse, beat_in_bar, bpm).
# 3. Start the show: `xdancer live`. A DAT to CHOP on `joints` (names in the first row and column) gives x, y, c by
#    joint; x runs from 0 to 1 over the width of the canvas, y from 0 to 1.75 from its foot upwards.
#
# Without MQTT: an OSC In CHOP on port 9000 and `xdancer live osc_out.to=127.0.0.1:9000`.
# ruff: noqa: F821 (op, project and run are TouchDesigner's)

import json
import time

SHOW = "main"
names = []  # of the joints, as `meta` has them


def onConnect(dat):
    for topic in ("meta", "pose", "beat"):
        dat.subscribe(f"xdancer/v1/{SHOW}/{topic}")


def onMessage(dat, topic, payload, qos, retained, dup):
    body = json.loads(payload)
    kind = topic.rsplit("/", 1)[1]
    if kind == "meta":
        names[:] = body["joints"]
    elif kind == "pose" and names:
        width, height = body["canvas"]
        table = op("joints")
        table.clear()
        table.appendRow(["joint", "x", "y", "c"])
        for name, (x, y, c) in zip(names, body["pose"], strict=True):
            table.appendRow([name, x / width, (height - y) / width, c])
    elif kind == "beat":
        # It is told up to a quarter of a second ahead: wait until it is on show.
        frames = max(0, round((body["due"] - time.time()) * project.cookRate))
        run("args[0](args[1])", strike, body, delayFrames=frames)


def strike(body):
    beat = op("beat")
    beat.par.value0 = 1 - beat.par.value0  # flips on every beat: a Trigger CHOP makes an envelope of it
    beat.par.value1 = body["beat_in_bar"]
    beat.par.value2 = body["bpm"]
