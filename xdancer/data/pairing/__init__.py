"""Dancing made of motion and music that never met: clips warped and chained onto a song's beats."""

from xdancer.data.pairing.build import build_dances

__all__ = ["build_dances"]
