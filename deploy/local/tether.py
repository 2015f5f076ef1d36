"""Starts a command that ends when its starter does, even if the starter is killed.

`tether.py SIGNAL PARENT USER COMMAND…`: the command gets SIGNAL when the process PARENT ends, and runs as
USER unless that is empty. A separate program, because a process with threads cannot safely run Python between
fork and exec. On systems without prctl(2), i.e. other than Linux, the command is only started.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def main(signal: str, parent: str, user: str, *command: str) -> None:
    """Replaces this process by the command."""
    if user:
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal))
    if os.getppid() == int(parent):
        os.execvp(command[0], command)  # noqa: S606 - our own command


if __name__ == "__main__":
    main(*sys.argv[1:])
