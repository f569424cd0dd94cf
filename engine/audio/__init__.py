"""Sound in: demo, files, network streams, sound cards; all of it 48 kHz stereo, a frame at a time."""

from engine.audio.source import Source, open_source

__all__ = ["Source", "open_source"]
