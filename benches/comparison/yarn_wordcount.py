"""WordCount over a folder in HDFS: ours on two TaskManagers of one slot, MapReduce on the same cluster; equal results."""
import glob
import json
import os
import shutil

from . import containers
from .measurements import Measurement, goals, in_turn, median, per_cpu_second
from .processes import Run
from .wordcount import count_words, digest, make_words, read_once

INPUT = 'words'
MAPREDUCE = 'Hadoop MapReduce'
MEMORY = ['-D', 'jobmanager.memory.process.size=128 mb', '-D', 'taskmanager.memory.process.size=256 mb']


def measure(options, programs, hadoop, report):
    folder = options.words and os.path.abspath(options.words) or make_words(options, programs)
    files = sorted(glob.glob(f'{folder}/*'))
    hadoop.put(files, INPUT)
    words = sum(count_words(file) for file in files)
    megabytes = sum(os.path.getsize(file) for file in files) / 1e6
    contestants = {'flink-yarn, application mode': lambda: ours(programs, hadoop),
                   'flink-yarn, on a running session': Session(programs, hadoop).run}
    results = in_turn(contestants, options.rounds, options.verbose)
    if not options.without_mapreduce:
        results[MAPREDUCE] = [mapreduce(hadoop)]
    rows = [['', 'runs', 'wall s (median, best)', 'CPU s (median, min)', 'M words a CPU second', 'of these CPU s the client\'s',
             'peak resident MB: ApplicationMaster', 'each TaskManager with its worker', 'load']]
    rows += [row(name, runs, words) for name, runs in results.items()]
    local = results['flink-yarn, on a running session'][-1].more['local']
    report.part('yarn_wordcount', f'On YARN and HDFS: WordCount of {words / 1e6:.1f} M words, {megabytes:.0f} MB, two TaskManagers x 1 slot', [
        rows, *ratios(results, report, words), f'Splits that were read on the own host: {local}.', same(results, hadoop, programs.work_dir),
        'The dearest of ours:', reached(results, report, words)])
    read(options, programs, hadoop, report, megabytes, files)


def row(name, runs, words):
    peaks = [max((run.more[part] for run in runs), default='') for part in ('master', 'worker')]
    shown = [f'{peak:.0f}' if isinstance(peak, float) else peak for peak in peaks]
    loads = [run.load for run in runs]
    return [name, str(len(runs)), f'{median(runs, "seconds"):.2f}, {min(run.seconds for run in runs):.2f}',
            f'{median(runs, "cpu"):.2f}, {min(run.cpu for run in runs):.2f}', f'{per_cpu_second(words, runs):.1f}',
            f'{min(run.more["client"] for run in runs):.2f}', *shown, f'{min(loads):.1f}–{max(loads):.1f}']


def ratios(results, report, words):
    mine = {name: median(runs, 'cpu') for name, runs in results.items() if is_ours(name)}
    rows = [['CPU seconds of others, how many times as many', *mine]]
    rows += [[f'{name}: {cpu:.1f} s', *(f'{cpu / own:.1f}' for own in mine.values())] for name, cpu in others(results, report, words).items()]
    return [rows] if len(rows) > 1 else []


def is_ours(name):
    return name.startswith('flink-yarn')


def others(results, report, words):
    """CPU seconds of the others; those of Apache Flink without YARN are the last ones that were measured on the same words."""
    found = {name: median(runs, 'cpu') for name, runs in results.items() if not is_ours(name)}
    same_words = f'## WordCount: {words / 1e6:.1f} M words' in report.earlier().get('wordcount', '')
    for line in report.earlier().get('wordcount', '').splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if same_words and cells[0].startswith('Apache Flink') and len(cells) > 6:
            found[f'{cells[0]}, standalone, the same words in local files (above)'] = float(cells[3].split(',')[0])
    return found


def reached(results, report, words):
    dearest = max(median(runs, 'cpu') for name, runs in results.items() if is_ours(name))
    cheapest = lambda start: min((cpu for name, cpu in others(results, report, words).items() if name.startswith(start)), default=None)
    times = lambda cpu: cpu and cpu / dearest
    peak = lambda part: max(run.more[part] for name, runs in results.items() if is_ours(name) for run in runs)
    return goals(('Apache Flink\'s cheapest takes at least 8 times the CPU seconds', 8, times(cheapest('Apache Flink')), '{:.1f} times', False),
                 ('MapReduce takes at least 30 times', 30, times(cheapest(MAPREDUCE)), '{:.1f} times', False),
                 ('ApplicationMaster under 60 MB', 60, peak('master'), '{:.0f} MB', True),
                 ('each TaskManager with its worker under 150 MB', 150, peak('worker'), '{:.0f} MB', True))


def output_of(name):
    return f'counts-{name}'


def watched(hadoop, command):
    """A command with what it and all containers use until its end."""
    with containers.Watch(hadoop.mark) as watch:
        run = Run(command, environment=hadoop.environment(), memory=False)
    return run, watch


def ours(programs, hadoop):
    hadoop.dfs('-rm', '-r', '-f', '-skipTrash', output_of('application'))
    run, watch = watched(hadoop, [programs.flink_yarn, 'run', '-t', 'yarn-application', '-p', '2', *MEMORY, programs.ours('wordcount'),
                                  '--input', hadoop.uri(INPUT), '--output', hadoop.uri(output_of('application'))])
    return measurement(run, watch, output_of('application'))


def measurement(run, watch, output, **more):
    masters, workers = watch.peak_of('appmaster'), watch.peak_of('taskmanager')
    return Measurement(run.seconds, run.cpu + watch.cpu(), watch.peak / 1e6, run.load, client=run.cpu, output=output,
                       master=masters[-1] if masters else '', worker=workers[-1] if workers else '', **more)


class Session:
    """A session with two TaskManagers, started before the first run."""

    def __init__(self, programs, hadoop):
        self.programs, self.hadoop, self.identity = programs, hadoop, None

    def call(self, *words):
        return Run([self.programs.flink_yarn, *words], environment=self.hadoop.environment(), memory=False)

    def run(self):
        started = json.loads(self.call('session', '-d', '-s', '1', '--output', 'json', *MEMORY,
                                       '-D', 'resourcemanager.taskmanager-timeout=10 min').out)
        identity = started['application-id']
        # Its TaskManagers come with the first job.
        self.call('run', '-t', 'yarn-session', '-id', identity, '-p', '2', self.programs.ours('keyed_count'), '--keys', '1', '--events', '1')
        self.hadoop.dfs('-rm', '-r', '-f', '-skipTrash', output_of('session'))
        run, watch = watched(self.hadoop, [
            self.programs.flink_yarn, 'run', '-t', 'yarn-session', '-id', identity, '-p', '2', '--output', 'json',
            self.programs.ours('wordcount'), '--input', self.hadoop.uri(INPUT), '--output', self.hadoop.uri(output_of('session'))])
        job = json.loads(run.out.splitlines()[-1])['job-id']
        local = self.locality(identity, job)
        self.call('kill', identity)
        return measurement(run, watch, output_of('session'), local=local)

    def locality(self, identity, job):
        """Of the splits of a job, how many were read on a host that has their data."""
        home = f'.flink-yarn/{identity}'
        leader = json.loads(self.hadoop.dfs('-cat', f'{home}/leader.*.json'))
        token = json.loads(self.hadoop.dfs('-cat', f'{home}/client.credentials'))['rest_token']
        url = f'{leader["rest_url"]}/v1/jobs/{job}/metrics?get=numSplits,numSplitsLocal'
        answer = json.loads(Run(['curl', '--silent', '--header', f'Authorization: Bearer {token}', url], memory=False).out)
        figures = {metric['id']: int(metric['value']) for metric in answer}
        return f'{figures["numSplitsLocal"]} of {figures["numSplits"]}'


def mapreduce(hadoop):
    hadoop.dfs('-rm', '-r', '-f', '-skipTrash', output_of('mapreduce'))
    run, watch = watched(hadoop, hadoop.java(hadoop.examples(), 'wordcount', '-D', 'mapreduce.job.reduces=2', INPUT,
                                             output_of('mapreduce')))
    return measurement(run, watch, output_of('mapreduce'))


def same(results, hadoop, work_dir):
    """Fetches the outputs; all of them must hold the same lines."""
    sums = {}
    for name, runs in results.items():
        target = f'{work_dir}/fetched'
        shutil.rmtree(target, ignore_errors=True)
        hadoop.fetch(runs[-1].more['output'], target)
        for path in glob.glob(f'{target}/part-r-*'):
            # MapReduce puts a tabulator between word and count.
            with open(path, 'rb+') as file:
                text = file.read().replace(b'\t', b' ')
                file.seek(0)
                file.write(text)
        sums[name] = digest(target)
    if len(set(sums.values())) != 1:
        raise SystemExit(f'results differ: {sums}')
    return f'All {len(sums)} ({", ".join(sums)}) wrote the same {next(iter(sums.values()))[0]:,} lines.'


def read(options, programs, hadoop, report, megabytes, files):
    """The same files, only read: by the client library alone, and through the engine's file system."""
    read_once(files)
    ways = {'hdfs-native, one stream after the other': 'plain', 'through the engine\'s file system': 'engine'}
    contestants = {name: lambda way=way: reading(programs, hadoop, way) for name, way in ways.items()}
    results = in_turn(contestants, max(options.rounds, 3), options.verbose)
    rows = [['', 'runs', 'MB/s (median, best)', 'CPU s (median)', 'load']]
    for name, runs in results.items():
        rates = sorted(megabytes / run.seconds for run in runs)
        rows.append([name, str(len(runs)), f'{megabytes / median(runs, "seconds"):.0f}, {rates[-1]:.0f}', f'{median(runs, "cpu"):.2f}',
                     f'{min(run.load for run in runs):.1f}–{max(run.load for run in runs):.1f}'])
    plain, engine = (min(run.seconds for run in runs) for runs in results.values())
    report.part('yarn_read', f'Reading {megabytes:.0f} MB from HDFS', [rows, goals(
        ('the engine reads at 80 % or more of what hdfs-native alone reaches (best runs)', 80, 100 * plain / engine, '{:.0f} %', False))])


def reading(programs, hadoop, way):
    run = Run([programs.tool('hdfs_read'), way, hadoop.uri(INPUT)], environment=hadoop.environment(), memory=False)
    told = json.loads(run.out)
    return Measurement(told['seconds'], run.cpu, 0.0, run.load)
