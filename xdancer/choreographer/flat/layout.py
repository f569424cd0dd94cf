"""Where each token stands in a segment, and what music it is told.

A segment is 64 start tokens of the music so far, eight whole frames of the segment before, and 64 frames of 30 tokens:
2224 positions. Segments overlap by 12 frames: all but the first begin with frames that are danced already. The paper's
start tokens look at the whole song; these look back over the last 17 s, the only ones there are on stage.

Music is joined to each token as an embedding added to its own (the same as concatenating and projecting both). A
position is told the music of the frame that it foretells a token of, so that the first token of a frame hears its
frame's music as well: tokens depend on the music up to their frame, as in the paper's equation 2.
"""

import numpy as np

from xdancer.pose.layout import CODEBOOK_SIZE, TOKENS_PER_FRAME

FRAMES = 64  # of a segment
OVERLAP = 12
STRIDE = FRAMES - OVERLAP
MUSIC = 64  # start tokens
MUSIC_EVERY = 8  # frames between what they hear
CONTEXT = 8  # frames of the segment before
BEGIN = MUSIC + CONTEXT * TOKENS_PER_FRAME  # position of the first token of the segment's first frame
LENGTH = BEGIN + FRAMES * TOKENS_PER_FRAME
VOCABULARY = TOKENS_PER_FRAME * CODEBOOK_SIZE  # a token's name is its slot's 512 names, slot by slot


def segment(row: int) -> int:
    """The first frame of the segment in which frame `row` is danced."""
    return max((row - OVERLAP) // STRIDE, 0) * STRIDE


def music_rows(first: int) -> np.ndarray:
    """The 64 frames before the segment that its start tokens hear, oldest first: negative ones are silence."""
    return first - MUSIC_EVERY * np.arange(MUSIC, 0, -1) + MUSIC_EVERY - 1


def context_rows(first: int) -> np.ndarray:
    """The eight frames of the segment before that this one is reminded of: negative ones are the start pose."""
    return first - STRIDE + (2 * np.arange(CONTEXT) + 1) * STRIDE // (2 * CONTEXT)


def names(rows: np.ndarray) -> np.ndarray:
    """Token rows (..., 30), each 0..511 -> their names (..., 30) in the vocabulary, int64."""
    return rows.astype(np.int64) + CODEBOOK_SIZE * np.arange(TOKENS_PER_FRAME)
