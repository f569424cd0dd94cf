"""Windows: worked by hand, and never growing."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.stage.metrics import Window, resident_mb


def test_a_window_before_anything_was_measured() -> None:
    assert Window().state() == {"p50_ms": 0, "p95_ms": 0, "p99_ms": 0, "count": 0, "sum_ms": 0}


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50), st.integers(1, 20))
def test_a_window_is_of_the_last_values_and_counts_all(values: list[float], kept: int) -> None:
    window = Window(kept)
    for value in values:
        window.push(value)
    state = window.state()
    for name, share in {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}.items():
        assert state[name] == pytest.approx(1000 * np.quantile(values[-kept:], share), abs=1e-3)
    assert state["count"] == len(values) and state["sum_ms"] == pytest.approx(1000 * sum(values), abs=1e-3)


def test_memory_is_told_of_processes_that_are_there() -> None:
    sizes = resident_mb({"stage": os.getpid(), "spare": None, "gone": 2**22 + 1})
    assert set(sizes) == {"stage"} and 10 < sizes["stage"] < 10_000
