"""Which modes and owners a secret file may have."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import services
from services.runtime.security.private_files import require_private
from services.runtime.settings import SettingsError

_US, _OUR_GROUP, _ANOTHER_GROUP = 10001, 20002, 20003

_LOOK = """
import sys
from pathlib import Path
from services.runtime.security.private_files import require_private
from services.runtime.settings import SettingsError
for path in map(Path, sys.argv[1:]):
    try:
        require_private(path, "Key file")
        path.read_bytes()
    except (SettingsError, OSError) as error:
        print(path.name, type(error).__name__)
"""

_ACCEPTED = {
    "own": (_US, _US, 0o600),
    "own, to read": (_US, _US, 0o400),
    "a Secret's volume with fsGroup": (0, _OUR_GROUP, 0o440),
    "the same, writable by root": (0, _OUR_GROUP, 0o640),
}
_REFUSED = {
    "own, with our group": (_US, _OUR_GROUP, 0o640),
    "of root, writable by our group": (0, _OUR_GROUP, 0o660),
    "of root, with everybody": (0, _OUR_GROUP, 0o444),
    "of somebody else, with our group": (_US + 1, _OUR_GROUP, 0o440),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may look into; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="liity-private-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_a_file_of_root_may_be_readable_by_our_group_and_nothing_else_is_open(folder: Path) -> None:
    for name, (owner, group, mode) in (_ACCEPTED | _REFUSED).items():
        path = folder / name
        path.touch()
        os.chown(path, owner, group)
        path.chmod(mode)
    (folder / "of another group").touch(0o440)
    os.chown(folder / "of another group", 0, _ANOTHER_GROUP)

    root = Path(services.__file__).parent.parent
    looked = subprocess.run(
        [
            *("setpriv", "--reuid", str(_US), "--regid", str(_US), "--groups", str(_OUR_GROUP), "--"),
            *(sys.executable, "-B", "-c", _LOOK, *map(str, sorted(folder.iterdir()))),
        ],
        env={"PYTHONPATH": f"{root}:{root / 'gen'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    expected = {f"{name} SettingsError" for name in _REFUSED} | {"of another group SettingsError"}
    assert set(looked.stdout.splitlines()) == expected


def test_root_keeps_its_own_files_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch()
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="key is open to others: chmod 600"):
        require_private(path, "Key file")
