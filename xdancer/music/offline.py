"""Beats of a whole recording: by the live tracker, as it would have struck them, or by librosa, which sees it all."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xdancer.music.analyzer import MusicAnalyzer
from xdancer.music.frame import SAMPLE_RATE

LIBROSA_RATE = 22_050


def track_online(samples: np.ndarray, progress: Callable[[float], Any] = lambda seconds: None) -> dict[str, Any]:
    """Beats of mono 48 kHz samples (N,) as a live show would have struck them.

    Returns {"beats": [s, ..], "downbeats": [s, ..], "tempo": beats a minute, 0 where there are none}. `progress` is
    told of each second done.
    """
    analyzer, beats, downbeats = MusicAnalyzer(), [], []
    for first in range(0, len(samples), SAMPLE_RATE):
        for frame in analyzer.push(samples[first : first + SAMPLE_RATE]):
            if frame.beat.struck is not None:
                beats.append(round(frame.beat.struck, 4))
                if frame.beat.beat_in_bar == 0:
                    downbeats.append(beats[-1])
        progress(min(SAMPLE_RATE, len(samples) - first) / SAMPLE_RATE)
    return _result(beats, downbeats)


def track_offline(samples: np.ndarray) -> dict[str, Any]:
    """Beats of mono 48 kHz samples (N,) by `librosa.beat.beat_track` (D. Ellis: "Beat tracking by dynamic
    programming", 2007); downbeats are every fourth beat, from the one on which most bass sets in. As `track_online`."""
    import librosa

    sound = librosa.resample(samples, orig_sr=SAMPLE_RATE, target_sr=LIBROSA_RATE)
    if not np.any(sound):
        return _result([], [])
    _, frames = librosa.beat.beat_track(y=sound, sr=LIBROSA_RATE)
    beats = [round(float(t), 4) for t in librosa.frames_to_time(frames, sr=LIBROSA_RATE)]
    bass = librosa.onset.onset_strength(y=sound, sr=LIBROSA_RATE, fmin=20.0, fmax=150.0, n_mels=4)
    strength = [float(np.mean(bass[frames[k::4]])) if len(frames[k::4]) else 0.0 for k in range(4)]
    return _result(beats, beats[int(np.argmax(strength)) :: 4])


def _result(beats: list[float], downbeats: list[float]) -> dict[str, Any]:
    tempo = 60.0 / float(np.median(np.diff(beats))) if len(beats) > 1 else 0.0
    return {"beats": beats, "downbeats": downbeats, "tempo": round(tempo, 2)}
