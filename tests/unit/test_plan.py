"""What a follower does next, as tables: what is on disk, what is known, what is to be done."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.plan import (
    ASLEEP_SECONDS,
    OPEN_LINE_SECONDS,
    ROTATED_SECONDS,
    Action,
    Close,
    Disk,
    Expect,
    FindLost,
    Forget,
    Knowledge,
    Known,
    LandRest,
    Move,
    Open,
    Read,
    Search,
    SetApart,
    Sleep,
    State,
    Status,
    Times,
    names_of_files,
    plan,
)

A, B, LINK = Path("/logs/a.log"), Path("/logs/b.log"), Path("/logs/current")
ONE, TWO = (1, 1), (1, 2)
WALL = 1_000_000.0
TIMES = Times(now=500.0, wall=WALL, quiet_seconds=2.0)
LOST = FindLost(())


def status(identity: tuple[int, int] = ONE, *, size: int = 10, age_seconds: float = 10.0, links: int = 1) -> Status:
    modified_at = WALL - age_seconds
    return Status((*identity, size, int(modified_at * 10**9)), modified_at, links)


def known(
    state: State = State.READING, seen: Status | None = None, *, path: Path = A, quiet_for_seconds: float = 0.0,
    retry_in_seconds: float | None = None, is_settled: bool = True, has_open_line: bool = False, has_place: bool = True,
) -> Known:  # fmt: skip
    return Known(
        ONE, path, state, None if seen is None else seen.signature, TIMES.now - quiet_for_seconds,
        None if retry_in_seconds is None else TIMES.now + retry_in_seconds, has_open_line, is_settled, has_place,
    )  # fmt: skip


def planned(disk: Disk, *files: Known, **more: object) -> list[Action]:
    """The plan, without what is in each of them."""
    actions = plan(replace(disk, named=frozenset()), Knowledge(files, **more), TIMES)  # type: ignore[arg-type]
    return [action for action in actions if action != LOST]


def at(path: Path, found: Status, **more: object) -> Disk:
    return Disk({path: found}, **more)  # type: ignore[arg-type]


def opening(path: Path = A, identity: tuple[int, int] = ONE, *, is_old: bool = False, is_quiet: bool = True) -> Open:
    return Open(path, identity, is_old=is_old, is_quiet=is_quiet)


SAME, GROWN = status(), status(size=11, age_seconds=0.5)
OLD = status(age_seconds=ASLEEP_SECONDS + 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (status(), [opening(), Read(ONE)]),
        (status(age_seconds=1), [opening(is_quiet=False), Read(ONE)]),
        (OLD, [opening(is_old=True), Read(ONE)]),
    ],
)
def test_a_file_that_is_not_known_is_opened_and_read(found: Status, expected: list[Action]) -> None:
    assert planned(at(A, found)) == expected


@pytest.mark.parametrize(
    ("file", "found", "expected"),
    [
        (known(seen=SAME), SAME, []),
        (known(seen=SAME), GROWN, [Read(ONE)]),
        (known(), SAME, [Read(ONE)]),
        (known(retry_in_seconds=1), SAME, []),
        (known(retry_in_seconds=0), SAME, [Read(ONE)]),
        (known(seen=SAME, has_open_line=True), SAME, []),
        (known(seen=OLD), OLD, [Sleep(ONE)]),
        (known(seen=OLD, has_open_line=True), OLD, [LandRest(ONE), Sleep(ONE)]),
        (
            known(seen=status(age_seconds=OPEN_LINE_SECONDS), has_open_line=True),
            status(age_seconds=OPEN_LINE_SECONDS),
            [LandRest(ONE)],
        ),
    ],
)
def test_a_log_at_its_path_is_read_when_it_has_changed_and_closed_when_it_is_old(
    file: Known, found: Status, expected: list[Action]
) -> None:
    assert planned(at(A, found, opened={ONE: found}), file) == expected


@pytest.mark.parametrize(
    ("file", "found", "expected"),
    [
        (known(State.ASLEEP, SAME), SAME, []),
        (known(State.ASLEEP, SAME), GROWN, [opening(is_quiet=False), Read(ONE)]),
        (known(State.REFUSED, SAME, retry_in_seconds=1), SAME, []),
        (known(State.REFUSED, SAME, retry_in_seconds=0), SAME, [opening(), Read(ONE)]),
        (known(State.REFUSED, SAME, retry_in_seconds=1), GROWN, [opening(is_quiet=False), Read(ONE)]),
        (known(State.GROWING, GROWN, quiet_for_seconds=1), GROWN, []),
        (known(State.GROWING, GROWN, quiet_for_seconds=2), GROWN, [opening(), Read(ONE)]),
        (known(State.GROWING, SAME, quiet_for_seconds=2), GROWN, [opening(is_quiet=False), Read(ONE)]),
    ],
)
def test_a_closed_file_is_opened_again_when_it_has_changed_is_quiet_or_is_due(
    file: Known, found: Status, expected: list[Action]
) -> None:
    assert planned(at(A, found), file) == expected


@pytest.mark.parametrize(
    ("file", "disk", "expected"),
    [
        (known(seen=SAME), Disk({}, {ONE: SAME}), [SetApart(ONE), Search(A, only_if_changed=True)]),
        (known(seen=SAME), at(B, SAME, opened={ONE: SAME}), [Move(ONE, B)]),
        (known(State.ROTATED, SAME), at(A, SAME, opened={ONE: SAME}), [Move(ONE, A)]),
        (known(State.ASLEEP, SAME), Disk({}), [Forget(ONE)]),
        (known(State.ASLEEP, SAME), at(B, SAME), [Forget(ONE), opening(B), Read(ONE)]),
        (known(State.REFUSED, SAME), Disk({}), [Forget(ONE)]),
        (known(seen=SAME), Disk({}, {ONE: SAME}, unknown=frozenset({A})), []),
        (known(seen=SAME), Disk({}, {ONE: GROWN}, unknown=frozenset({A.parent})), [Read(ONE)]),
        (known(State.ASLEEP, SAME), Disk({}, unknown=frozenset({A.parent})), []),
        (
            known(seen=SAME),
            Disk({A: status(TWO), B: SAME}, {ONE: SAME}),
            [Move(ONE, B), opening(A, TWO), Read(TWO)],
        ),
    ],
)
def test_a_file_is_known_by_what_it_is_and_not_by_its_name(file: Known, disk: Disk, expected: list[Action]) -> None:
    assert planned(disk, file) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, LINK.parent / "a.log"),
        (known(path=LINK), LINK),
        (known(path=B), B),
    ],
)
def test_a_file_with_several_names_is_one_file(file: Known | None, expected: Path) -> None:
    disk = Disk({LINK: SAME, B: SAME, A: SAME}, links=frozenset({LINK}))
    files = [] if file is None else [file]
    assert names_of_files(disk, files) == {ONE: expected}
    assert [action for action in planned(disk) if isinstance(action, Open)] == [opening(A)]


GONE = status(links=0)
SUCCESSOR = Known(TWO, A, State.READING, status(TWO).signature)
BOTH = Disk({A: status(TWO)}, {TWO: status(TWO)})


def rotated(seen: Status | None = SAME, **more: object) -> Known:
    return known(State.ROTATED, seen, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "found", "files", "expected"),
    [
        (rotated(), GROWN, [SUCCESSOR], [Read(ONE)]),
        (rotated(retry_in_seconds=1), GROWN, [SUCCESSOR], []),
        (rotated(), SAME, [SUCCESSOR], []),
        (rotated(has_open_line=True, quiet_for_seconds=1), SAME, [SUCCESSOR], []),
        (rotated(has_open_line=True, quiet_for_seconds=2), SAME, [SUCCESSOR], [LandRest(ONE)]),
        (rotated(quiet_for_seconds=ROTATED_SECONDS), SAME, [SUCCESSOR], [Close(ONE, is_finished=True)]),
        (rotated(quiet_for_seconds=ROTATED_SECONDS, is_settled=False), SAME, [SUCCESSOR], []),
        (rotated(quiet_for_seconds=ROTATED_SECONDS), SAME, [], []),
        (rotated(quiet_for_seconds=ROTATED_SECONDS), SAME, [replace(SUCCESSOR, has_place=False)], []),
        (rotated(GONE, quiet_for_seconds=2), GONE, [SUCCESSOR], [Close(ONE, is_finished=True)]),
        (rotated(GONE, quiet_for_seconds=2), GONE, [], []),
        (rotated(GONE, quiet_for_seconds=ROTATED_SECONDS), GONE, [], [Close(ONE, is_finished=False)]),
        (rotated(None), None, [SUCCESSOR], [Read(ONE)]),
        (rotated(None, retry_in_seconds=1), None, [SUCCESSOR], [Close(ONE, is_finished=False)]),
        (rotated(None, retry_in_seconds=1), None, [], []),
    ],
)
def test_a_rotated_log_is_read_on_until_nothing_more_will_come(
    file: Known, found: Status | None, files: list[Known], expected: list[Action]
) -> None:
    opened = {} if found is None else {ONE: found}
    disk = Disk(BOTH.files, {**BOTH.opened, **opened}) if files else Disk({}, opened)
    actions = [action for action in planned(disk, file, *files) if not isinstance(action, Search)]
    assert actions == expected


@pytest.mark.parametrize(
    ("disk", "knowledge", "expected"),
    [
        (
            Disk({A: SAME}, named=frozenset({A})),
            Knowledge([], is_first=True),
            [Search(A, only_if_changed=True), Expect((A,)), opening(), Read(ONE), LOST],
        ),
        (Disk({}, named=frozenset({A})), Knowledge([], expected={A}), [LOST]),
        (
            Disk({}, missing=frozenset({A})),
            Knowledge([]),
            [Search(A, only_if_changed=True), FindLost((A,))],
        ),
        (Disk({}, missing=frozenset({A})), Knowledge([], missing={A}), [Search(A, only_if_changed=True), LOST]),
        (Disk({}), Knowledge([], missing={A}), [Search(A, only_if_changed=True), LOST]),
        (Disk({}), Knowledge([], unsearched={A: TIMES.now + 1}), [LOST]),
        (Disk({}), Knowledge([], unsearched={A: TIMES.now}), [Search(A, only_if_changed=False), FindLost((A,))]),
    ],
)
def test_rotated_logs_are_looked_for_where_something_moved(
    disk: Disk, knowledge: Knowledge, expected: list[Action]
) -> None:
    assert plan(disk, knowledge, TIMES) == expected
