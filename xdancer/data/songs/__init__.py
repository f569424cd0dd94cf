"""Music whose beats are known exactly: MIDI played by fluidsynth, and patterns sequenced from one-shots."""

from xdancer.data.songs.build import build_songs
from xdancer.data.songs.midi import list_songs, render
from xdancer.data.songs.song import Song

__all__ = ["Song", "build_songs", "list_songs", "render"]
