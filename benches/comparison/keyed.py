"""Running counts of a million keys: as fast as possible, and at a rate, where lateness counts."""
import os
import re
import statistics
import sys

from . import peers
from .measurements import (OURS, Measurement, cost_of_tls, goals, in_turn, median, of_ours, ratios, slowest, throughput_table,
                           times_as_many, tls_share)

KEYS = 1_000_000
PERCENTILES = ('p50', 'p90', 'p99', 'p99.9', 'max')


def arguments(events):
    return ['--keys', str(KEYS), '--events', str(events)]


def measure(options, programs, report):
    parts = []
    clusters = programs.standard_clusters()
    for events in options.events:
        results = in_turn(contestants(options, programs, clusters, events), options.rounds, options.verbose)
        parts += [f'{events / 1e6:.0f} M events:', throughput_table(events, 'events', results),
                  'Events for each CPU second, how many times as many:', ratios(events, results), cost_of_tls(results),
                  'The slowest of ours; timely-dataflow exchanges between threads, so it is compared with ours that do:', goals(
                      ('at least 20 M events a CPU second', 20, slowest(events, results), '{:.1f} M', False),
                      ('at least 15 times Apache Flink', 15, times_as_many(events, results, 'Apache Flink'), '{:.1f} times', False),
                      ('no fewer than timely-dataflow', 1, times_as_many(events, in_one_process(results), 'timely'), '{:.2f} times', False),
                      ('TLS costs at most 15 % CPU', 15, tls_share(results), '{:+.1f} %', True))]
    programs.stop_clusters()
    report.part('keyed', f'keyed_count: {KEYS:,} keys, unpaced, parallelism 2', parts)


def in_one_process(results):
    return {name: runs for name, runs in results.items() if '2 TaskManagers' not in name}


def contestants(options, programs, clusters, events):
    program = [programs.ours('keyed_count'), *arguments(events)]
    found = {f'{OURS} local': lambda: Measurement.of(programs.run_local(2, *program))}
    for name, cluster in clusters.items():
        found[f'{OURS} {name}'] = lambda cluster=cluster: Measurement.of(cluster.run(2, *program))
    if options.timely and events == peers.TIMELY_EVENTS:
        found['timely-dataflow, 2 workers'] = lambda: peers.timely(os.path.abspath(options.timely))
    found['plain Rust, HashMap, 1 thread'] = peers.plain(programs, 'keyed', str(KEYS), str(events))
    if options.flink and events == flink_events():
        found['Apache Flink'] = peers.flink(os.path.abspath(options.flink), events, 'keyed', 'off')
    return found


def flink_events():
    """What the folder of Flink runs: it does not take a number."""
    return 60_000_000 if os.environ.get('PEER_SCALE') == 'full' else 20_000_000


def measure_latency(options, programs, report):
    events = options.rate * options.seconds
    program = [programs.ours('keyed_count'), *arguments(events), '--rate', str(options.rate)]
    found = {f'{OURS} local': lambda: late(programs.run_local(2, *program))}
    for name, cluster in programs.standard_clusters().items():
        found[f'{OURS} {name}'] = lambda cluster=cluster: late(cluster.run(2, *program))
    results = in_turn(found, options.rounds, options.verbose)
    programs.stop_clusters()
    rows = [['', 'runs', *(f'{name} ms' for name in PERCENTILES), 'CPU seconds a second', 'peak resident MB', 'load']]
    rows += [row(name, runs) for name, runs in results.items()]
    if options.flink:
        rows += flink_rows(os.path.abspath(options.flink))
    report.part('latency', f'keyed_count at {options.rate:,} events a second for {options.seconds} s: medians of the runs, '
                'the first 2 s of each left out', [rows, 'The slowest of ours:', goals(
                    ('p50 under 0.5 ms', 0.5, latest('p50', results), '{:.2f} ms', True),
                    ('p99 under 5 ms', 5, latest('p99', results), '{:.2f} ms', True))])


def latest(percentile, results):
    return max(statistics.median(run.more['latency'][percentile] for run in runs) for runs in of_ours(results).values())


def late(run):
    found = re.search(r'latency in µs: (.*)', run.out)
    if not found:
        sys.exit(f'the run has not said its latencies: {run.out}{run.err}')
    values = dict(part.split() for part in found[1].split(', '))
    return Measurement.of(run, latency={name: int(values[name]) / 1000 for name in PERCENTILES})


def row(name, runs):
    latency = [f'{statistics.median(run.more["latency"][one] for run in runs):.2f}' for one in PERCENTILES]
    busy = median(runs, 'cpu') / median(runs, 'seconds')
    loads = [run.load for run in runs]
    return [name, str(len(runs)), *latency, f'{busy:.2f}', f'{max(run.peak_mb for run in runs):.0f}',
            f'{min(loads):.1f}–{max(loads):.1f}']


def flink_rows(folder):
    """Flink's warm runs; it says its percentiles in microseconds as `p50_us` and so on."""
    groups = {}
    for line in peers.flink_lines(folder, 'latency'):
        if not line.get('cold') and not line.get('error'):
            groups.setdefault(line['workload'], []).append(line)
    rows = []
    for workload, lines in groups.items():
        def middle(name, lines=lines):
            values = [line[f'{name}_us'] for line in lines if f'{name}_us' in line]
            return f'{statistics.median(values) / 1000:.2f}' if values else ''
        busy = statistics.median(line['cpu_seconds'] / line['seconds'] for line in lines)
        loads = [line['load1'] for line in lines]
        rows.append([f'Apache Flink ({workload})', str(len(lines)),
                     *(middle(name.replace('.', '')) for name in PERCENTILES), f'{busy:.2f}',
                     str(max(line['peak_rss_mb'] for line in lines)), f'{min(loads):.1f}–{max(loads):.1f}'])
    return rows
