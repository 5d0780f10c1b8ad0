"""`python -m tests.contracts.breaking`: the contracts in protos/ break nothing that the main branch promised.

Compared with `origin/main` or `main`, whichever exists and is not what is checked out; on main itself with the commit
before. Where there is no such commit, or it has no contracts, there is nothing to compare with: that is said, and fine.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")
CONTRACTS = ("buf.yaml", "protos", "third_party")


def baseline(root: Path) -> str | None:
    """The commit to compare `root` with."""
    head = _commit(root, "HEAD")
    for name in ("origin/main", "main", "HEAD~1"):
        commit = _commit(root, name)
        if commit is not None and commit != head:
            return commit if _has_contracts(root, commit) else None
    return None


def compare(root: Path) -> int:
    """Print what breaks, and return buf's exit code: 0 when nothing does."""
    commit = baseline(root)
    if commit is None:
        print("buf breaking: no earlier contracts to compare with")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "contracts.zip"
        _git(root, "archive", f"--output={archive}", commit, *CONTRACTS).check_returncode()
        with zipfile.ZipFile(archive) as contracts:
            contracts.extractall(folder)
        return subprocess.run([BUF, "breaking", "--against", folder], cwd=root, check=False).returncode


def _commit(root: Path, name: str) -> str | None:
    return _git(root, "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}").stdout.strip() or None


def _has_contracts(root: Path, commit: str) -> bool:
    listed = _git(root, "ls-tree", "--name-only", commit, *CONTRACTS).stdout.split()
    return len(listed) == len(CONTRACTS)


def _git(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    except FileNotFoundError:  # no git here, so no history either
        return subprocess.CompletedProcess(command, 127, stdout="", stderr="")


if __name__ == "__main__":
    sys.exit(compare(ROOT))
