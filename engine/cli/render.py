"""`xdancer render`: the dance to a file as an MP4 with the sound."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json, emit
from xdancer.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from engine.config import Config
    from engine.painter.painter import Painting
    from engine.studio.frame import StudioFrame

    Shot = tuple[np.ndarray, np.ndarray]  # a picture and its sound


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("render", help="the dance to a file, as an MP4 with the sound")
    parser.add_argument("audio", metavar="AUDIO", help="any file FFmpeg reads, or demo")
    parser.add_argument("-o", "--output", metavar="OUT.mp4", type=Path, required=True)
    parser.add_argument("--tokens", metavar="OUT.npz", type=Path, help="write tokens, pose, beats_s and fps as well")
    parser.add_argument("--openpose", metavar="DIR", type=Path, help="write the poses as OpenPose JSON, a file a frame")
    parser.add_argument("--config", metavar="F", type=Path, help="YAML, as for live")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--renderer", choices=("skeleton", "diffusion"))
    parser.add_argument("--reference", metavar="IMG", help="the photograph of who dances, for the diffusion renderer")
    parser.add_argument("settings", metavar="key=value", nargs="*", help="any key of the configuration")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    # The models are many small products: more threads than one only get in each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from engine.config import load

    config = load(args.config, args.settings, seed=args.seed, renderer=args.renderer, reference=args.reference)
    if args.output.suffix.lower() != ".mp4":
        raise UserError(f"-o {args.output}: expected a name that ends in .mp4")
    if args.tokens is not None and args.tokens.suffix.lower() != ".npz":
        raise UserError(f"--tokens {args.tokens}: expected a name that ends in .npz")
    for path in (args.output, args.tokens, args.openpose):
        if path is not None and not path.parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}")
    result = render(args.audio, args.output, args.tokens, config, args.openpose)
    text = f"{args.output}: {result['frames']} frames, {result['seconds']:.1f} s, {len(result['beats_s'])} beats"
    emit(result, text, args.json)
    return 0


def render(
    audio: str, output: Path, tokens: Path | None, config: "Config", openpose: Path | None = None
) -> dict[str, Any]:
    """Write the MP4, tokens and OpenPose files where asked for. Raises UserError as its parts do; leaves no half a
    film."""
    import numpy as np
    from tqdm import tqdm

    from engine.audio.files import read_demo, read_file
    from engine.clock.fixed import FixedClock
    from engine.openpose import write
    from engine.recorder import Mp4Writer
    from engine.studio.models import load_models
    from engine.studio.studio import Studio
    from xdancer.music.frame import FPS, HOP

    blocks = hops(read_demo() if audio == "demo" else read_file(audio))
    first = next(blocks)  # a file that cannot be read says so before the models are loaded
    models = load_models(config)
    painting = _Painted(config) if config.renderer == "diffusion" else _Drawn()
    studio = Studio(models, config.params())
    fixed = FixedClock(config.clock.tempo) if config.clock.source == "fixed" else None  # the others are only live
    made: list[StudioFrame] = []
    bar = tqdm(total=_length(audio), unit="frame", desc="dancing", disable=not sys.stderr.isatty())
    with Mp4Writer(output, config.width, config.height) as film, bar:
        for block in _chain(first, blocks):
            for frame in studio.push(block, clock=[fixed.beat(len(made), 0.0) if fixed else None]):
                for picture, sound in painting.push(frame, block):
                    film.write(picture, sound)
                    bar.update()
                made.append(_without_picture(frame))
        for picture, sound in painting.finish():
            film.write(picture, sound)
    struck = [frame.beat.struck for frame in made if frame.beat.struck is not None]
    if tokens is not None:
        rows, poses = np.stack([f.tokens for f in made]), np.stack([f.pose for f in made])
        _save(tokens, tokens=rows, pose=poses, beats_s=np.array(struck), fps=np.array(FPS))
    if openpose is not None:
        write(openpose, output.stem, np.stack([frame.pose for frame in made]))
    return {
        "output": str(output),
        "tokens": str(tokens) if tokens else None,
        "frames": len(made),
        "seconds": len(made) * HOP / 48_000,
        "fps": FPS,
        "beats_s": [round(time, 4) for time in struck],
        **models.info(),
    }


class _Drawn:
    """The skeleton that the studio has drawn, as it comes."""

    def push(self, frame: "StudioFrame", sound: "np.ndarray") -> "list[Shot]":
        """The next frame of the dance, with its sound; the pictures that got ready with theirs."""
        assert frame.picture is not None
        return [(frame.picture, sound)]

    def finish(self) -> "list[Shot]":
        """The dance is over; the rest."""
        return []


class _Painted:
    """The person, as `_Drawn`; pictures come some frames late."""

    def __init__(self, config: "Config") -> None:
        from engine.painter.models import make_painter
        from engine.painter.pace import Setting
        from engine.painter.process import GUESSED

        self._painter = make_painter(config)
        self._painter.change(Setting(self._painter.renderer.passes, 1))
        self._waiting: list[tuple[StudioFrame, np.ndarray]] = []
        if self._painter.renderer.guessed:
            print(GUESSED, file=sys.stderr)

    def push(self, frame: "StudioFrame", sound: "np.ndarray") -> "list[Shot]":
        self._waiting.append((frame, sound))
        return self._shots(self._painter.push(frame.index, frame.tokens, frame.pose))

    def finish(self) -> "list[Shot]":
        return self._shots(self._painter.finish())

    def _shots(self, painted: "list[Painting]") -> "list[Shot]":
        from engine.params import wants_person

        shots: list[Shot] = []
        for painting in painted:
            danced, heard = self._waiting.pop(0)
            own = painting.picture if wants_person(danced.params) else danced.picture
            assert own is not None and danced.index == painting.index
            shots.append((own, heard))
        return shots


def hops(blocks: "Iterator[np.ndarray]") -> "Iterator[np.ndarray]":
    """Sound cut into frames (HOP, 2); the last one is filled with silence, as a live show does at a file's end."""
    import numpy as np

    from xdancer.music.frame import HOP

    rest = np.zeros((0, 2), np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= HOP:
            yield rest[:HOP]
            rest = rest[HOP:]
    if len(rest):
        yield np.concatenate([rest, np.zeros((HOP - len(rest), 2), np.float32)])


def _length(audio: str) -> int | None:
    """Frames that the file should have, where it says so."""
    import av

    from xdancer.music.frame import FPS

    if audio == "demo":
        return None
    with av.open(audio) as container:
        return int(container.duration / av.time_base * FPS) if container.duration else None


def _chain(first: "np.ndarray", rest: "Iterator[np.ndarray]") -> "Iterator[np.ndarray]":
    yield first
    yield from rest


def _without_picture(frame: "StudioFrame") -> "StudioFrame":
    from dataclasses import replace

    return replace(frame, picture=None)


def _save(path: Path, **arrays: "np.ndarray") -> None:
    import numpy as np

    partial = path.with_name(f".{path.stem}.partial.npz")
    try:
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
