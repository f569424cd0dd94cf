"""Music in, poses out, in a dozen lines: `python examples/dance_to_a_file.py SONG`."""

import sys

from xdancer import Choreographer, MusicAnalyzer, PoseTokenizer
from xdancer.music.decode import decode_audio

samples = decode_audio(sys.argv[1]).mean(axis=1)
analyzer = MusicAnalyzer()
tokenizer = PoseTokenizer.from_pretrained("live")
dance = Choreographer.from_pretrained("live").stream(seed=7)
limbs = tokenizer.stream()
for start in range(0, len(samples), 4800):  # a tenth of a second at a time, as a sound card would give it
    block = dance.step(analyzer.push(samples[start : start + 4800]))
    for frame, pose in enumerate(limbs.decode(block.tokens), block.first):
        x, y, confidence = pose[4]
        print(f"frame {frame}: right wrist at {x:.0f}, {y:.0f} ({confidence:.2f})")
