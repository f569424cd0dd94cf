"""The table: rows of motions to the same held-out songs, each figure of each row worked out in the same way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.evaluation import features, frechet, motion_graph
from xdancer.evaluation.dances import Dance, Song, read_dances
from xdancer.evaluation.motion_graph import Place
from xdancer.evaluation.novelty import novelty
from xdancer.evaluation.scores import against_truth, goals, score, summary

KINDS = {"kinetic": features.kinetic, "geometric": features.geometric}
GRAPHS = ("motion graph", "motion graph, heard")
BASELINES = ("truth", "random clip", *GRAPHS)
Motions = list[np.ndarray]  # (T, 60, 3) each, one a song
Rows = dict[str, Motions]


def baselines(corpus: Path, dances: list[Dance], songs: dict[str, Song], seed: int) -> Rows:
    """What others make of the songs of `dances`, one dance a song: the paired truth; a training clip to a song of its
    own; training clips put together by beat and energy, on the song's exact beats and on those that the analyzer heard
    live, as a dancer has them. A corpus without training dances leaves the truth alone."""
    from tqdm import tqdm

    rows: Rows = {"truth": [dance.view() for dance in dances]}
    pieces = motion_graph.library(tqdm(read_dances(corpus, "train"), unit="dance", desc="cutting"))
    if not len(pieces):
        return rows
    rng = np.random.default_rng(seed)
    paths = [pieces.paths[k] for k in rng.choice(len(pieces.paths), len(dances), len(dances) > len(pieces.paths))]
    strangers: Motions = []
    for path, truth in zip(paths, rows["truth"], strict=True):
        with np.load(path) as data:
            strangers.append(np.resize(data["views"][0].astype(np.float32), truth.shape))
    graphs: Rows = {name: [] for name in GRAPHS}
    for dance, truth in zip(dances, rows["truth"], strict=True):
        song = songs[dance.song]
        for graph, beats in zip(graphs.values(), (song.beats, song.heard_beats), strict=True):
            if not motion_graph.danceable(beats, len(truth)):  # who hears next to no beat stands
                graph.append(np.repeat(truth[:1], len(truth), axis=0))
                continue
            energy = np.interp(beats, song.beats, song.energy)
            graph.append(motion_graph.graph_dance(pieces, beats, energy, Place.of(truth), len(truth)))
    return rows | {"random clip": strangers} | graphs


def figures(rows: Rows, dances: list[Dance], songs: dict[str, Song]) -> dict[str, dict[str, Any]]:
    """Each row's mean figures over the songs of `dances`, with what it has of the row "truth"."""
    every = [songs[name].beats for name in sorted(songs)]
    found: dict[str, dict[str, Any]] = {}
    for name, motions in rows.items():
        each = []
        for number, (pose, dance) in enumerate(zip(motions, dances, strict=True)):
            song = songs[dance.song]
            others = [other for other in every if other is not song.beats]
            each.append(score(pose, song.beats, others, dance.idle, number, song.energy))
        found[name] = summary(each)
    against_truth(found)
    return found


def compare(
    corpus: Path, rows: Rows, dances: list[Dance], truth: list[Dance], songs: dict[str, Song], seed: int = 0
) -> dict[str, dict[str, Any]]:
    """`figures` of the rows, their distances to the whole `truth`, and their novelty beside the training dances."""
    found = figures(rows, dances, songs)
    others = {name: motions for name, motions in rows.items() if name != "truth"} or {"truth": rows["truth"]}
    for kind, extract in KINDS.items():
        real = [[extract(dance.view(k)) for k in range(len(dance.views))] for dance in truth]
        scale = frechet.Scale.of(np.concatenate([view for dance in real for view in dance]))
        scaled = [[scale(view) for view in dance] for dance in real]
        made = {name: [scale(extract(pose)) for pose in motions] for name, motions in others.items()}
        for name, distance in frechet.distances(scaled, made, seed).items():
            found[name][kind] = distance
    for name, value in novelty(rows, _views(corpus)).items():
        if np.isfinite(value):
            found[name]["novelty"] = value
    graphs = {name: found[name] for name in GRAPHS if name in found}
    for name in rows.keys() - {*BASELINES}:
        found[name]["goals"] = goals(found[name], graphs)
    return found


def _views(corpus: Path) -> Iterator[np.ndarray]:
    from tqdm import tqdm

    for dance in tqdm(read_dances(corpus, "train"), unit="dance", desc="looking for copies"):
        yield from (dance.view(number) for number in range(len(dance.views)))
