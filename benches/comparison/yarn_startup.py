"""From `flink-yarn run` to the end of a job of one event, with the time split into ours and YARN's."""
import json
import re
import statistics
import time

from . import containers
from .hadoop import of_day
from .measurements import goals
from .processes import Run

TRIVIAL = ['--keys', '1', '--events', '1']
MEMORY = ['-D', 'jobmanager.memory.process.size=128 mb', '-D', 'taskmanager.memory.process.size=256 mb']
STAGES = ['prepare', 'upload', 'submit', 'YARN: ApplicationMaster', 'ApplicationMaster', 'main until its job is submitted',
          'YARN: TaskManager', 'TaskManager, worker, job', 'end']


def measure(options, programs, hadoop, report):
    program = [programs.ours('keyed_count'), *TRIVIAL]
    cold = application(programs, hadoop, program)
    runs = [application(programs, hadoop, program) for _ in range(max(options.rounds, 3))]
    session_runs, memory = session(options, programs, hadoop, program)
    total = [run['total'] for run in runs]
    rows = [['', 'runs', 'median ms', 'best ms', 'worst ms', 'uploaded bytes'],
            ['application mode, the first on the cluster', '1', f'{cold["total"]:.0f}', '', '', f'{cold["uploaded"]:,}'],
            row('application mode, again', total, sum(run['uploaded'] for run in runs)),
            row('of this ours, without YARN\'s scheduling, localisation and start of containers', [run['ours'] for run in runs]),
            row('on a running session', session_runs)]
    stages = [['of the median run, ms', *STAGES]]
    middle = sorted(runs, key=lambda run: run['total'])[len(runs) // 2]
    stages.append(['application mode', *(f'{middle["stages"][name]:.0f}' for name in STAGES)])
    middling = lambda times: float(statistics.median(times))
    report.part('yarn_startup', 'On YARN: a job of one event', [rows, stages, memory, goals(
        ('application mode, again: at most 3 s', 3000, middling(total), '{:.0f} ms', True),
        ('of this ours: at most 1 s', 1000, middling([run['ours'] for run in runs]), '{:.0f} ms', True),
        ('on a running session: under 300 ms', 300, middling(session_runs), '{:.0f} ms', True),
        ('uploaded again: nothing', 0, sum(run['uploaded'] for run in runs), '{:,} bytes', True))])


def row(name, times, uploaded=None):
    times = [float(one) for one in times]
    return [name, str(len(times)), f'{statistics.median(times):.0f}', f'{min(times):.0f}', f'{max(times):.0f}',
            '' if uploaded is None else f'{uploaded:,}']


def now_of_day():
    """Of the clock that the logs are written by."""
    now = time.time()
    utc = time.gmtime(now)
    return of_day(utc.tm_hour, utc.tm_min, utc.tm_sec, int(now * 1000) % 1000)


def application(programs, hadoop, program):
    """One run in application mode. YARN's part of the ApplicationMaster ends when its process begins, that of the TaskManager
    when the node calls its container running: the shell that starts it counts as ours."""
    begun = now_of_day()
    run = Run([programs.flink_yarn, 'run', '-t', 'yarn-application', '--output', 'json', *MEMORY, *program],
              environment=hadoop.environment(), memory=False)
    told = [json.loads(line) for line in run.out.splitlines() if line.startswith('{')]
    ended = next(line for line in told if 'timings' in line)
    hadoop.wait_for_logs(ended['application-id'])
    timings, transitions = ended['timings'], hadoop.transitions(ended['application-id'])
    worker = {state: at for at, state in reversed(transitions[sorted(transitions)[1]])}
    log = Run([programs.flink_yarn, 'logs', '--application-id', ended['application-id']], environment=hadoop.environment(),
              memory=False).out
    leading, asked, finished = (at(log, text) for text in ('leading', 'asking for containers', 'status=FINISHED'))
    master = leading - int(re.search(r'leading milliseconds=(\d+)', log)[1])
    submitted = begun + timings['prepared'] + timings['staged'] + timings['submitted']
    stages = {'prepare': timings['prepared'], 'upload': timings['staged'], 'submit': timings['submitted'],
              'YARN: ApplicationMaster': master - submitted, 'ApplicationMaster': leading - master,
              'main until its job is submitted': asked - leading, 'YARN: TaskManager': worker['RUNNING'] - asked,
              'TaskManager, worker, job': finished - worker['RUNNING']}
    total = run.seconds * 1000
    stages['end'] = total - sum(stages.values())
    ours = total - stages['YARN: ApplicationMaster'] - stages['YARN: TaskManager']
    return {'total': total, 'ours': ours, 'stages': stages, 'uploaded': timings['uploaded-bytes']}


def at(log, text):
    """When the ApplicationMaster wrote a line with a text in it."""
    return of_day(*re.search(rf'T(\d+):(\d+):(\d+)\.(\d{{3}})\d*Z[^\n]*{text}', log).groups())


def session(options, programs, hadoop, program):
    """The same on a session whose TaskManager runs, and what its processes have resident then."""
    call = lambda *words: Run([programs.flink_yarn, *words], environment=hadoop.environment(), memory=False)
    started = json.loads(call('session', '-d', '--output', 'json', *MEMORY).out)
    identity = started['application-id']
    with containers.Watch(hadoop.mark) as watch:
        call('run', '-t', 'yarn-session', '-id', identity, *program)
        runs = [call('run', '-t', 'yarn-session', '-id', identity, *program).seconds * 1000 for _ in range(max(options.rounds, 5))]
    call('kill', identity)
    peaks = [f'{max(watch.peak_of(part)):.0f}' for part in ('appmaster', 'taskmanager')]
    return runs, [['peak resident MB', 'ApplicationMaster', 'TaskManager with its worker'], ['these jobs', *peaks]]
