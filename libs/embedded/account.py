"""The account a Postgres runs under: it refuses to run as root, and initdb needs a user with a name."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass

from libs.embedded.errors import EmbeddedServerError

NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """How to start a process: behind `prefix`, as user and group `uid`. The default is to stay who we are."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None


def accounts(platform: str, uid: int, *, named: bool, unshare: str | None) -> tuple[Account, ...]:
    """Every account a process of `uid` can start Postgres under, the best first; raise `EmbeddedServerError` if none.

    `named`: `uid` has a passwd entry. `unshare`: path of that command where user namespaces are allowed. Inside one we
    look like nobody and still own our files. The other way out for root is to become nobody, who must then be able to
    reach the binaries and the data.
    """
    if uid != 0 and named:
        return (Account(),)
    if platform == "darwin":
        raise EmbeddedServerError("Postgres does not run as root: start it as an ordinary user")
    mapped = (Account((unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")),) if unshare else ()
    dropped = (Account(uid=NOBODY),) if uid == 0 else ()
    if not (mapped or dropped):
        raise EmbeddedServerError(
            f"Postgres needs a user with a name: uid {uid} has no passwd entry and user namespaces are not allowed here"
        )
    return mapped + dropped


def our_accounts() -> tuple[Account, ...]:
    """`accounts` of this process on this machine."""
    uid = os.geteuid()
    try:
        named = bool(pwd.getpwuid(uid))
    except KeyError:
        named = False
    return accounts(sys.platform, uid, named=named, unshare=None if uid and named else _usable_unshare())


def _usable_unshare() -> str | None:
    """Path of `unshare`, if containers' or the kernel's rules let us use it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    probe = [unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "true"]
    return unshare if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else None
