"""The erasure ledger: what was written is read again, and what was changed shows."""

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.runtime.settings import SettingsError
from workflows.privacy import erasure_ledger
from workflows.privacy.erasure_ledger import BrokenLedger, Erased, ErasureLedger, read

YEAR = timedelta(days=400)


def person(number: int) -> Erased:
    return Erased("person", f"person{number}", (f"registration{number}",))


async def written(folder: Path, *numbers: int) -> Path:
    ledger = ErasureLedger(folder, YEAR)
    for number in numbers:
        await ledger.record(person(number))
    return max(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)


def _write(folder: Path, numbers: range) -> None:
    ledger = ErasureLedger(folder, YEAR)
    for number in numbers:
        ledger._record(person(number))


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=_write, args=(tmp_path, range(start, start + 20))) for start in (0, 20, 40)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(erased.person_id for erased in read(tmp_path)) == sorted(f"person{n}" for n in range(60))


async def test_a_repeated_erasure_is_written_once(tmp_path: Path) -> None:
    path = await written(tmp_path, 1, 2, 1)
    assert len(path.read_text().splitlines()) == 2
    # Another process repeats it: it is in the ledger twice, and read once.
    await written(tmp_path, 1)
    assert set(read(tmp_path)) == {person(1), person(2)}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda text: text.replace("person2", "person9"), 2),
        (lambda text: "".join(text.splitlines(keepends=True)[1:]), 1),
        (lambda text: "".join(text.splitlines(keepends=True)[::2]), 2),
        (lambda text: "".join(reversed(text.splitlines(keepends=True))), 1),
        (lambda text: text.replace("{", "", 1), 1),
        (lambda text: text + "null\n", 4),
    ],
)
async def test_a_changed_line_is_named(tmp_path: Path, change: Callable[[str], str], line: int) -> None:
    path = await written(tmp_path, 1, 2, 3)
    path.write_text(change(path.read_text()))
    with pytest.raises(BrokenLedger, match=rf"{path.name}, line {line}: "):
        read(tmp_path)


async def test_a_file_under_another_files_name_is_noticed(tmp_path: Path) -> None:
    path = await written(tmp_path, 1)
    path.rename(path.with_name("erasures-2026-01-0011223344556677.jsonl"))
    with pytest.raises(BrokenLedger, match="line 1"):
        read(tmp_path)


async def test_a_line_that_broke_off_was_never_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ErasureLedger(tmp_path, YEAR)
    await ledger.record(person(1))
    append = erasure_ledger._append

    def breaks_off(path: Path, line: str) -> None:
        append(path, line[:20])
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(erasure_ledger, "_append", breaks_off)
        with pytest.raises(OSError, match="no space"):
            await ledger.record(person(2))
    assert set(read(tmp_path)) == {person(1)}
    await ledger.record(person(2))
    assert set(read(tmp_path)) == {person(1), person(2)}


async def test_entries_are_deleted_by_the_month_once_they_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [datetime(2026, 1, 31, 23, 59, 59, 999_999, UTC), datetime(2026, 2, 1, tzinfo=UTC)]
    ledger = ErasureLedger(tmp_path, YEAR)
    for number, moment in enumerate(moments):
        monkeypatch.setattr(erasure_ledger, "now", lambda moment=moment: moment)
        await ledger.record(person(number))
    assert read(tmp_path) == dict(zip(map(person, (0, 1)), moments, strict=True))
    # 400 days before them it is 24 February and 26 March 2026.
    for later, left in (
        (datetime(2027, 3, 31, tzinfo=UTC), [1, 2]),
        (datetime(2027, 4, 30, tzinfo=UTC), [2, 3]),
    ):
        monkeypatch.setattr(erasure_ledger, "now", lambda later=later: later)
        await ErasureLedger(tmp_path, YEAR).record(person(left[-1]))
        assert [erased.person_id for erased in read(tmp_path)] == [f"person{number}" for number in left]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "erasures"):
        with pytest.raises(SettingsError, match="LIITY_ERASURE_LEDGER_DIR"):
            ErasureLedger(folder, YEAR).require_writable()


def test_a_missing_ledger_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        read(tmp_path / "erasures")
    ErasureLedger(tmp_path / "erasures", YEAR).require_writable()
    assert read(tmp_path / "erasures") == {}
