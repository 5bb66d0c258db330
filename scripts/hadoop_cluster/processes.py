"""Processes that belong to a cluster: started, recorded, recognised, ended."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .failure import Failure
from .places import write

# In the environment of every process of a cluster, containers included.
MARK = "FLINK_YARN_TEST_CLUSTER"


def start_time(pid):
    """When a process began, in ticks since the boot; nothing for one that has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def state(pid):
    """The letter that the system has for what a process does; `T` is stopped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]
    except OSError:
        return None


def usage(pid):
    """Resident megabytes and CPU seconds of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0, 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    return int(fields[21]) * page // (1 << 20), (int(fields[11]) + int(fields[12])) / ticks


class Processes:
    """The recorded processes of a cluster."""

    def __init__(self, places):
        self.folder = places.pids

    def spawn(self, name, arguments, environment, log, folder):
        """Starts a process that outlives this one, in a session of its own."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            child = subprocess.Popen(
                [str(word) for word in arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=folder, env=environment, start_new_session=True)
        write(self.folder / f"{name}.json", json.dumps({"pid": child.pid, "start": start_time(child.pid)}))
        return child.pid

    def pid(self, name):
        """The process of a name, if it is still the one that was started."""
        try:
            record = json.loads((self.folder / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        begin = start_time(record["pid"])
        return record["pid"] if begin is not None and begin == record["start"] else None

    def names(self):
        """All that were recorded, alive or not."""
        return sorted(path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def alive(self):
        """Names and ids of those that run."""
        found = ((name, self.pid(name)) for name in self.names())
        return {name: pid for name, pid in found if pid is not None}

    def signal(self, name, number):
        """Sends a signal to the process of a name; false if there is none."""
        pid = self.pid(name)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def end(self, name, grace_seconds):
        """Asks a process to end, then makes it."""
        if grace_seconds > 0 and self.signal(name, signal.SIGTERM):
            self.signal(name, signal.SIGCONT)
            wait_until(lambda: self.pid(name) is None, grace_seconds)
        self.kill([name])

    def kill(self, names):
        """Kills processes and waits for their end."""
        for name in names:
            self.signal(name, signal.SIGKILL)
        if not wait_until(lambda: not any(self.pid(name) for name in names), 20):
            left = [name for name in names if self.pid(name)]
            raise Failure(f"{', '.join(left)} did not end after SIGKILL")
        for name in names:
            (self.folder / f"{name}.json").unlink(missing_ok=True)


def marked(mark, also=None):
    """Ids of the processes with a cluster's mark (and another `NAME=value`) in their environment."""
    wanted = {f"{MARK}={mark}".encode()} | ({also.encode()} if also else set())
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = Path(entry.path, "environ").read_bytes()
            except OSError:
                continue  # somebody else's, or gone
            if wanted <= set(environment.split(b"\0")) and start_time(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


def kill_marked(mark, spare=(), also=None):
    """Kills what a cluster has started and nobody has recorded: containers and their children."""
    until = time.monotonic() + 20
    while left := [pid for pid in marked(mark, also) if pid not in spare]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > until:
            raise Failure(f"processes {left} of the cluster did not end after SIGKILL")
        time.sleep(0.02)


def wait_until(condition, seconds, pause=0.02):
    """Whether a condition came true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
    return True
