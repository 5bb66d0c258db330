"""Runs of several contestants, in turn, and what they come to."""
import statistics
import sys

OURS = 'flink-yarn'


class Measurement:
    """One run: wall and CPU seconds, peak resident memory, load of the machine when it began."""

    def __init__(self, seconds, cpu, peak_mb, load, **more):
        self.seconds, self.cpu, self.peak_mb, self.load, self.more = seconds, cpu, peak_mb, load, more

    @classmethod
    def of(cls, run, **more):
        return cls(run.seconds, run.cpu, run.peak_mb, run.load, **more)


def in_turn(contestants, rounds, verbose=False):
    """Runs every contestant once a round, so that a busy minute does not hit one of them alone. A contestant gives one
    measurement or, where it repeats by itself, a list; one of those is asked once, in the middle."""
    results = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            repeats = getattr(contestant, 'repeats_itself', False)
            if repeats and number != rounds // 2:
                continue
            found = contestant()
            results[name] += found if isinstance(found, list) else [found]
            if verbose:
                shown = [f'{one.seconds:.2f} s, {one.cpu:.2f} CPU s, {one.peak_mb:.0f} MB, load {one.load:.1f}'
                         for one in results[name][-1:]]
                print(f'  round {number + 1}, {name}: {"; ".join(shown)}', file=sys.stderr, flush=True)
    return {name: runs for name, runs in results.items() if runs}


def repeats_itself(function):
    function.repeats_itself = True
    return function


def median(runs, field):
    return statistics.median(getattr(run, field) for run in runs)


def per_cpu_second(records, runs):
    """Millions of records for each CPU second, in the median run."""
    return records / max(median(runs, 'cpu'), 0.01) / 1e6


def throughput_table(records, unit, results):
    """One row a contestant."""
    rows = [['', 'runs', 'wall s (median, best)', 'CPU s (median, min)', f'M {unit} a CPU second', f'M {unit} a second',
             'peak resident MB', 'load']]
    for name, runs in results.items():
        wall, cpu = median(runs, 'seconds'), median(runs, 'cpu')
        loads = [run.load for run in runs]
        rows.append([name, str(len(runs)), f'{wall:.2f}, {min(run.seconds for run in runs):.2f}',
                     f'{cpu:.2f}, {min(run.cpu for run in runs):.2f}', f'{per_cpu_second(records, runs):.1f}',
                     f'{records / wall / 1e6:.1f}', f'{max(run.peak_mb for run in runs):.0f}',
                     f'{min(loads):.1f}–{max(loads):.1f}'])
    return rows


def ratios(records, results):
    """How many times as many records for each CPU second ours handles, against each other engine."""
    rows = [['', *(name for name in results if name.startswith(OURS))]]
    for peer, runs in results.items():
        if not peer.startswith(OURS):
            rows.append([f'against {peer}', *(f'{per_cpu_second(records, ours) / per_cpu_second(records, runs):.1f}'
                                              for name, ours in results.items() if name.startswith(OURS))])
    return rows


def cost_of_tls(results):
    """By how much CPU seconds grow with TLS between two workers."""
    with_tls = next((runs for name, runs in results.items() if name.endswith('2 TaskManagers x 1 slot, TLS')), None)
    without = next((runs for name, runs in results.items() if name.endswith('2 TaskManagers x 1 slot, no TLS')), None)
    if not with_tls or not without:
        return ''
    change = (median(with_tls, 'cpu') / max(median(without, 'cpu'), 0.01) - 1) * 100
    wall = (median(with_tls, 'seconds') / max(median(without, 'seconds'), 0.01) - 1) * 100
    return f'TLS between two workers: {change:+.1f} % CPU seconds, {wall:+.1f} % wall time (medians).'
