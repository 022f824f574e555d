"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from pulumi_ampersand.whole_file import whole_file

OLD = b"the report of last week"
NEW = b"the report of today\n"


def write(path: Path, content: bytes = NEW) -> None:
    """Write a whole file."""
    with whole_file(path) as file:
        file.write(content)


def left(folder: Path) -> dict[str, bytes]:
    """What lies in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_file(tmp_path: Path) -> None:
    """It is there with its content, and nothing else is."""
    write(tmp_path / "report.json")
    assert left(tmp_path) == {"report.json": NEW}


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """By a longer one or a shorter one, an empty one included."""
    for content in (OLD, NEW, b"", NEW * 100_000):
        write(tmp_path / "report.json", content)
        assert left(tmp_path) == {"report.json": content}


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    """Whoever looks meanwhile finds the old file, whole, or none."""
    path, new = tmp_path / "report.json", tmp_path / "new.json"
    path.write_bytes(OLD)
    with whole_file(path) as file, whole_file(new) as other:
        for part in (file, other):
            part.write(NEW)
            part.flush()
        assert path.read_bytes() == OLD
        assert not new.exists()
    assert left(tmp_path) == {"report.json": NEW, "new.json": NEW}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("existing", [True, False], ids=["old", "none"])
def test_what_fails_leaves_no_trace(tmp_path: Path, error: type[BaseException], existing: bool) -> None:
    """Neither half a file, nor a draft; an old file stays as it was, and the error is the caller's."""
    path = tmp_path / "report.json"
    if existing:
        path.write_bytes(OLD)

    def fail() -> None:
        with whole_file(path) as file:
            file.write(NEW)
            file.flush()
            raise error

    with pytest.raises(error):
        fail()
    assert left(tmp_path) == ({"report.json": OLD} if existing else {})


def test_the_folder_must_exist(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "report.json")
    assert left(tmp_path) == {}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """It is refused, and stays."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    """Nothing is written, and the file stays."""
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "file" / "report.json")
    assert left(tmp_path) == {"file": OLD}


@pytest.mark.parametrize("existing", [True, False], ids=["leads-to-a-file", "leads-nowhere-yet"])
def test_a_link_keeps_leading_to_its_file(tmp_path: Path, existing: bool) -> None:
    """The file that it leads to is what is replaced, in its own folder."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    if existing:
        (there / "report.json").write_bytes(OLD)
    (here / "inner.json").symlink_to(there / "report.json")
    (here / "latest.json").symlink_to("inner.json")
    write(here / "latest.json")
    assert (here / "latest.json").is_symlink()
    assert (here / "inner.json").is_symlink()
    assert left(there) == {"report.json": NEW}
    assert sorted(path.name for path in here.iterdir()) == ["inner.json", "latest.json"]


def test_a_pipe_is_written_as_it_comes(tmp_path: Path) -> None:
    """What is no file can't be replaced: a pipe, or the null device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe)
    reader.join(10)
    assert read == [NEW]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write(Path(os.devnull))
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    "name",
    [
        "a",
        ".hidden",
        "-rf",
        "a b\n.json",
        "x" * 250 + ".json",
        "é" * 125 + ".json",
        "株" * 83 + ".json",
        "🚀" * 62 + ".json",
    ],
    ids=["short", "hidden", "dash", "line", "longest", "longest-of-two-bytes", "of-three-bytes", "of-four-bytes"],
)
def test_whatever_a_file_can_be_called(tmp_path: Path, name: str) -> None:
    """A name that the file system takes is taken, up to its 255 bytes."""
    assert len(os.fsencode(name)) <= 255
    write(tmp_path / name, OLD)
    write(tmp_path / name)
    assert left(tmp_path) == {name: NEW}


def test_a_file_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a folder is one of the current folder, even if the block goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with whole_file(Path("report.json")) as file:
        file.write(NEW)
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert (tmp_path / "report.json").read_bytes() == NEW
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_nobody_else_may_read_stays_so(tmp_path: Path) -> None:
    """Who may read a file is for its owner to say; replacing it doesn't open it to others."""
    path = tmp_path / "report.json"
    path.write_bytes(OLD)
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_new_files_are_as_any_program_would_make_them(tmp_path: Path) -> None:
    """Readable for whom the user's mask lets: an auditor, say."""
    before = os.umask(0o027)
    try:
        write(tmp_path / "report.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o640


def test_several_at_once(tmp_path: Path) -> None:
    """Of two who write the same file the last one wins, and neither's half is ever seen."""
    path = tmp_path / "report.json"
    with whole_file(path) as first:
        first.write(OLD)
        with whole_file(path) as second:
            second.write(NEW)
        assert path.read_bytes() == NEW
    assert left(tmp_path) == {"report.json": OLD}
