"""A Hadoop cluster for measurements: real daemons on loopback, started with `scripts/hadoop`."""
import glob
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

NAME = 'benches-yarn'
LONGEST_COMMAND_SECONDS = 1800


class Hadoop:
    """The cluster, from its start to its end."""

    def __init__(self, root, work_dir):
        self.script, self.work_dir = f'{root}/scripts/hadoop', work_dir
        # It ends with this process, however that ends.
        self._call('start', '--variant', 'mapreduce', '--fresh', '--owner-pid', str(os.getpid()))
        lines = self._call('env', '--raw').splitlines()
        self.variables = dict(line.split('=', 1) for line in lines)
        self.folder = self.variables['HADOOP_CLUSTER_FOLDER']
        self.mark = self.variables['HADOOP_CLUSTER_MARK']

    def _call(self, command, *words):
        done = subprocess.run([self.script, command, '--name', NAME, *words], capture_output=True, text=True,
                              timeout=LONGEST_COMMAND_SECONDS, check=False, env={**os.environ, 'TZ': 'UTC'})
        if done.returncode != 0:
            sys.exit(f'scripts/hadoop {command} {" ".join(words)} failed:\n{done.stdout}{done.stderr}')
        return done.stdout

    def environment(self):
        """Of a client that knows this cluster and no other."""
        ours = {key: self.variables[key] for key in ('HADOOP_CONF_DIR', 'YARN_CONF_DIR')}
        kept = {key: value for key, value in os.environ.items() if key != 'FLINK_CONF_DIR'}
        return {**kept, **ours, 'TMPDIR': self.work_dir, 'XDG_STATE_HOME': f'{self.work_dir}/state'}

    def uri(self, path):
        return f'hdfs://{self.variables["HADOOP_NAMENODE_RPC"]}/user/{self.variables["HADOOP_CLUSTER_USER"]}/{path}'

    def dfs(self, *words):
        return self._call('hdfs', 'dfs', *words)

    def put(self, files, folder):
        self.dfs('-mkdir', '-p', folder)
        self.dfs('-put', *files, folder)

    def fetch(self, folder, target):
        """Copies what a job has written to this host's disk."""
        self.dfs('-get', folder, target)
        return target

    def java(self, *words):
        """The command of a program of Hadoop's."""
        return [self.script, 'yarn', '--name', NAME, 'jar', *words]

    def examples(self):
        found = glob.glob(f'{os.path.dirname(os.path.dirname(self.folder))}/jars/*mapreduce*/hadoop-mapreduce-examples-*.jar')
        return found[0] if found else sys.exit('the MapReduce examples are not among the jars of the cluster')

    def application(self, application):
        """What the ResourceManager says of an application."""
        url = f'http://{self.variables["HADOOP_RESOURCEMANAGER_WEB"]}/ws/v1/cluster/apps/{application}?user.name=root'
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)['app']

    def wait_for_logs(self, application):
        """Until YARN has collected the logs of an application that has ended, a minute at the longest."""
        until = time.monotonic() + 60
        while self.application(application).get('logAggregationStatus') != 'SUCCEEDED' and time.monotonic() < until:
            time.sleep(0.1)

    def transitions(self, application):
        """When the containers of an application came into their states, by container: (milliseconds of the day, state)."""
        found = {}
        suffix = application.removeprefix('application_')
        pattern = re.compile(r'^\S+ (\d+):(\d+):(\d+),(\d+) .*Container (container_\S+) transitioned from \w+ to (\w+)')
        for path in glob.glob(f'{self.folder}/logs/nodemanager*.log'):
            with open(path, errors='replace') as file:
                for line in file:
                    match = pattern.match(line)
                    if match and suffix in match[5]:
                        found.setdefault(match[5], []).append((of_day(*match.groups()[:4]), match[6]))
        return found

    def stop(self):
        self._call('stop', '--delete')


def of_day(hours, minutes, seconds, millis):
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(millis)
