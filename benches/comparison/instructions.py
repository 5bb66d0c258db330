"""Instructions by unit of work, as the test `instructions` has recorded them: it holds that they are still true."""
import os

RECORDED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'instructions.txt')


def show(options, programs, report):
    rows = [['', 'instructions', 'for each']]
    with open(RECORDED) as file:
        for line in file:
            if not line.startswith('#'):
                name, count, unit = line.split(maxsplit=2)
                rows.append([name, count, unit.strip().removeprefix('a ')])
    report.part('instructions', 'Instructions, counted by valgrind', [rows])
