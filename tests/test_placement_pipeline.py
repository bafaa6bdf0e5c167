"""When operators start and end, in closed form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cyclecast.placement._buffers import waiting
from cyclecast.placement._pipeline import Line, Work, latency_of, lines_of, needs_of
from placed import Build, resnet18


def chain(*kernels: int) -> Build:
    build, last = Build(), list[int]()
    for kernel in kernels:
        last = [build.conv(last, 16, 8, 8, kernel)]
    return build


def test_one_operator_takes_its_time_and_its_pipeline() -> None:
    assert lines_of({0: Work(1000, 10, 5)}, ((),), {}) == {0: Line(0, 1005)}


def test_pixels_that_need_no_others_follow_a_step_behind() -> None:
    needs = needs_of(chain(1, 1).operators)
    found = lines_of({0: Work(256, 256, 0), 1: Work(256, 256, 0)}, needs, {})
    assert found[1] == Line(1, 257)


def test_a_window_waits_for_its_rows() -> None:
    needs = needs_of(chain(1, 3).operators)
    found = lines_of({0: Work(256, 256, 0), 1: Work(256, 256, 0)}, needs, {})
    assert found[1].start == 16 + 2  # with padding: a row, and two pixels
    assert needs[1][0].live_pixels == 2 * 16 + 3


def test_who_needs_everything_starts_at_the_end() -> None:
    build = chain(1)
    build.dense([0], 2048, 10)
    found = lines_of({0: Work(256, 256, 4), 1: Work(10, 1, 2)}, needs_of(build.operators), {(0, 1): 3})
    assert found[1] == Line(256 + 4 + 3, 256 + 4 + 3 + 10 + 2)


def test_a_faster_operator_ends_with_its_source() -> None:
    found = lines_of({0: Work(2560, 256, 0), 1: Work(256, 256, 0)}, needs_of(chain(1, 1).operators), {})
    assert found[1] == Line(10, 2561)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 300), st.integers(0, 500)), min_size=21, max_size=21))
def test_nobody_is_early(works: list[tuple[int, int, int]]) -> None:
    needs = needs_of(resnet18().operators)
    given_ = {place: Work(*work) for place, work in enumerate(works)}
    found = lines_of(given_, needs, {})
    for place, line in found.items():
        assert line.end - line.start >= given_[place].time + given_[place].delay
        for need in needs[place]:
            assert line.start >= found[need.source].start
            last = given_[need.source].done(found[need.source], need.points[-1][1])
            assert line.end >= last + given_[place].delay
    assert latency_of(found) == max(line.end for line in found.values())


def test_a_shortcut_keeps_what_the_longer_way_has_not_brought() -> None:
    build = Build()
    first = build.conv([], 16, 8, 8, 1)
    second = build.conv([first], 16, 8, 8, 3)
    build.conv([first, second], 16, 8, 8, 1)
    needs = needs_of(build.operators)
    works = {place: Work(2560, 256, 0) for place in range(3)}
    found = waiting(build.operators, needs, works, lines_of(works, needs, {}), 8)
    kept = {(each.source, place): each.bytes(2560) // 8 for place, waits in found.items() for each in waits}
    assert kept[0, 1] == 2 * 16 + 3
    assert kept[1, 2] == 1
    assert kept[0, 2] >= 16 + 2  # while a window is filled


def test_what_is_reduced_on_its_way_is_not_kept_whole() -> None:
    """A dense layer behind a global pool takes 8 values of 2,048; a concatenation keeps each source by its own size."""
    build = Build()
    wide = build.conv([build.conv([], 16, 8, 8, 1)], 16, 8, 24, 1)
    build.conv([0, wide], 16, 32, 8, 1)
    build.dense([2], 8, 10)
    needs = needs_of(build.operators)
    works = {place: Work(2560, 256, 0) for place in range(4)}
    found = waiting(build.operators, needs, works, lines_of(works, needs, {}), 8)
    assert [each.size for each in found[2]] == [256 * 8, 256 * 24]
    assert [each.size for each in found[3]] == [8]
