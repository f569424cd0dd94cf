"""The controller of the painter, fed with times."""

from engine.painter.pace import PATIENCE, SETTINGS, Pace, Setting


def after(pace: Pace, cost: float, seconds: float = 120.0) -> list[Setting]:
    """The settings that it went through on a machine where a pass takes `cost` seconds a frame."""
    went = [pace.setting]
    for tick in range(int(seconds * 4)):
        setting = pace.took(cost * pace.setting.levels, tick / 4)
        if setting != went[-1]:
            went.append(setting)
    return went


def test_a_slow_machine_draws_every_few_frames() -> None:
    assert after(Pace(), 0.05) == [Setting(1, 1), Setting(1, 2)]
    assert after(Pace(), 0.075)[-1] == Setting(1, 3)
    assert after(Pace(), 1.0)[-1] == SETTINGS[-1]  # and no less than that


def test_a_fast_one_makes_more_passes_where_there_is_time_to_wait_for_them() -> None:
    assert after(Pace(15), 0.001) == [Setting(1, 1), Setting(2, 1), Setting(4, 1)]
    assert after(Pace(7), 0.001)[-1] == Setting(2, 1)
    assert after(Pace(3), 0.001) == [Setting(1, 1)]
    assert after(Pace(15, passes=2), 0.001)[-1] == Setting(2, 1)


def test_it_settles() -> None:
    """A setting that is too much and one below it that is too little are not taken in turns."""
    for cost in (0.005, 0.011, 0.013, 0.02, 0.026, 0.03, 0.04, 0.055, 0.08, 0.1):
        assert len(after(Pace(60), cost, 600.0)) == len(set(after(Pace(60), cost, 600.0)))


def test_one_slow_picture_changes_nothing_and_changes_keep_apart() -> None:
    pace = Pace()
    for tick in range(40):
        pace.took(0.02, tick / 4)
    assert pace.took(0.1, 10.0) == Setting(1, 1)
    times, setting = [], pace.setting
    for tick in range(41, 400):
        if pace.took(0.5, tick / 4) != setting:
            setting = pace.setting
            times.append(tick / 4)
    assert len(times) == 3 and min(b - a for a, b in zip(times, times[1:], strict=False)) >= PATIENCE


def test_frames_that_a_picture_waits_for() -> None:
    assert [setting.waits for setting in SETTINGS] == [15, 7, 1, 3, 5, 7]
