"""Files of many kinds decode to 48 kHz float samples; what is no audio is named in one line."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from xdancer.errors import UserError
from xdancer.music.decode import decode_audio, mono

RATE = 48_000
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def write(path: Path, samples: np.ndarray, rate: int = RATE, codec: str = "pcm_f32le") -> Path:
    """samples (N, channels) to a file."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=LAYOUTS[samples.shape[1]])
        packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
        plane = av.AudioFrame.from_ndarray(packed, "flt", stream.layout.name)
        plane.sample_rate, plane.pts, plane.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.codec_context.format, stream.layout, rate, stream.codec_context.frame_size)
        for frame in [*resampler.resample(plane), *resampler.resample(None)]:
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def tone(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(int(seconds * rate)) / rate)
    return np.tile(wave[:, None], (1, channels)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_samples_and_channels_survive(tmp_path: Path, channels: int) -> None:
    sound = tone(0.5, channels=channels) * np.linspace(0.2, 1.0, channels, dtype=np.float32)
    decoded = decode_audio(write(tmp_path / "a.wav", sound))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, sound, atol=1e-6)


@pytest.mark.parametrize(("rate", "codec", "tolerance"), [(96_000, "pcm_s24le", 0.01), (22_050, "pcm_u8", 0.02)])
def test_rates_and_depths_come_to_48_khz_float(tmp_path: Path, rate: int, codec: str, tolerance: float) -> None:
    decoded = mono(decode_audio(write(tmp_path / "a.wav", tone(1.0, rate), rate, codec)))
    assert abs(len(decoded) - RATE) < 200
    middle = slice(RATE // 4, RATE // 2)
    wanted = tone(1.0)[:, 0]
    assert np.abs(decoded[middle] - wanted[middle]).max() < tolerance


def test_samples_that_are_not_finite_become_silence(tmp_path: Path) -> None:
    sound = tone(0.2)
    sound[1000:1010] = np.nan
    sound[2000] = np.inf
    decoded = decode_audio(write(tmp_path / "a.wav", sound))
    assert np.isfinite(decoded).all()
    assert not decoded[1000:1010].any()


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.flac", tone(4.0), codec="flac").read_bytes()
    broken = tmp_path / "b.flac"
    broken.write_bytes(whole[: len(whole) // 2])
    assert RATE < len(decode_audio(broken)) < 3 * RATE


def bad(path: Path, content: bytes | None) -> Path:
    if content is not None:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.mp3", b"", "empty"),
        ("notes.txt", b"this is no sound at all\n" * 40, "no audio"),
        ("noise.wav", bytes(range(256)) * 20, "not an audio file"),
        ("header.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", ""),
    ],
)
def test_what_is_no_audio_is_named(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    with pytest.raises(UserError) as caught:
        decode_audio(bad(tmp_path / name, content))
    message = str(caught.value)
    assert name in message and says in message and "\n" not in message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a file"):
        decode_audio(tmp_path)


def test_pictures_without_sound_are_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        out.mux(stream.encode(None))
    with pytest.raises(UserError, match="no audio in it"):
        decode_audio(path)
