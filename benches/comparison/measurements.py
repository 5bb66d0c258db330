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
        version = runs[0].more.get('version')
        rows.append([f'{name} ({version})' if version else name, str(len(runs)), f'{wall:.2f}, {min(run.seconds for run in runs):.2f}',
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


def times_as_many(records, results, peer):
    """How many times as many records for each CPU second the slowest of ours handles, against a peer; None without it."""
    runs = next((runs for name, runs in results.items() if name.startswith(peer)), None)
    return runs and slowest(records, results) / per_cpu_second(records, runs)


def slowest(records, results):
    """Millions of records for each CPU second, of the slowest of ours."""
    return min(per_cpu_second(records, runs) for runs in of_ours(results).values())


def of_ours(results):
    return {name: runs for name, runs in results.items() if name.startswith(OURS)}


def goals(*lines):
    """What was to be reached: each line has words with the limit in them, the limit, the figure (None where the peer did not
    take part), how figures are written, and whether less is better."""
    rows = [['goal', 'measured', '']]
    for words, limit, figure, form, less in lines:
        if figure is not None:
            met = figure <= limit if less else figure >= limit
            rows.append([words, form.format(figure), 'reached' if met else 'MISSED'])
    return rows


def tls_share(results):
    """CPU seconds with TLS between two workers, in percent more than without."""
    with_tls, without = (next((runs for name, runs in results.items() if name.endswith(end)), None) for end in (
        '2 TaskManagers x 1 slot, TLS', '2 TaskManagers x 1 slot, no TLS'))
    return (median(with_tls, 'cpu') / max(median(without, 'cpu'), 0.01) - 1) * 100 if with_tls and without else None


def cost_of_tls(results):
    """By how much CPU seconds grow with TLS between two workers."""
    with_tls = next((runs for name, runs in results.items() if name.endswith('2 TaskManagers x 1 slot, TLS')), None)
    without = next((runs for name, runs in results.items() if name.endswith('2 TaskManagers x 1 slot, no TLS')), None)
    if not with_tls or not without:
        return ''
    wall = (median(with_tls, 'seconds') / max(median(without, 'seconds'), 0.01) - 1) * 100
    return f'TLS between two workers: {tls_share(results):+.1f} % CPU seconds, {wall:+.1f} % wall time (medians).'
