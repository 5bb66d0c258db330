"""What is paid before any work: starting a cluster, a trivial job, memory of processes that do nothing."""
import os
import statistics
import time

from . import peers
from .measurements import Measurement, goals, in_turn, median
from .processes import resident_bytes

IDLE_SECONDS = 3
TRIVIAL = ['--keys', '1', '--events', '1']


def measure(options, programs, report):
    program = [programs.ours('keyed_count'), *TRIVIAL]
    cluster = programs.cluster('running', 1, 2, True)
    time.sleep(IDLE_SECONDS)
    idle = [resident_bytes(pid) / 1e6 for pid in cluster.pids]
    cluster.run(1, *program, memory=False)  # the program is brought to the cluster
    found = {
        'trivial job, local': lambda: Measurement.of(programs.run_local(1, *program, memory=False)),
        'trivial job, on a running standalone cluster': lambda: Measurement.of(cluster.run(1, *program, memory=False)),
        'trivial job, the first of its program on a new cluster': lambda: first_job(programs, program),
        'standalone start, 1 TaskManager': lambda: start(programs, 1),
        'standalone start, 2 TaskManagers': lambda: start(programs, 2),
    }
    results = in_turn(found, max(options.rounds, 5), options.verbose)
    rows = [['', 'runs', 'median ms', 'best ms', 'worst ms', 'CPU ms (median)', 'load']]
    for name, runs in results.items():
        times = [run.seconds * 1000 for run in runs]
        loads = [run.load for run in runs]
        rows.append([name, str(len(runs)), f'{statistics.median(times):.0f}', f'{min(times):.0f}', f'{max(times):.0f}',
                     f'{median(runs, "cpu") * 1000:.0f}', f'{min(loads):.1f}–{max(loads):.1f}'])
    after = [resident_bytes(pid) / 1e6 for pid in cluster.pids]
    memory = [['idle, resident MB', 'JobManager', 'TaskManager'],
              [f'{IDLE_SECONDS} s after the start', *(f'{one:.1f}' for one in idle)],
              [f'after {1 + len(results["trivial job, on a running standalone cluster"])} jobs', *(f'{one:.1f}' for one in after)]]
    programs.stop_clusters()
    middle = {name: median(runs, 'seconds') * 1000 for name, runs in results.items()}
    reached = goals(
        ('trivial job, local: under 100 ms', 100, middle['trivial job, local'], '{:.0f} ms', True),
        ('on a running cluster: under 200 ms', 200, middle['trivial job, on a running standalone cluster'], '{:.0f} ms', True),
        ('starting a cluster: under 1 s', 1000, middle['standalone start, 2 TaskManagers'], '{:.0f} ms', True),
        ('idle: under 30 MB each', 30, max(idle), '{:.1f} MB', True))
    report.part('startup', 'Starting: a job of one event, and a cluster', [rows, memory, *flink(options), reached])


def start(programs, task_managers):
    cluster = programs.cluster('fresh', task_managers, 1, True)
    programs.stop(cluster)
    return Measurement.of(cluster.start_run)


def first_job(programs, program):
    cluster = programs.cluster('fresh', 1, 1, True)
    run = cluster.run(1, *program, memory=False)
    programs.stop(cluster)
    return Measurement.of(run)


def flink(options):
    if not options.flink:
        return []
    rows = [['Apache Flink', 'cluster start s', 'first trivial job s', 'second s', 'JobManager MB', 'TaskManager MB']]
    for line in peers.flink_lines(os.path.abspath(options.flink), 'startup'):
        rows.append([line.get('version', ''), *(str(line.get(key, '')) for key in (
            'cluster_start_seconds', 'client_seconds', 'second_submit_client_seconds', 'jm_idle_rss_mb', 'tm_idle_rss_mb'))])
    return [rows]
