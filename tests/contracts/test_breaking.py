"""`make check` refuses a change that breaks a promised contract: real repositories, real buf."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contracts.breaking import ROOT, compare

GIT = shutil.which("git") or "git"
METER = 'syntax = "proto3";\npackage weir.sample.v1;\nmessage Meter {\n  string code = 1;\n}\n'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    shutil.copytree(ROOT / "third_party", tmp_path / "third_party")
    _git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def test_there_is_nothing_to_compare_without_history(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare(repository) == 0
    _commit(repository, METER)
    assert compare(repository) == 0
    assert capfd.readouterr().out.count("no earlier contracts") == 2


def test_a_new_field_breaks_nothing(repository: Path) -> None:
    _commit(repository, METER)
    _commit(repository, METER.replace("}", "  string name = 2;\n}"))
    assert compare(repository) == 0


def test_a_retyped_field_is_refused_on_main(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _commit(repository, METER)
    _commit(repository, METER.replace("string code", "int64 code"))
    assert compare(repository) != 0
    assert "Meter" in capfd.readouterr().out


def test_a_branch_is_compared_with_main_however_many_commits_it_has(repository: Path) -> None:
    _commit(repository, METER)
    _git(repository, "switch", "--quiet", "--create", "change")
    _commit(repository, METER.replace("string code", "int64 code"))
    _commit(repository, METER.replace("string code", "int64 code").replace("}", "  string name = 2;\n}"))
    assert compare(repository) != 0


def test_a_shallow_clone_without_main_has_nothing_to_compare(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _commit(repository, METER)
    _commit(repository, METER.replace("string code", "int64 code"))
    clone = tmp_path_factory.mktemp("clone") / "weir"
    _git(repository, "clone", "--quiet", "--depth=1", repository.as_uri(), str(clone))
    assert compare(clone) == 0


def _commit(root: Path, proto: str) -> None:
    path = root / "protos" / "weir" / "sample" / "v1" / "sample.proto"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(proto)
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "--message=contracts")


def _git(root: Path, *arguments: str) -> None:
    author = {f"GIT_{role}_{part}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    subprocess.run([GIT, *arguments], cwd=root, check=True, env=os.environ | author)
