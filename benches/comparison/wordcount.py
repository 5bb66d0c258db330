"""WordCount over text files: ours locally and on three clusters, beside the peers; all results must be equal."""
import glob
import os
import shutil
import subprocess
import sys

from . import peers
from .measurements import (OURS, Measurement, cost_of_tls, goals, in_turn, of_ours, ratios, slowest, throughput_table,
                           times_as_many, tls_share)
from .processes import Run

FLINK_WORKLOADS = {'Apache Flink SQL': 'wordcount-sql', 'Apache Flink DataStream BATCH': 'wordcount'}


def measure(options, programs, report):
    folder = options.words and os.path.abspath(options.words) or make_words(options, programs)
    files = sorted(glob.glob(f'{folder}/*'))
    if not files:
        sys.exit(f'there are no files in {folder}')
    read_once(files)
    words = sum(count_words(file) for file in files)
    output = f'{programs.work_dir}/counts'
    contestants, outputs = {}, {}

    def add(name, target, contestant):
        contestants[name], outputs[name] = contestant, target

    def job(name, target, run):
        def once():
            shutil.rmtree(target, ignore_errors=True)
            return Measurement.of(run(2, programs.ours('wordcount'), '--input', folder, '--output', target))
        add(name, target, once)

    job(f'{OURS} local', f'{output}-local', programs.run_local)
    for number, (name, cluster) in enumerate(programs.standard_clusters().items()):
        job(f'{OURS} {name}', f'{output}-{number}', cluster.run)
    if peers.has_duckdb():
        target = f'{output}-duckdb'
        add('DuckDB, 2 threads', target, lambda: peers.duckdb_wordcount(folder, target))
    plain_target = f'{output}-plain'
    add('plain Rust, HashMap, 1 thread', plain_target, peers.plain(programs, 'words', folder, plain_target))
    if options.flink:
        for name, workload in FLINK_WORKLOADS.items():
            contestants[name] = peers.flink(os.path.abspath(options.flink), words, workload)
    results = in_turn(contestants, options.rounds, options.verbose)
    programs.stop_clusters()
    same = check_equal({name: target for name, target in outputs.items() if name in results})
    size = sum(os.path.getsize(file) for file in files) / 1e6
    report.part('wordcount', f'WordCount: {words / 1e6:.1f} M words, {size:.0f} MB, parallelism 2', [
        throughput_table(words, 'words', results), 'Words for each CPU second, how many times as many:',
        ratios(words, results), cost_of_tls(results), same, 'The slowest of ours:', goals(
            ('at least 20 M words a CPU second', 20, slowest(words, results), '{:.1f} M', False),
            ('at least 8 times Apache Flink SQL', 8, times_as_many(words, results, 'Apache Flink SQL'), '{:.1f} times', False),
            ('at least twice DuckDB', 2, times_as_many(words, results, 'DuckDB'), '{:.2f} times', False),
            ('under 300 MB', 300, max(run.peak_mb for runs in of_ours(results).values() for run in runs), '{:.0f} MB', True),
            ('TLS costs at most 15 % CPU', 15, tls_share(results), '{:+.1f} %', True))])


def make_words(options, programs):
    folder = f'{programs.work_dir}/words'
    if not os.path.isdir(folder):
        Run([programs.tool('words'), folder, str(options.lines)], memory=False)
    return folder


def read_once(files):
    """Has the files in the page cache: nobody pays for the disk."""
    for file in files:
        with open(file, 'rb') as opened:
            while opened.read(1 << 20):
                pass


def count_words(file):
    return int(subprocess.run(['wc', '-w', file], capture_output=True, check=True, env={'LC_ALL': 'C', 'PATH': os.environ['PATH']}).stdout.split()[0])


def check_equal(outputs):
    sums = {name: digest(target) for name, target in outputs.items()}
    first = next(iter(sums.values()))
    different = [name for name, one in sums.items() if one != first]
    if different:
        sys.exit(f'results differ: {next(iter(sums))} from {", ".join(different)}')
    return f'All {len(sums)} programs that write their counts ({", ".join(sums)}) wrote the same {first[0]:,} lines.'


def digest(target):
    """Number of lines and a sum over their sorted content, of a file or of the visible files of a folder."""
    import hashlib
    files = [target] if os.path.isfile(target) else [path for path in glob.glob(f'{target}/**', recursive=True)
                                                     if os.path.isfile(path) and not os.path.basename(path).startswith(('.', '_'))]
    lines = []
    for file in files:
        with open(file, 'rb') as opened:
            lines += opened.read().splitlines()
    return len(lines), hashlib.sha256(b'\n'.join(sorted(lines))).hexdigest()
