"""Who may read secret files: the process's own user alone, or the group that an orchestrator gives it."""

import os
import stat
from pathlib import Path

from services.runtime.settings import SettingsError

_OTHERS = stat.S_IRWXO
_GROUP = stat.S_IRWXG
_MORE_THAN_READING = stat.S_IWGRP | stat.S_IXGRP


def require_private(path: Path, what: str) -> None:
    """Raises SettingsError if others than this process's user may access the file. OSError if it is gone.

    A file of root may be readable by a group of this process: Kubernetes mounts Secrets so, as root's and of
    the pod's group (`fsGroup`). PostgreSQL's clients accept such keys, too.
    """
    found = path.stat()
    mode = found.st_mode
    if not mode & (_GROUP | _OTHERS):
        return
    of_root = found.st_uid == 0 != os.geteuid()
    ours = found.st_gid in {os.getegid(), *os.getgroups()}
    if mode & (_OTHERS | _MORE_THAN_READING) or not (of_root and ours):
        raise SettingsError(f"{what} {path} is open to others: chmod 600 {path}")
