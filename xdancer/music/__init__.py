"""Music: what is heard, 30 times a second, and where its beats are."""

from xdancer.music.analyzer import MusicAnalyzer
from xdancer.music.features import N_FEATURES
from xdancer.music.frame import BeatState, MusicFrame

__all__ = ["N_FEATURES", "BeatState", "MusicAnalyzer", "MusicFrame"]
