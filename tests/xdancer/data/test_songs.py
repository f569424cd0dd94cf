"""Songs: grids read from MIDI made here, beats that fall where the sound is, injuries that leave the grid alone."""

import shutil
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xdancer.data.config import CorpusConfig
from xdancer.data.songs import build, degrade, midi, sequencer
from xdancer.data.songs.arrange import arranged
from xdancer.data.songs.song import fold
from xdancer.errors import UserError
from xdancer.music.frame import SAMPLE_RATE

DRUMS = 9


def write_midi(
    path: Path, bpm: float = 120, beats: int = 40, signature: tuple[int, int] = (4, 4), off: int = 0
) -> None:
    """A claves stroke on every quarter, `off` ticks of 480 late."""
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
    track.append(mido.MetaMessage("time_signature", numerator=signature[0], denominator=signature[1]))
    wait = off
    for _ in range(beats):
        track.append(mido.Message("note_on", channel=DRUMS, note=75, velocity=110, time=wait))
        track.append(mido.Message("note_off", channel=DRUMS, note=75, time=20))
        wait = 460
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(str(path))


def test_the_grid_is_read_from_tempo_and_signature(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid", bpm=120)
    song = midi.read(tmp_path / "song.mid", "song", "train")
    np.testing.assert_allclose(song.quarters_s[:3], [0, 0.5, 1.0])
    np.testing.assert_allclose(song.downbeats_s[:3], [0, 2.0, 4.0])
    assert (song.on_grid, song.four_four, song.steady, song.drums) == (1.0, True, True, True)


def write_band(path: Path) -> mido.MidiFile:
    """Drums in one track, piano and bass in another, whose instruments and tempo are told; four bars."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channels in ((DRUMS,), (0, 1)):
        track = mido.MidiTrack()
        file.tracks.append(track)
        if channels != (DRUMS,):
            track.append(mido.MetaMessage("set_tempo", tempo=500_000))
            track.append(mido.Message("program_change", channel=0, program=2))
        for beat in range(16):
            for channel in channels:
                note = 36 if channel == DRUMS else 60 + beat % 4
                track.append(mido.Message("note_on", channel=channel, note=note, velocity=100, time=0))
            for k, channel in enumerate(channels):
                note = 36 if channel == DRUMS else 60 + beat % 4
                track.append(mido.Message("note_off", channel=channel, note=note, time=0 if k else 480))
    file.save(str(path))
    return file


def notes(file: mido.MidiFile) -> dict[int, list[tuple[int, int]]]:
    """(tick, note) of what is struck, by channel."""
    out: dict[int, list[tuple[int, int]]] = {}
    for track in file.tracks:
        tick = 0
        for event in track:
            tick += event.time
            if event.type == "note_on" and event.velocity:
                out.setdefault(event.channel, []).append((tick, event.note))
    return out


@given(st.integers(0, 10**6))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrangements_keep_the_grid(tmp_path: Path, seed: int) -> None:
    file = write_band(tmp_path / "band.mid")
    other = arranged(file, np.random.default_rng(seed))
    before, after = notes(file), notes(other)
    assert after and set(after) <= set(before)
    moved = set()
    for channel, struck in after.items():
        assert [tick for tick, _ in struck] == [tick for tick, _ in before[channel]]
        steps = {b - a for (_, a), (_, b) in zip(before[channel], struck, strict=True)}
        assert len(steps) == 1
        moved |= steps if channel != DRUMS else set()
    assert len(moved) <= 1 and all(abs(step) <= 6 for step in moved)
    other.save(str(tmp_path / "other.mid"))
    if sum(map(len, after.values())) >= 32:
        pace = midi.read(tmp_path / "other.mid", "other", "train").tempo / 120
        assert 0.79 < pace < 1.26


def test_arrangements_differ(tmp_path: Path) -> None:
    file = write_band(tmp_path / "band.mid")
    made = [arranged(file, np.random.default_rng(seed)) for seed in range(30)]
    assert {tuple(sorted(notes(other))) for other in made} >= {(0, 1, DRUMS), (0, 1), (DRUMS,)}
    programs = {e.program for other in made for t in other.tracks for e in t if e.type == "program_change"}
    assert len(programs) > 8


def test_notes_between_the_grid_lines_are_counted(tmp_path: Path) -> None:
    write_midi(tmp_path / "off.mid", bpm=60, off=48)  # 0.1 s late: neither a sixteenth nor a triplet
    assert midi.read(tmp_path / "off.mid", "off", "train").on_grid < 0.1


def test_three_four_is_told_apart(tmp_path: Path) -> None:
    write_midi(tmp_path / "waltz.mid", signature=(3, 4))
    song = midi.read(tmp_path / "waltz.mid", "waltz", "train")
    assert not song.four_four
    np.testing.assert_allclose(np.diff(song.downbeats_s), 1.5)


def test_a_fast_song_is_folded_in_two_phases_and_a_slow_one_split() -> None:
    fast = fold(np.arange(8) * 0.3)  # 200 BPM
    assert [list(np.round(beats, 3)) for beats in fast] == [[0, 0.6, 1.2, 1.8], [0.3, 0.9, 1.5, 2.1]]
    (slow,) = fold(np.arange(4) * 1.0)  # 60 BPM
    np.testing.assert_allclose(slow, np.arange(7) * 0.5)


@given(st.floats(30, 400), st.integers(16, 64))
def test_folded_beats_are_between_75_and_150(bpm: float, count: int) -> None:
    for beats in fold(np.arange(count) * 60 / bpm):
        if len(beats) > 1:
            assert 74.9 <= 60 / float(np.median(np.diff(beats))) <= 150.1


def test_the_sound_of_a_song_begins_on_its_beats(tmp_path: Path) -> None:
    assert shutil.which("fluidsynth"), "fluidsynth is needed: see `make test`"
    write_midi(tmp_path / "song.mid", bpm=120, beats=24)
    with pytest.raises(ValueError, match="only 24 notes"):
        midi.read(tmp_path / "song.mid", "song", "train")
    write_midi(tmp_path / "song.mid", bpm=120)
    song = midi.read(tmp_path / "song.mid", "song", "train")
    samples = np.abs(midi.render(song, seconds=5.0))
    assert len(samples) <= 5 * SAMPLE_RATE
    for beat in song.quarters_s[1:8]:
        start = round((beat - 0.1) * SAMPLE_RATE)
        window = samples[start : start + round(0.3 * SAMPLE_RATE)]
        assert abs(np.argmax(window > 0.2 * window.max()) / SAMPLE_RATE - 0.1) < 0.004


def test_held_notes_end_where_a_song_is_cut() -> None:
    track = mido.MidiTrack([mido.Message("note_on", note=60, time=10), mido.Message("note_off", note=60, time=5000)])
    cut = midi._until(track, 1000)
    assert [(e.type, getattr(e, "note", None)) for e in cut] == [
        ("note_on", 60),
        ("control_change", None),
        ("note_off", 60),
    ]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> sequencer.Kit:
    """One one-shot a voice: a decaying tone that begins after 10 ms of nothing."""
    folder = tmp_path_factory.mktemp("samples")
    t = np.arange(4800) / SAMPLE_RATE
    shot = np.concatenate([np.zeros(480), np.sin(2 * np.pi * 200 * t) * np.exp(-30 * t)])
    for name in ("bd_a", "sn_a", "hat_a", "bass_hit_c", "drum_splash_hard"):
        soundfile.write(folder / f"{name}.flac", shot, SAMPLE_RATE)
    return sequencer.Kit(folder)


@pytest.mark.parametrize("seed", [1, 5])
def test_sequenced_beats_fall_on_strokes(kit: sequencer.Kit, seed: int) -> None:
    song = sequencer.sequence(kit, seed, seconds=30)
    again = sequencer.sequence(kit, seed, seconds=30)
    np.testing.assert_array_equal(song.samples, again.samples)
    assert len(song.energy) == len(song.beats_s)
    np.testing.assert_allclose(np.diff(song.beats_s), 60 / song.tempo)
    struck = 0
    for beat, energy in zip(song.beats_s, song.energy, strict=True):
        at = round(beat * SAMPLE_RATE)
        before, after = np.abs(song.samples[max(at - 480, 0) : at - 60]), np.abs(song.samples[at : at + 960])
        struck += energy > 0.3 and after.max() > 2 * before.max(initial=1e-3)
    assert struck > 0.4 * np.sum(song.energy > 0.3)


def test_a_kit_without_a_voice_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no one-shots for kick"):
        sequencer.Kit(tmp_path)


def test_injuries_keep_length_and_stay_finite() -> None:
    samples = np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32)
    for seed in range(12):
        hurt = degrade.degraded(np.random.default_rng(seed), samples)
        assert hurt.shape == samples.shape and np.isfinite(hurt).all()
    assert np.isfinite(degrade.degraded(np.random.default_rng(0), np.zeros(4800, np.float32))).all()


def test_a_low_shelf_lifts_the_bass_only() -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hertz, factor in ((30, 2.0), (8_000, 1.0)):
        tone = np.sin(2 * np.pi * hertz * t).astype(np.float32)
        lifted = degrade.shelved(tone, 6.02, 300, low=True)[SAMPLE_RATE // 2 :]
        assert np.sqrt(2 * np.square(lifted).mean()) == pytest.approx(factor, rel=0.05)


def test_phases_count_from_beats_and_downbeats() -> None:
    beats = 0.25 + np.arange(16) * 0.5
    clock = build.phases(beats, beats[::4], frames=90)
    assert clock["tempo"][0] == pytest.approx(120)
    # Frame 14 ends at 0.5 s, half a beat and an eighth of a bar after the first beat.
    assert clock["beat_phase"][14] == pytest.approx(0.5, abs=1e-5)
    assert clock["bar_phase"][14] == pytest.approx(0.125, abs=1e-5)
    assert (clock["beat_phase"] >= 0).all() and (clock["beat_phase"] < 1).all()


def test_energy_follows_loudness() -> None:
    loud = np.repeat([0.02, 0.5], 4 * SAMPLE_RATE) * np.sin(np.arange(8 * SAMPLE_RATE) * 0.05)
    energy = build.heard_energy(loud.astype(np.float32), np.arange(16) * 0.5)
    assert energy[:3].max() < 0.2 and energy[-3:].min() > 0.85
    assert build.heard_energy(np.zeros(SAMPLE_RATE, np.float32), np.array([0.0, 0.5])).max() == 0


def test_the_beats_of_a_folded_song_are_those_with_the_weight() -> None:
    t = np.arange(14_400) / SAMPLE_RATE
    kick = np.sin(2 * np.pi * 60 * t) * np.exp(-12 * t)
    tick = 0.8 * np.sin(2 * np.pi * 3000 * t) * np.exp(-12 * t)
    samples = np.zeros(10 * SAMPLE_RATE)
    for k in range(30):
        at = k * 14_400  # quarters at 200 BPM: a tick, then a kick
        samples[at : at + 14_400] += kick if k % 2 else tick
    ticks, kicks = fold(np.arange(32) * 0.3)
    assert build.weight_on(samples, kicks) > 3 * build.weight_on(samples, ticks)
    assert build.weight_on(samples, np.zeros(0)) == 0


def test_a_breakdown_is_cut_at_downbeats_only() -> None:
    samples = np.ones(40 * SAMPLE_RATE, np.float32)
    cut = build.broken_down(np.random.default_rng(4), samples, np.arange(20) * 2.0)
    quiet = np.flatnonzero(cut < 0.1) / SAMPLE_RATE
    assert (
        quiet[0] % 2.0 == pytest.approx(0, abs=0.01)
        and (quiet[-1] - quiet[0]) == pytest.approx(4, abs=0.1)
        or (quiet[-1] - quiet[0]) == pytest.approx(8, abs=0.1)
    )
    assert quiet[0] >= 8 and quiet[-1] < 36
    np.testing.assert_array_equal(build.broken_down(np.random.default_rng(4), samples, np.arange(5) * 2.0), samples)


@pytest.mark.parametrize("same", [True, False])
def test_songs_are_heard_anew_by_another_network(
    kit: sequencer.Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    monkeypatch.setattr(build, "_jobs", lambda *_: [("seq", lambda: build._from_sequencer(kit, 1, "seq", "train", 12))])
    monkeypatch.setattr(build, "data_root", lambda: tmp_path)
    config = CorpusConfig(motion=[])
    build.build_songs(config, tmp_path, set())
    with np.load(tmp_path / "songs" / "seq.npz") as data:
        first = {key: data[key] for key in data.files}
    marked = {**first, "heard_tempo": first["heard_tempo"] * 0 - 1, "energy": first["energy"] * 0 + 7}
    np.savez_compressed(
        tmp_path / "songs" / "seq.npz", **{**marked, "listener": first["listener"] if same else "another"}
    )
    build.build_songs(config, tmp_path, set())
    with np.load(tmp_path / "songs" / "seq.npz") as data:
        assert (data["energy"] == 7).all()
        assert (data["heard_tempo"] == -1).all() if same else np.allclose(data["heard_tempo"], first["heard_tempo"])
        assert str(data["listener"]) == str(first["listener"])
