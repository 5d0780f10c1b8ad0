"""How far a file has been sent: a small file that lets `weir events send --resume` go on where another one ended."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.errors import WrongUsage
from cli.private_file import write_private

HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Every row before `row` was answered or reported. `source` and `head` recognise the file and how it was read."""

    source: str
    head_bytes: int
    head_sha256: str
    row: int


def begin(path: Path | None, reading: str) -> Checkpoint:
    """Before the first row of `path` (None: standard input). `reading` is everything that decides what rows mean."""
    head = b""
    if path is not None:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    source = hashlib.sha256(f"{path.resolve() if path else '-'}\n{reading}".encode()).hexdigest()
    return Checkpoint(source, len(head), hashlib.sha256(head).hexdigest(), 0)


def default_path(data: Path, checkpoint: Checkpoint) -> Path:
    return data / "checkpoints" / f"{checkpoint.source[:32]}.json"


def load(path: Path, file: Path | None, expected: Checkpoint) -> Checkpoint:
    """`expected` where there is no checkpoint yet. Raises WrongUsage for that of another file or another reading."""
    try:
        found = Checkpoint(**json.loads(path.read_text()))
    except FileNotFoundError:
        return expected
    except (ValueError, TypeError):
        raise WrongUsage(f"{path} is not a checkpoint of weir") from None
    if found.source != expected.source:
        raise WrongUsage(f"{path} belongs to another file, or to other options: send without --resume")
    if file is not None:
        with file.open("rb") as reader:
            head = reader.read(found.head_bytes)
        if hashlib.sha256(head).hexdigest() != found.head_sha256:
            raise WrongUsage(f"{file} is not the file it was when {path} was written: send without --resume")
    return found


def save(path: Path, checkpoint: Checkpoint) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(asdict(checkpoint)) + "\n")
