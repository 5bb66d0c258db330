"""Folders of a cluster, its record, and the ports that it may use."""
import contextlib
import fcntl
import json
import os
import random
import secrets
import socket
import time
from pathlib import Path

from .failure import Failure
from .roles import MASTER, NODES, roles


def cache_folder():
    """Where jars and clusters are: never in the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "flink-yarn" / "hadoop"


class Places:
    """The folders of the cluster of a name."""

    def __init__(self, name):
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            raise Failure(f"`{name}` cannot name a cluster: use letters, digits, `-` and `_`")
        self.name = name
        self.run = cache_folder() / "clusters" / name
        self.conf = self.run / "conf"
        self.logs = self.run / "logs"
        self.pids = self.run / "pids"
        self.data = self.run / "data"
        self.yarn = self.run / "yarn"
        self.owners = self.run / "owners"
        self.kdc = self.run / "kdc"
        self.record = self.run / "cluster.json"
        # Locked by each test that uses the cluster, for as long as it does.
        self.uses = self.run.with_name(f"{name}.use")

    def read_record(self):
        """What is known of the cluster, or nothing if there is none."""
        try:
            return json.loads(self.record.read_text())
        except FileNotFoundError:
            return None

    def write_record(self, record):
        """Replaces the record in one step."""
        write(self.record, json.dumps(record, indent=1))

    @contextlib.contextmanager
    def locked(self, seconds=300):
        """One command at a time changes a cluster."""
        folder = cache_folder() / "clusters"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{self.name}.lock", "w", encoding="utf-8") as lock:
            until = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Failure(f"another command has worked on cluster {self.name} for {seconds} s") from None
                    time.sleep(0.05)
            yield


def write(path, text, mode=0o644):
    """Writes a file under another name and renames it, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.chmod(mode)
    part.rename(path)


def new_record(name, variants):
    """A cluster that has never run."""
    return {"name": name, "variants": sorted(variants), "ports": {}}


def new_mark():
    """Tells the processes of one start from all others."""
    return secrets.token_hex(8)


@contextlib.contextmanager
def choosing_ports():
    """One cluster at a time chooses its ports and writes them down: they are free until its daemons take them."""
    with open(cache_folder() / "clusters" / "ports.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def choose_ports(name, variants, before):
    """A free port for each purpose; the ports of the last start where they are still free."""
    wanted = [(f"{role.name}.{port}", host) for role in roles(variants).values() for port, host in role.ports]
    if "kerberos" in variants:
        wanted.append(("kdc", MASTER))
    ports, taken = {}, _ports_of_others(name)
    for purpose, host in wanted:
        port = before.get(purpose)
        if port is None or port in taken or not _is_free(port):
            port = _free_port(taken, host)
        ports[purpose] = port
        taken.add(port)
    return ports


def _ports_of_others(name):
    taken = set()
    for path in (cache_folder() / "clusters").glob("*/cluster.json"):
        record = Places(path.parent.name).read_record() if path.parent.name != name else None
        if record and record.get("running"):
            taken |= set(record["ports"].values())
    return taken


def _free_port(taken, host):
    # Below the range that the system gives to outgoing connections: one of those could take a port before its daemon does.
    low, high = 10_000, min(_first_ephemeral_port(), 32_000)
    for _ in range(1000):
        port = random.randrange(low, high)
        if port not in taken and _is_free(port):
            return port
    raise Failure(f"no free port between {low} and {high} on {host}")


def _first_ephemeral_port():
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_000


def _is_free(port):
    for host in (MASTER, *NODES.values()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just ended does not count
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True
