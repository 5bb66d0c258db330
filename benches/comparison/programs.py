"""Our programs and clusters."""
import json
import os
import shutil
import subprocess
import sys

from .processes import Run


class Cluster:
    """A standalone cluster on this host, on free ports, in a folder of its own."""

    def __init__(self, programs, name, task_managers, slots, tls):
        self.programs, self.folder = programs, f'{programs.work_dir}/{name}'
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.start_run = self.call('standalone', 'start', '-n', str(task_managers), '-s', str(slots),
                                   '-D', 'jobmanager.rpc.port=0', '-D', 'rest.port=0',
                                   '-D', f'security.ssl.internal.enabled={"true" if tls else "false"}')
        processes = self.status()['processes']
        self.pids = [process['pid'] for process in processes]

    def call(self, *words, daemons=(), memory=False):
        return Run([self.programs.flink_yarn, *words], daemons, self.environment(), memory)

    def environment(self):
        environment = {key: value for key, value in os.environ.items() if key != 'FLINK_CONF_DIR'}
        return {**environment, 'XDG_STATE_HOME': self.folder}

    def status(self):
        return json.loads(self.call('standalone', 'status', '--output', 'json').out)

    def run(self, parallelism, *program, memory=True):
        """Runs a program to its end, and counts what client, JobManager, TaskManagers and workers use."""
        return self.call('run', '-p', str(parallelism), *program, daemons=self.pids, memory=memory)

    def stop(self):
        subprocess.run([self.programs.flink_yarn, 'standalone', 'stop'], env=self.environment(), check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


class Programs:
    """Where programs are, and which clusters run."""

    def __init__(self, bin_dir, tools_dir, work_dir):
        self.bin_dir, self.tools_dir, self.work_dir = bin_dir, tools_dir, work_dir
        self.clusters = []

    @property
    def flink_yarn(self):
        return self.ours('flink-yarn')

    def ours(self, name):
        return existing(f'{self.bin_dir}/{name}', 'cargo build --release, or --bin-dir')

    def tool(self, name):
        return existing(f'{self.tools_dir}/{name}', 'cargo build --release -p flink-benches, or --tools-dir')

    def cluster(self, name, task_managers, slots, tls):
        cluster = Cluster(self, name, task_managers, slots, tls)
        self.clusters.append(cluster)
        return cluster

    def standard_clusters(self):
        """The three that jobs of parallelism 2 are measured on, by what they are called in tables."""
        return {
            'standalone, 1 TaskManager x 2 slots, TLS': self.cluster('one', 1, 2, True),
            'standalone, 2 TaskManagers x 1 slot, TLS': self.cluster('two', 2, 1, True),
            'standalone, 2 TaskManagers x 1 slot, no TLS': self.cluster('two-plain', 2, 1, False),
        }

    def run_local(self, parallelism, *program, memory=True):
        return Run([self.flink_yarn, 'run', '-t', 'local', '-p', str(parallelism), *program], memory=memory)

    def stop(self, cluster):
        cluster.stop()
        self.clusters.remove(cluster)

    def stop_clusters(self):
        for cluster in self.clusters:
            cluster.stop()
        self.clusters.clear()


def existing(path, remedy):
    if not os.path.isfile(path):
        sys.exit(f'{path} is missing: {remedy}')
    return path
