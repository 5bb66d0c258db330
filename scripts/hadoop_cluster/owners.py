"""Who needs a cluster, and the watchdog that ends it when nobody does any more."""
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


def watch(places):
    """Starts the watchdog where it is needed and not there."""
    processes = Processes(places)
    if KEEP in living(places) or processes.pid(WATCHDOG):
        return
    script = Path(__file__).resolve().parent.parent / "hadoop"
    places.run.mkdir(parents=True, exist_ok=True)
    processes.spawn(WATCHDOG, [sys.executable, script, "watch", "--name", places.name], dict(os.environ),
                    places.logs / "watchdog.log", "/")


def run(places, grace_seconds=GRACE_SECONDS):
    """The watchdog: returns when the last owner has been gone for a while."""
    gone = None
    while places.owners.is_dir():
        if living(places):
            gone = None
        else:
            gone = gone or time.monotonic()
            if time.monotonic() - gone > grace_seconds:
                return
        time.sleep(0.5)


def end_watch(processes):
    """Ends the watchdog, unless it is the one who asks."""
    if processes.pid(WATCHDOG) not in (None, os.getpid()):
        processes.kill([WATCHDOG])
