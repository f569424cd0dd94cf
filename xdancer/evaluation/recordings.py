"""`xdancer evaluate beats --recordings FOLDER`: the live tracker on recordings whose beats nobody has written down.

Two offline trackers that know the whole recording stand in for an annotator: librosa's, and Essentia's multifeature
tracker (extra `peers`). Where they agree (F of one against the other at least AGREE, in whichever metrical level fits),
the live tracker is judged by both. `--pictures` draws what is to be looked at: the spectrogram, the onsets and each
tracker's beats.
"""

from pathlib import Path
from typing import Any

import numpy as np

from xdancer.errors import UserError
from xdancer.evaluation.beats import f_measure, offline_peers, within
from xdancer.music.decode import decode_audio, mono
from xdancer.music.frame import SAMPLE_RATE
from xdancer.music.offline import track_online

AGREE = 0.8
SOUNDS = (".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav")
FROM, SHOWN = 30.0, 20.0  # seconds of a recording: where its picture begins, and what it shows
RATE, HOP, BANDS = 22_050, 256, 96  # of the spectrogram
SCALE, ROW = 3, 48  # px: height of a band, and of a row of beats
COLOURS = ((255, 255, 255), (255, 200, 0), (0, 220, 255))  # BGR, by tracker


def run(folder: Path, pictures: Path | None = None) -> dict[str, Any]:
    """Figures of each recording in `folder`, and their means over those whose offline trackers agree. Raises UserError
    where there is none, or no second offline tracker."""
    from tqdm import tqdm

    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUNDS) if folder.is_dir() else []
    if not files:
        raise UserError(f"--recordings {folder}: no recordings there; expected a folder of {', '.join(SOUNDS)}")
    offline = offline_peers()
    if len(offline) < 2:
        raise UserError("--recordings: needs a second offline tracker, Essentia's; get it with `make peers`")
    rows = []
    for path in tqdm(files, unit="recording"):
        samples = mono(decode_audio(str(path)))
        beats = {"xdancer (online)": track_online(samples)["beats"]}
        beats |= {name: track(samples)["beats"] for name, track in offline.items()}
        rows.append({"recording": path.name, "seconds": len(samples) / SAMPLE_RATE, **judged(beats)})
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            draw(samples, beats, pictures / f"{path.stem}.png")
    agreed = [row for row in rows if row["agree"] >= AGREE]
    mean = {name: float(np.mean([row["f"][name] for row in agreed])) for name in rows[0]["f"]} if agreed else {}
    return {"recordings": rows, "agreed": len(agreed), "f": mean}


def judged(beats: dict[str, list[float]]) -> dict[str, Any]:
    """F of the first tracker's beats against each other one's, in the level that fits best, and how far the two
    others `agree`: F, 0 to 1. `octave`: how many of the first one's beats there are to one of the second's."""
    end = max(max(times, default=0.0) for times in beats.values()) + 0.1
    (ours, online), *others = ((name, within(times, end)) for name, times in beats.items())
    (_, a), (_, b) = others[:2]
    return {
        "agree": fitted(a, b),
        "f": {f"{ours} against {name}": fitted(times, online) for name, times in others},
        "octave": len(online) / max(1, len(a)),
    }


def fitted(reference: np.ndarray, beats: np.ndarray) -> float:
    """F at +-70 ms against `reference`, every second of it in either phase, or twice of it: the best."""
    between = (reference[:-1] + reference[1:]) / 2
    doubled = np.sort(np.concatenate([reference, between]))
    return max(f_measure(level, beats) for level in (reference, reference[::2], reference[1::2], doubled))


def report(result: dict[str, Any]) -> str:
    lines = []
    for row in result["recordings"]:
        scores = ", ".join(f"{name} {score:.3f}" for name, score in row["f"].items())
        lines.append(
            f"{row['recording']} ({row['seconds']:.0f} s): offline trackers agree {row['agree']:.3f}; F {scores}; "
            f"{row['octave']:.2f} beats to one"
        )
    if result["agreed"]:
        scores = ", ".join(f"{name} {score:.3f}" for name, score in result["f"].items())
        lines.append(f"mean of {result['agreed']} on which they agree ({AGREE:g} or more): F {scores}")
    return "\n".join(lines)


def draw(samples: np.ndarray, beats: dict[str, list[float]], path: Path) -> None:
    """PNG of SHOWN seconds: mel spectrogram, the strength of onsets over it, and below a row of beats each tracker."""
    import cv2
    import librosa

    first = max(0.0, min(FROM, len(samples) / SAMPLE_RATE - SHOWN))
    part = samples[int(first * SAMPLE_RATE) : int((first + SHOWN) * SAMPLE_RATE)]
    sound = librosa.resample(part, orig_sr=SAMPLE_RATE, target_sr=RATE)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=sound, sr=RATE, hop_length=HOP, n_mels=BANDS), top_db=80)
    grey = (255 * (mel - mel.min()) / max(float(np.ptp(mel)), 1e-6)).astype(np.uint8)[::-1]
    picture = cv2.applyColorMap(np.repeat(grey, SCALE, axis=0), cv2.COLORMAP_INFERNO)
    height, width = picture.shape[:2]
    onsets = librosa.onset.onset_strength(y=sound, sr=RATE, hop_length=HOP)
    curve = height - 1 - (onsets / max(float(onsets.max()), 1e-6) * height / 4).astype(int)
    cv2.polylines(picture, [np.stack([np.arange(len(curve)), curve], axis=1)], False, (120, 255, 120), 1)
    picture = np.concatenate([picture, np.zeros((ROW * len(beats), width, 3), np.uint8)])
    for row, ((name, times), colour) in enumerate(zip(beats.items(), COLOURS, strict=False)):
        top = height + row * ROW
        for time in times:
            x = round((time - first) / SHOWN * width)
            if 0 <= x < width:
                cv2.line(picture, (x, 0 if row == 0 else top), (x, top + ROW - 18), colour, 1)
        cv2.putText(picture, name, (4, top + ROW - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    if not cv2.imwrite(str(path), picture):
        raise UserError(f"{path}: cannot be written")
