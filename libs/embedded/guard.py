"""Become the given command, bound to the life of the parent. Run as a script:

    python guard.py PARENT_PID SIGNAL UID COMMAND [ARGUMENT ...]

UID is the user (and group) to become first, or `-` to stay who we are. On Linux the kernel then sends SIGNAL to the
command as soon as the thread that started it ends, however it ends. A change of user clears that setting, an ordinary
exec keeps it: hence this order, and hence a script of its own instead of a `preexec_fn`, which may deadlock in a parent
that has threads. Elsewhere the command outlives a parent that is killed.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal: int, uid: str, command: list[str]) -> None:
    if uid != "-":
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal)) != 0:
            sys.exit("prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:
            sys.exit("the parent ended before the server began")
    os.execv(command[0], command)  # noqa: S606 - the command comes from our own launcher


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
