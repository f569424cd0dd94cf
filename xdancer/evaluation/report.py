"""The result of `xdancer evaluate choreographer` as tables for people."""

from collections.abc import Callable
from typing import Any

from xdancer.evaluation.alignment import DIRECTIONS

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]  # heading, and the cell of a row


def report(result: dict[str, Any]) -> str:
    """Whatever the command was asked for, in lines of text."""
    if "handles" in result:
        return "\n".join(_handles(result["handles"]))
    rows = result["rows"]
    if "leads" in result:
        kept = [_column(f"{d} kept", f"{d}_kept", "{:.2f}") for d in DIRECTIONS]
        return "\n".join([*_table("alignment by lead", rows, [*IN_TIME[:3], *kept]), *_goals(result)])
    if "toward" in result:
        return "\n".join([*_table(f"to {result['toward']}", rows, [*IN_TIME[:3], *NEARNESS]), *_goals(result)])
    lines = _table("in time with the music", rows, IN_TIME)
    lines.append(
        "recall: music beats near a motion beat; precision: the reverse; (chance) = share of the truth's excess"
    )
    lines.append(
        "Bailando, AIST++: the published formula, sigma 3 frames, by music beat and by motion beat; mind the fps"
    )
    lines += ["", *_table("the movement itself", rows, MOVEMENT)]
    lines.append("energy: trunks a second; (x): times the truth's; unseen: share of joints; off canvas: of frames")
    if any("kinetic" in row or "novelty" in row for row in rows.values()):
        lines += ["", *_table("beside real dances", rows, AS_A_WHOLE)]
        lines.append(
            "Fréchet distance [95 %] in 2-D features of 5 s, x that between two halves of the truth; diversity"
        )
        lines.append("should be the truth's; novelty: of a second from the nearest training second, trunks")
    lines += [*_minutes(result), *_goals(result)]
    return "\n".join(lines)


def _column(heading: str, key: str, form: str) -> Column:
    return heading, lambda row: form.format(row[key]) if key in row else "-"


def _direction(name: str) -> Column:
    def cell(row: Row) -> str:
        share = f" = {row[f'{name}_excess']:.2f}" if f"{name}_excess" in row else ""
        return f"{row[name]:.2f} ({row[f'{name}_chance']:.2f}){share}"

    return name, cell


def _ratio(name: str, form: str) -> Column:
    def cell(row: Row) -> str:
        share = f" ({row[f'{name}_ratio']:.2f} x)" if f"{name}_ratio" in row else ""
        return form.format(row[name]) + share if name in row else "-"

    return name, cell


def _distance(kind: str) -> Column:
    def cell(row: Row) -> str:
        if kind not in row:
            return "-"
        low, high = row[kind]["interval"]
        return f"{row[kind]['distance']:.2f} [{low:.2f}, {high:.2f}] {row[kind]['halves']:.2f} x"

    return f"{kind} distance", cell


def _diversity(kind: str) -> Column:
    return f"{kind} div.", lambda row: f"{row[kind]['diversity']:.2f}" if kind in row else "-"


IN_TIME: list[Column] = [
    *(_direction(name) for name in DIRECTIONS),
    _column("beat ratio", "beat_ratio", "{:.2f}"),
    *(_column(f"{label}@{rate}fps", f"{key}_{rate}fps", "{:.3f}")
      for rate in (30, 60) for label, key in (("Bailando", "bailando"), ("AIST++", "aist"))),
]  # fmt: skip
MOVEMENT: list[Column] = [
    _column("energy", "energy", "{:.3f}"),
    _column("follows", "follows", "{:.2f}"),
    _ratio("jerk", "{:.4f}"),
    _column("frozen", "frozen", "{:.3f}"),
    _ratio("sliding", "{:.3f}"),
    _column("unseen", "unseen", "{:.3f}"),
    _column("off canvas", "off_canvas", "{:.3f}"),
    _column("exits/min", "exits", "{:.2f}"),
]
AS_A_WHOLE: list[Column] = [
    *(_distance(kind) for kind in ("kinetic", "geometric")),
    *(_diversity(kind) for kind in ("kinetic", "geometric")),
    _column("novelty", "novelty", "{:.3f}"),
]


def _gain(kind: str) -> Column:
    key = f"{kind}_gain"
    return "less by [95 %]", lambda row: "[{:.2f}, {:.2f}]".format(*row[key]) if key in row else "-"


NEARNESS: list[Column] = [
    column
    for split, place in (("", "learnt"), ("_held_out", "held out"))
    for kind in ("kinetic", "geometric")
    for column in (_column(f"{kind}, {place}", f"{kind}{split}", "{:.2f}"), _gain(f"{kind}{split}"))
]


def _table(title: str, rows: dict[str, Row], columns: list[Column]) -> list[str]:
    cells = [[title, *(heading for heading, _ in columns)]]
    cells += [[name, *(cell(row) for _, cell in columns)] for name, row in rows.items()]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns) + 1)]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]


def _minutes(result: dict[str, Any]) -> list[str]:
    lines = []
    for name, values in result.get("by_minute", {}).items():
        sign = "+" if name in ("energy", "bones") else ""
        if values:
            lines.append(f"{name:>10} by minute: " + " ".join(f"{value:{sign}.1%}" for value in values))
    if "repeats" in result:
        again = result["repeats"]
        lines.append(
            f"longest freeze {result['longest_freeze_s']:.0f} s; energy's trend {result['energy_trend']:+.1%}; longest "
            f"repetition {again['longest']} bars" + (f" (every {again['lag']})" if again["lag"] else "")
        )
        lines.append(" likeness by bars: " + " ".join(f"{value:.2f}" for value in again["by_lag"]))
    return ["", *lines] if lines else []


def goal_lines(goals: list[dict[str, Any]]) -> list[str]:
    """Goals as lines: met or not, and by which value."""
    return [f"  {'met   ' if g['met'] else 'MISSED'} {g['goal']}: {g['value']:.3g}" for g in goals]


def _goals(result: dict[str, Any]) -> list[str]:
    lines = []
    sets = {name: row["goals"] for name, row in result["rows"].items() if "goals" in row}
    if result.get("goals"):
        sets["model"] = result["goals"]
    for name, goals in sets.items():
        lines += ["", f"goals, {name}:", *goal_lines(goals)]
    return lines


def _handles(handles: dict[str, Any]) -> list[str]:
    lines = []
    for name in ("energy", "temperature"):
        for found in handles[name]:
            steps = ", ".join(f"{v:g}: {m:.3f}" for v, m in zip(found["values"], found["measured"], strict=True))
            rises = "rises at every step" if found["monotone"] else "does NOT rise at every step"
            lines.append(f"{name}: {found['what']}: {steps}; {rises}, {found['span']:.2f} x from end to end")
    for row in handles["style"]:
        lines.append(
            f"style {row['style']}: {row['plain']:.2f} deviations from its training dances without, "
            f"{row['styled']:.2f} with it ({'nearer' if row['nearer'] else 'NOT nearer'}; {row['windows']} windows)"
        )
    return lines
