"""What the processes in YARN's containers use: CPU seconds until their end, and memory that is resident at the same time."""
import os
import threading

from .processes import PAGE, TICKS

SAMPLE_SECONDS = 0.01
NEW_EVERY = 5           # samples between two looks for new processes
LOOKS = 40              # at a process, before it is taken for none of a container


class Process:
    """A process in a container, as it was seen last."""

    def __init__(self, pid, container):
        self.pid, self.container, self.command = pid, container, ''
        self.cpu, self.resident, self.alive = 0.0, 0, True

    def look(self):
        try:
            with open(f'/proc/{self.pid}/stat') as file:
                fields = file.read().rsplit(')', 1)[1].split()
            with open(f'/proc/{self.pid}/statm') as file:
                self.resident = int(file.read().split()[1]) * PAGE
        except OSError:
            self.alive, self.resident = False, 0
            return
        if fields[0] in 'ZX':
            self.alive, self.resident = False, 0
        self.cpu = max(self.cpu, (int(fields[11]) + int(fields[12])) / TICKS)


class Watch(threading.Thread):
    """Watches the processes of all containers of a cluster, from `start` until `stop`."""

    def __init__(self, mark):
        super().__init__(daemon=True)
        self.mark, self.ended = mark.encode(), threading.Event()
        self.processes, self.looks, self.before, self.containers = {}, {}, {}, set()
        # The largest sum of resident memory, of everything and by container.
        self.peak, self.peaks = 0, {}

    def __enter__(self):
        self._find()
        self._look()
        self.before = {pid: process.cpu for pid, process in self.processes.items()}
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self._look()

    def run(self):
        number = 0
        while not self.ended.wait(SAMPLE_SECONDS):
            if number % NEW_EVERY == 0:
                self._find()
            number += 1
            self._look()

    def _find(self):
        running = {int(name) for name in os.listdir('/proc') if name.isdigit()}
        self.looks = {pid: looks for pid, looks in self.looks.items() if pid in running}
        for pid in running:
            if self.looks.get(pid, 0) > LOOKS:
                continue
            command, environment = command_of(pid)
            container = next((line[13:].decode() for line in environment if line.startswith(b'CONTAINER_ID=')), None)
            # What a container's process starts may have lost the mark, but not the container's id.
            if container and (self.mark in environment or container in self.containers):
                self.containers.add(container)
                # A shell becomes what it runs, under the same number.
                self.processes.setdefault(pid, Process(pid, container)).command = command
            else:
                # A process that a node has just started is given a container's environment by and by.
                self.looks[pid] = self.looks.get(pid, 0) + 1

    def _look(self):
        resident = {}
        for process in self.processes.values():
            if process.alive:
                process.look()
                resident[process.container] = resident.get(process.container, 0) + process.resident
        for container, size in resident.items():
            self.peaks[container] = max(self.peaks.get(container, 0), size)
        self.peak = max(self.peak, sum(resident.values()))

    def cpu(self):
        """CPU seconds that all of them have used meanwhile."""
        return sum(process.cpu - self.before.get(pid, 0.0) for pid, process in self.processes.items())

    def peak_of(self, part):
        """The peaks, in MB, of the containers with a process whose command line has `part` in it."""
        containers = {process.container for process in self.processes.values() if part in process.command}
        return sorted(self.peaks[container] / 1e6 for container in containers if container in self.peaks)


def command_of(pid):
    """The command line and the environment of a process."""
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            command = file.read().replace(b'\0', b' ').decode(errors='replace')
        with open(f'/proc/{pid}/environ', 'rb') as file:
            return command, file.read().split(b'\0')
    except OSError:
        return '', []
