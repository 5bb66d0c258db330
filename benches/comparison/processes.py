"""What processes use: CPU seconds with their children, and memory that is resident at the same time."""
import os
import resource
import subprocess
import sys
import threading
import time

TICKS = os.sysconf('SC_CLK_TCK')
PAGE = os.sysconf('SC_PAGE_SIZE')
SAMPLE_SECONDS = 0.02
CHILDREN_EVERY = 5          # samples between two looks for new processes
LONGEST_RUN_SECONDS = 1800
WORKERS_END_SECONDS = 15


def children(pid):
    """The living children of a process."""
    found = []
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/children') as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass  # it has ended
    return found


def tree(pids):
    """The processes with all that descend from them."""
    found, open_ends = [], list(pids)
    while open_ends:
        pid = open_ends.pop()
        found.append(pid)
        open_ends += children(pid)
    return found


def resident_bytes(pid):
    try:
        with open(f'/proc/{pid}/statm') as file:
            return int(file.read().split()[1]) * PAGE
    except OSError:
        return 0


def cpu_seconds(pid):
    """CPU time of a process and of those of its children that have ended and were waited for."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            fields = file.read().rsplit(')', 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def cpu_of_own_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of_daemons(pids):
    return sum(cpu_seconds(pid) for pid in tree(pids))


def wait_for_workers(pids):
    """Waits until the workers of a job have ended: then their daemons' figures have theirs in them."""
    until = time.monotonic() + WORKERS_END_SECONDS
    while any(children(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.01)


class MemorySampler(threading.Thread):
    """Keeps the highest sum of what some processes and their descendants have resident."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.peak, self.ended = pids, 0, threading.Event()

    def run(self):
        number, everyone = 0, []
        while not self.ended.wait(SAMPLE_SECONDS):
            # The first samples look for children each time: a short run has its processes soon.
            if number < 2 * CHILDREN_EVERY or number % CHILDREN_EVERY == 0:
                everyone = tree(self.pids)
            number += 1
            self.peak = max(self.peak, sum(resident_bytes(pid) for pid in everyone))

    def stop(self):
        self.ended.set()
        self.join()
        return self.peak


class Run:
    """One run of a command: what it said and what it and its daemons used."""

    def __init__(self, command, daemons=(), environment=None, memory=True, directory=None):
        before = cpu_of_daemons(daemons)
        self.load = os.getloadavg()[0]
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment, cwd=directory)
        sampler = MemorySampler([process.pid, *daemons]) if memory else None
        if sampler:
            sampler.start()
        own_before = cpu_of_own_children()
        try:
            self.out, self.err = (text.decode(errors='replace') for text in process.communicate(timeout=LONGEST_RUN_SECONDS))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            sys.exit(f'no end after {LONGEST_RUN_SECONDS} s: {" ".join(command)}')
        self.seconds = time.monotonic() - start
        own_after = cpu_of_own_children()
        self.peak_mb = sampler.stop() / 1e6 if sampler else 0.0
        if process.returncode != 0:
            sys.exit(f'failed with code {process.returncode}: {" ".join(command)}\n{self.out}{self.err}')
        wait_for_workers(daemons)
        self.cpu = own_after - own_before + cpu_of_daemons(daemons) - before
