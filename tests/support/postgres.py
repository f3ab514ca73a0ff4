"""A PostgreSQL server of our own for a test session: in a temporary folder, on a Unix socket, gone afterwards."""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg

from tests.support.nodes import mount_tmpfs
from tests.support.tools import require

_USER = "khoso"


class PostgresServer:
    """A server with its own data folder. PostgreSQL refuses to run as root, so it runs as someone else then."""

    def __init__(self) -> None:
        newest_first = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_release, reverse=True)
        self._pg_ctl = require("pg_ctl", "postgresql", newest_first)
        self._initdb = os.path.join(os.path.dirname(self._pg_ctl), "initdb")
        self._folder = tempfile.mkdtemp(prefix="khoso-pg-")
        self._data = os.path.join(self._folder, "data")
        self._as_user: dict[str, object] = {}
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def start(self) -> None:
        if not os.path.exists(self._data):
            common = [self._initdb, "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
            # Sorting as people do is what byte order must not be confused with; older servers cannot do it for all.
            as_people_do = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=vi"]
            if self._run([*common, *as_people_do], check=False) != 0:
                shutil.rmtree(self._data, ignore_errors=True)
                self._run([*common, "--locale=C.UTF-8"])
        log = os.path.join(self._folder, "log")
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        self._run([self._pg_ctl, "-D", self._data, "-l", log, "-w", "-t", "60", "-o", options, "start"])

    @contextlib.contextmanager
    def forgetful(self) -> Iterator[None]:
        """For the block it writes down as late as it may what was not committed durably."""
        for setting in ("SET wal_writer_delay = '10s'", "RESET wal_writer_delay"):
            with self.connect() as connection:
                connection.execute(f"ALTER SYSTEM {setting}")
                connection.execute("SELECT pg_reload_conf()")
            if setting.startswith("SET"):
                yield

    def stop(self, mode: str = "fast") -> None:
        self._run([self._pg_ctl, "-D", self._data, "-w", "-t", "60", "-m", mode, "stop"])

    def restart(self, mode: str = "fast") -> None:
        with self.stopped(mode):
            pass

    @contextlib.contextmanager
    def stopped(self, mode: str = "fast") -> Iterator[None]:
        """It does not run for the block."""
        self.stop(mode)
        try:
            yield
        finally:
            self.start()

    def remove(self) -> None:
        if os.path.exists(os.path.join(self._data, "postmaster.pid")):
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}@/{database}?host={self._folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=self._folder, user=_USER, dbname=database, autocommit=True)

    def create_database(self, name: str, template: str = "template0", options: str = "") -> str:
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {options}')
        return self.url(name)

    @contextlib.contextmanager
    def small_database(self, size: str) -> Iterator[tuple[str, Path] | None]:
        """A database on a file system of its own of that size: its URL, and where that is mounted. What the server
        notes of commits before it makes them is not there. None where mounting is not allowed."""
        folder = Path(self._folder, "small")
        folder.mkdir()
        if not mount_tmpfs(folder, size):
            folder.rmdir()
            yield None
            return
        try:
            os.chown(folder, os.stat(self._data).st_uid, -1)
            with self.connect() as connection:
                connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
            yield self.create_database("small", options="TABLESPACE small"), folder
            self.drop_database("small")
            with self.connect() as connection:
                connection.execute("DROP TABLESPACE small")
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
            folder.rmdir()

    def drop_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def empty_database(self, name: str, tables: Iterable[str]) -> None:
        """Remove every row, and whoever is still connected."""
        with self.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(others, [name])
        with self.connect(name) as connection:
            connection.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")

    def _run(self, command: list[str], *, check: bool = True) -> int:
        with open(os.path.join(self._folder, "commands"), "ab+") as output:
            done = subprocess.run(
                command,
                check=False,
                timeout=120,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
                **self._as_user,
            )
            if check and done.returncode != 0:
                output.seek(0)
                raise RuntimeError(output.read().decode(errors="replace"))
        return done.returncode


def _release(folder: str) -> float:
    name = folder.split("/")[-2]
    return float(name) if name.replace(".", "", 1).isdigit() else 0.0


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("there is neither a user postgres nor a user nobody")
