"""From what was seen of a show to what it kept of its promises."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.soak.report import Check, longest, missing, order, silence, slope, summary

SETTLED = 30.0  # seconds after which the memory of a process is judged, and for how long at the least
LONG = 15 * 60.0  # seconds of a soak that is long enough for the promise about memory
MEMORY_MOST, MEMORY_MOST_SHORT = 1.0, 3.0  # MB a minute; what three minutes breathe is no trend
AROUND = 5.0  # seconds around a trouble that are put down to it
FILM_SLACK = 0.2  # seconds by which sound and picture of a film may end apart


@dataclass
class Seen:
    """Times are of the monotonic clock."""

    began: float = 0.0
    tried: float = 0.0  # when everything had gone wrong once: what the first film or viewer took is kept for the next
    states: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    tokens: list[tuple[float, int]] = field(default_factory=list)  # when, which frame
    troubles: list[tuple[str, float, float]] = field(default_factory=list)  # what, from, until
    broker_back: list[float] = field(default_factory=list)  # seconds until messages came again
    malformed: dict[str, int] = field(default_factory=dict)
    disk_full: list[str] = field(default_factory=list)  # what the recorder said
    films: list[tuple[str, float, float]] = field(default_factory=list)  # name, end of picture, end of sound
    frozen_for: float = 0.0  # seconds until the viewer that did not answer was given up
    crowd: dict[str, Any] = field(default_factory=dict)
    viewers_left: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=100_000))
    struck: int = 0  # studios killed or stopped
    code: int = 0

    def during(self, *names: str) -> list[tuple[float, float]]:
        return [(first - 1.0, last + AROUND) for what, first, last in self.troubles if what in names]


def verdict(seen: Seen, seconds: float) -> dict[str, Any]:
    """The report, as `engine.soak.report.summary` has it."""
    losses = seen.during("studio killed", "studio hangs")
    frames = seen.states[-1][1]["frames"]
    heard = seen.states[-1][1]["frame"]
    arrivals = [time for time, _ in seen.tokens]
    lost = missing(seen.tokens, losses + seen.during("broker away"))
    late, total = _calm_frames(seen, losses)
    most = MEMORY_MOST if seconds >= LONG else MEMORY_MOST_SHORT
    lags = [state["loop_lag_p99_ms"] for time, state in seen.states if time > seen.began + 30] or [0.0]
    away = {what: [silence(arrivals, a, b) for name, a, b in seen.troubles if name == what]
            for what in ("studio killed", "studio hangs")}  # fmt: skip
    checks = [
        Check("exit code", seen.code, 0),
        Check("tracebacks in the log", sum("Traceback" in line for line in seen.log), 0),
        Check("lines in the log", len(seen.log), None),
        Check("frames heard and not shown", heard - frames["shown"], 60, "frames"),
        Check("tokens out of order or twice", order([frame for _, frame in seen.tokens]), 0),
        Check("tokens missing, broker and studio being there", lost, 0, speed=True),
        Check("frames repeated while a studio was there", 100 * late / max(1, total), 0.1, "%", speed=True),
        Check("loop lag p99, the typical half minute", float(np.median(lags)), 10.0, "ms", speed=True),
        Check("loop lag p99, the worst half minute", max(lags), None, "ms"),
        Check("memory the stage took while all went wrong for the first time", _taken(seen), None, "MB"),
        Check("memory of the stage grows", _growth(seen, "stage", seen.tried), most, "MB/min"),
        Check("memory of the studio grows", _growth(seen, "studio"), most, "MB/min"),
        Check("studios struck and not replaced", seen.struck - _replaced(seen), 0),
        Check("no tokens after SIGKILL of the studio", max(away["studio killed"], default=0.0), 3.0, "s", speed=True),
        Check("no tokens after SIGSTOP of the studio", max(away["studio hangs"], default=0.0), 5.0, "s", speed=True),
        Check("no tokens after the broker came back", max(seen.broker_back, default=0.0), 20.0, "s", speed=True),
        Check("longest gap in a viewer's sound", seen.crowd["gap_s"]["audio"], 1.0, "s", speed=True),
        Check("longest gap in a viewer's picture", seen.crowd["gap_s"]["video"], 1.0, "s", speed=True),
        Check("viewers refused", seen.crowd["refused"], 0),
        Check("viewers that came and went", seen.crowd["joined"], None),
        Check("viewers short of 500", max(0, 500 - seen.crowd["joined"]), 0 if seconds >= LONG else None, speed=True),
        Check("a viewer that stopped answering was kept", seen.frozen_for, 60.0, "s", speed=True),
        Check("viewers left when all had gone", seen.viewers_left, 0),
        Check("malformed requests sent", sum(seen.malformed.values()), None),
        Check("of these served, or failed inside", seen.malformed["served"] + seen.malformed["broken"], 0),
        Check("full disks that did not end the film", sum(not said for said in seen.disk_full), 0),
        Check("lines of the recorder about a full disk", sum("the film ends" in line for line in seen.log),
              len(seen.disk_full)),
        Check("films that do not play to their end", sum(not _plays(*film) for film in seen.films), 0),
        Check("films recorded", len(seen.films), None),
    ]  # fmt: skip
    return summary(checks, {"seconds": seconds, "frames": frames, "troubles": len(seen.troubles)})


def _plays(name: str, picture: float, sound: float) -> bool:
    return picture > 0 and abs(picture - sound) < FILM_SLACK


def _replaced(seen: Seen) -> int:
    return int(seen.states[-1][1]["studio"]["replaced"])


def _taken(seen: Seen) -> float:
    sizes = [state["memory_mb"]["stage"] for time, state in seen.states if seen.began <= time <= seen.tried]
    return sizes[-1] - sizes[0] if sizes else 0.0


def _growth(seen: Seen, process: str, since: float = 0.0) -> float:
    """MB a minute, after `since`; of a process that was replaced, the one that lived longest, if for long enough to
    tell."""
    known = [(time, state) for time, state in seen.states if process in state["memory_mb"]]
    lived = known[longest([state["pids"][process] for _, state in known])]
    since = max(since, lived[0][0] + SETTLED)
    settled = [(time, state["memory_mb"][process]) for time, state in lived if time > since]
    if not settled or settled[-1][0] - settled[0][0] < SETTLED:
        return 0.0
    return 60 * slope(*zip(*settled, strict=True))


def _calm_frames(seen: Seen, losses: list[tuple[float, float]]) -> tuple[int, int]:
    """Frames repeated, and shown at all, in the seconds in which no studio was lost."""
    repeated = shown = 0
    for (before, a), (after, b) in zip(seen.states, seen.states[1:], strict=False):
        if before > seen.began and not any(first <= after and before <= last for first, last in losses):
            repeated += b["frames"]["repeated"] - a["frames"]["repeated"]
            shown += b["frames"]["shown"] - a["frames"]["shown"]
    return repeated, shown
