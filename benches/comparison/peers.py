"""The other engines: DuckDB, a plain program, timely-dataflow, Apache Flink."""
import json
import os
import re
import subprocess
import sys

from .measurements import Measurement, repeats_itself
from .processes import LONGEST_RUN_SECONDS, Run

DUCKDB = '''
import json, os, resource, sys, time
import duckdb
folder, target = sys.argv[1:]
connection = duckdb.connect()
connection.execute("set threads=2")
connection.execute("set enable_progress_bar=false")  # it would go to standard output
lines = f"read_csv('{folder}/*', columns={{'line': 'VARCHAR'}}, delim='\\x01', quote='', escape='', header=false, auto_detect=false)"
words = f"select unnest(string_split(line, ' ')) as word from {lines}"
used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
cpu, begin = used(), time.monotonic()
connection.execute(f"copy (select word || ' ' || count(*) from ({words}) where word <> '' group by word) to '{target}' "
                   "(format csv, header false, quote '', escape '', delimiter '\\x01')")
print(json.dumps({"seconds": time.monotonic() - begin, "cpu": used() - cpu, "version": duckdb.__version__}))
'''


def has_duckdb():
    return subprocess.run([sys.executable, '-c', 'import duckdb'], capture_output=True, check=False).returncode == 0


def duckdb_wordcount(folder, target):
    """The query alone is timed, without the start of Python."""
    run = Run([sys.executable, '-c', DUCKDB, folder, target])
    told = json.loads(run.out.splitlines()[-1])
    return Measurement(told['seconds'], told['cpu'], run.peak_mb, run.load, version=told['version'])


def plain(programs, *arguments):
    command = [programs.tool('hash_map'), *arguments]
    return lambda: Measurement.of(Run(command))


TIMELY_EVENTS = 20_000_000


def timely(program):
    """Its program counts the events of its own 20 million; it says itself what that took."""
    run = Run([program, 'keyed', '2', '1'])
    found = re.search(r'wall\s+([0-9.]+)s.*?cpu\s+([0-9.]+)s', run.out)
    if not found:
        sys.exit(f'{program} has not said what it took: {run.out}')
    return Measurement(float(found[1]), float(found[2]), run.peak_mb, run.load)


def flink(folder, records, *workload):
    """A contestant that asks Apache Flink once, and leaves the cold first run out. Only the TaskManager's CPU seconds and
    memory count, which is to Flink's advantage."""
    @repeats_itself
    def measure():
        lines = flink_lines(folder, *workload)
        warm = [line for line in lines if not line.get('cold') and not line.get('error')]
        if not warm:
            sys.exit(f'{folder}/run.sh {" ".join(workload)} has no warm run that ended well')
        check_records(warm[0], records, folder)
        return [Measurement(line['seconds'], line['cpu_seconds'], line['peak_rss_mb'], line.get('load1', os.getloadavg()[0]),
                            line=line, version=line.get('version')) for line in warm]
    return measure


def check_records(line, records, folder):
    if line.get('records', records) != records:
        sys.exit(f'{folder} works on {line["records"]} records and not on {records}: set PEER_SCALE, PEER_DATA or --events')


def flink_lines(folder, *workload):
    command = ['bash', f'{folder}/run.sh', *workload]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=4 * LONGEST_RUN_SECONDS, check=False)
    if done.returncode != 0:
        sys.exit(f'failed with code {done.returncode}: {" ".join(command)}\n{done.stdout}{done.stderr}')
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
