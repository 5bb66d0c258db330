"""Results as Markdown."""
import os
import platform
import re
import subprocess
import time

HEAD = '''# Results

Written by `benches/compare --write` and `benches/yarn --write`; [README.md](README.md) says what is measured and how. CPU seconds are those of all
processes together, ours with client, JobManager, TaskManagers and workers; compare these first, wall times depend on
what else the machine does.
'''


class Report:
    """Parts by name; those of an earlier run are kept in the file until they are measured again."""

    def __init__(self, path):
        self.path, self.parts = path, {}

    def part(self, name, title, content):
        blocks = [block if isinstance(block, str) else table(block) for block in content if block and has_rows(block)]
        about = f'{machine()}, {time.strftime("%Y-%m-%d", time.gmtime())}, {versions()}.'
        self.parts[name] = '\n\n'.join([f'## {title}', about, *blocks])

    def text(self, name):
        return self.parts[name] + '\n'

    def write(self):
        kept = self.earlier()
        kept.update(self.parts)
        sections = (f'<!-- part {name} -->\n{text}\n<!-- end -->\n' for name, text in kept.items())
        with open(self.path, 'w') as file:
            file.write(HEAD + '\n' + '\n'.join(sections))

    def earlier(self):
        if not os.path.isfile(self.path):
            return {}
        with open(self.path) as file:
            found = re.findall(r'<!-- part (\w+) -->\n(.*?)\n<!-- end -->', file.read(), re.DOTALL)
        return dict(found)


def has_rows(block):
    return isinstance(block, str) or len(block) > 1


def table(rows):
    head, *rest = rows
    lines = ['| ' + ' | '.join(head) + ' |', '|---|' + '---:|' * (len(head) - 1)]
    return '\n'.join(lines + ['| ' + ' | '.join(row) + ' |' for row in rest])


def machine():
    with open('/proc/cpuinfo') as file:
        model = re.search(r'model name\s*: (.*)', file.read())
    return f'{os.cpu_count()} processors ({model[1].strip() if model else platform.machine()})'


def versions():
    """What was measured: the commit, and the compiler."""
    def first_line(*command):
        done = subprocess.run(command, cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True, text=True, check=False)
        return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else ''
    commit = first_line('git', 'rev-parse', '--short=10', 'HEAD')
    changed = ', changed' if first_line('git', 'status', '--porcelain', '--untracked-files=no') else ''
    rust = ' '.join(first_line('rustc', '--version').split()[:2])
    return ', '.join(part for part in (f'commit {commit}{changed}' if commit else '', rust) if part)
