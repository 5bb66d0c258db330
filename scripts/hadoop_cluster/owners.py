"""Who needs a cluster, and the watchdog that ends it when nobody does any more."""
import fcntl
import os
import sys
import time
from pathlib import Path

from .processes import Processes, start_time
from .places import write

WATCHDOG = "watchdog"
KEEP = "keep"
# Test programs run one after another: the next one may take a moment to come.
GRACE_SECONDS = 10


def add(places, pid):
    """Notes a process as an owner; without one the cluster stays until it is stopped."""
    begin = start_time(pid) if pid else None
    name = KEEP if begin is None else f"{pid}-{begin}"
    write(places.owners / name, "")


def living(places):
    """Owners that still run."""
    names = [path.name for path in places.owners.iterdir()] if places.owners.is_dir() else []
    return [name for name in names if name == KEEP or _runs(name)]


def _runs(name):
    pid, _, begin = name.partition("-")
    return pid.isdigit() and begin.isdigit() and start_time(int(pid)) == int(begin)


def watch(places, idle_seconds=None):
    """Starts the watchdog where it is needed and not there; with `idle_seconds` it ends what no test has used for so long."""
    processes = Processes(places)
    if KEEP in living(places) or processes.pid(WATCHDOG):
        return
    script = Path(__file__).resolve().parent.parent / "hadoop"
    places.run.mkdir(parents=True, exist_ok=True)
    idle = ["--idle-seconds", idle_seconds] if idle_seconds else []
    processes.spawn(WATCHDOG, [sys.executable, script, "watch", "--name", places.name, *idle], dict(os.environ),
                    places.run / "watchdog.log", "/")


def run(places, idle_seconds, stop):
    """The watchdog: stops the cluster when the last owner has been gone for a while, or when nobody uses it.

    `stop` is told whether there may be owners, and says whether it has stopped the cluster.
    """
    gone = used = time.monotonic()
    while places.owners.is_dir():
        now = time.monotonic()
        owners = living(places)
        gone = now if owners else gone
        with open(places.uses, "a", encoding="utf-8") as uses:
            # Held while the cluster is stopped: whoever waits for it then sees that it has to be started.
            is_free = _try_lock(uses)
            used = used if is_free else now
            is_idle = is_free and idle_seconds is not None and KEEP not in owners and now - used > idle_seconds
            if (is_idle or now - gone > GRACE_SECONDS) and stop(is_idle):
                return
        time.sleep(0.5)


def _try_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end_watch(processes):
    """Ends the watchdog, unless it is the one who asks."""
    if processes.pid(WATCHDOG) not in (None, os.getpid()):
        processes.kill([WATCHDOG])
