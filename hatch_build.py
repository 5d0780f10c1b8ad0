"""Build hook: generates the Python stubs of `protos/` into `gen/`, so that they are never committed and never stale."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
OUT = ROOT / "gen"
INCLUDES = (ROOT / "protos", ROOT / "third_party" / "googleapis")


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not (ROOT / "protos").is_dir():  # a wheel built from an sdist that already carries gen/
            return
        generate(OUT)


def generate(out: Path) -> None:
    """Write `weir/**/*_pb2{,_grpc}.py` and their type stubs below `out`; raise RuntimeError where protoc refuses."""
    from grpc_tools import protoc

    out.mkdir(exist_ok=True)
    protos = sorted(str(p) for p in (ROOT / "protos").rglob("*.proto"))
    bundled = Path(str(distribution("grpcio-tools").locate_file("grpc_tools/_proto")))
    arguments = [
        "protoc",
        *(f"--proto_path={path}" for path in (*INCLUDES, bundled)),
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *protos,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed; its message is above")


if __name__ == "__main__":
    generate(OUT)
