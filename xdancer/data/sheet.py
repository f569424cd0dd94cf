"""Pictures for people to judge a corpus by: a contact sheet of its clips and a moving preview with sound."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile

from xdancer.data.cameras import Camera
from xdancer.data.confidence import observed
from xdancer.data.skeleton import Body, Clip
from xdancer.errors import UserError
from xdancer.pose.layout import BONES, CANVAS_HEIGHT, CANVAS_WIDTH, JOINTS

RIGHT, LEFT, MIDDLE = (255, 110, 90), (90, 170, 255), (225, 225, 225)  # RGB; the dancer's own sides
BACK, FRAME, INK = (14, 14, 20), (48, 48, 60), (250, 220, 120)


def draw(pose: np.ndarray, height: int = 224) -> np.ndarray:
    """One pose (60, 3) as a picture (height, width, 3) uint8 RGB: right warm, left cold, confidence as opacity."""
    scale = height / CANVAS_HEIGHT
    picture = np.full((height, round(CANVAS_WIDTH * scale), 3), BACK, dtype=np.uint8)
    for a, b in BONES:
        sure = float(min(pose[a, 2], pose[b, 2]))
        if sure <= 0:
            continue
        name = JOINTS[max(a, b)]
        colour = RIGHT if name.startswith("right") else LEFT if name.startswith("left") else MIDDLE
        shade = tuple(int(dark + sure * (light - dark)) for dark, light in zip(BACK, colour, strict=True))
        ends = [tuple(int(v) for v in np.round(pose[j, :2] * scale * 16)) for j in (a, b)]
        cv2.line(picture, ends[0], ends[1], shade, 2 if max(a, b) < 14 else 1, cv2.LINE_AA, shift=4)
    picture[:, -1] = picture[-1] = FRAME
    return picture


def label(picture: np.ndarray, text: str) -> np.ndarray:
    return cv2.putText(picture, text, (5, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)


def contact_sheet(folder: Path, path: Path, seed: int = 0, each: int = 3, moments: int = 10) -> None:
    """Write a PNG: up to `each` clips of every source, `moments` of each, on some body before some camera."""
    rng = np.random.default_rng(seed)
    people = bodies(folder)
    rows = []
    for clip in _spread(folder, each):
        times = np.linspace(0, len(clip) - 1, moments).astype(int)
        poses = posed(rng, clip, people[rng.integers(len(people))])
        strip = np.concatenate([draw(poses[t]) for t in times], axis=1)
        rows.append(
            label(np.ascontiguousarray(strip), f"{clip.name}  {clip.style}  {clip.split}  {len(clip) / 30:.0f} s")
        )
    if len(rows) % 2:
        rows.append(np.full_like(rows[0], BACK))
    sheet = np.concatenate([np.concatenate(rows[k : k + 2], axis=1) for k in range(0, len(rows), 2)])
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def bodies(folder: Path) -> list[Body]:
    """Everybody of a corpus. Raises UserError where there is nobody."""
    people = [Body.load(path) for path in sorted((folder / "bodies").glob("*.npz"))]
    if not people:
        raise UserError(f"{folder}: no bodies there; run `xdancer corpus build`")
    return people


def posed(rng: np.random.Generator, clip: Clip, body: Body) -> np.ndarray:
    """The pose (T, 60, 3) of a clip on a body before a random camera."""
    joints = body.joints(clip)
    return observed(rng, joints, Camera.sample(rng, joints, body.stature))


def _spread(folder: Path, each: int) -> Iterator[Clip]:
    """Up to `each` of the longer clips of every source, evenly by name."""
    sources: dict[str, list[Path]] = {}
    for path in sorted((folder / "motion").glob("*.npz")):
        sources.setdefault(path.stem.split("-")[0], []).append(path)
    for paths in sources.values():
        long = sorted(sorted(paths, key=lambda p: -p.stat().st_size)[: max(each, len(paths) // 2)])
        for k in np.unique(np.linspace(0, len(long) - 1, each).round().astype(int)):
            yield Clip.load(long[k])


def preview(folder: Path, path: Path, seed: int = 0, seconds: float = 8.0, across: int = 3) -> None:
    """Write an MP4 in which `across` skeletons dance side by side, a change of cast every `seconds`.

    Where the corpus has dances, they are shown with their song; else bare clips, without sound.
    """
    rng = np.random.default_rng(seed)
    shown = list(_dances(folder, rng, seconds)) or list(_clips(folder, rng, seconds))
    if not shown:
        raise UserError(f"{folder}: nothing to preview; run `xdancer corpus build`")
    if shown[0][2] is not None:
        across = 1
    height = 448
    width = round(CANVAS_WIDTH * height / CANVAS_HEIGHT) * across
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"crf": "26", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="mono") if shown[0][2] is not None else None
        number = 0
        samples = 0
        for k in range(0, len(shown) - across + 1, across):
            cast = shown[k : k + across]
            for t in range(min(len(poses) for _, poses, _ in cast)):
                tiles = [label(draw(poses[t], height), title) for title, poses, _ in cast]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.concatenate(tiles, axis=1)), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                container.mux(video.encode(frame))
                number += 1
            heard = cast[0][2]
            if sound is not None and heard is not None:
                heard = np.pad(heard, (0, 1600))[: len(cast[0][1]) * 1600]
                for block in range(0, len(heard), 1024):
                    piece = av.AudioFrame.from_ndarray(
                        heard[None, block : block + 1024].copy(), format="flt", layout="mono"
                    )
                    piece.sample_rate, piece.pts, piece.time_base = 48000, samples, Fraction(1, 48000)
                    container.mux(sound.encode(piece))
                    samples += piece.samples
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))


Shown = tuple[str, np.ndarray, np.ndarray | None]


def _clips(folder: Path, rng: np.random.Generator, seconds: float) -> Iterator[Shown]:
    people = bodies(folder)
    for clip in _spread(folder, 2):
        start = max(0, (len(clip) - int(30 * seconds)) // 2)
        part = clip.cut(start, start + int(30 * seconds))
        if len(part) == int(30 * seconds):
            yield clip.name, posed(rng, part, people[rng.integers(len(people))]), None


def _dances(folder: Path, rng: np.random.Generator, seconds: float, most: int = 10) -> Iterator[Shown]:
    """The middle of up to `most` dances as one camera saw them, with their sound, every song at most once."""
    by_song: dict[str, Path] = {}
    for path in sorted((folder / "dances").glob("*.npz")):
        by_song.setdefault(path.stem.rpartition("-")[0], path)
    paths = list(by_song.values())
    for k in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)):
        with np.load(paths[k]) as data:
            poses, song = data["views"][rng.integers(len(data["views"]))].astype(np.float32), str(data["song"])
        count = int(30 * seconds)
        start = max(0, (len(poses) - count) // 2)
        samples, _ = soundfile.read(folder / "songs" / f"{song}.flac", dtype="float32")
        yield song, poses[start : start + count], samples[start * 1600 : (start + count) * 1600]
