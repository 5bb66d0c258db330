"""What a user's small job crate costs to build: all of it, and again after one line has changed."""
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

MANIFEST = '''[package]
name = "small-job"
version = "0.1.0"
edition = "2024"

[dependencies]
flink = {{ path = "{root}/dist/flink" }}

[workspace]
'''

PROGRAM = '''use flink::prelude::*;

fn main() -> Result<(), BoxError> {
    let input = std::env::args().nth(1).ok_or("usage: small-job FILE")?;
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    env.set_runtime_mode(RuntimeMode::Batch);
    env.read_text_file(&input)
        .map(|line: String| (line.len() as u64, 1u64))
        .filter(|(length, _)| *length > 0)
        .key_by(|(length, _)| *length)
        .sum(|(_, count)| count)
        .map(|(length, count)| format!("{length} {count}"))
        .print();
    env.execute("line lengths")?;
    Ok(())
}
'''


def measure(options, programs, report):
    folder = f'{programs.work_dir}/small-job'
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(f'{folder}/src')
    write(f'{folder}/Cargo.toml', MANIFEST.format(root=ROOT))
    write(f'{folder}/src/main.rs', PROGRAM)
    shutil.copy(f'{ROOT}/Cargo.lock', f'{folder}/Cargo.lock')
    cargo(folder, 'fetch')
    rows = [['', 'clean build s', 'after a one-line change s', 'binary MB', 'load']]
    for name, flags, profile in (('release', ['--release'], 'release'), ('debug', [], 'debug')):
        load = os.getloadavg()[0]
        clean = cargo(folder, 'build', '--offline', *flags)
        write(f'{folder}/src/main.rs', PROGRAM.replace('*length > 0', '*length > 1'))
        changed = cargo(folder, 'build', '--offline', *flags)
        write(f'{folder}/src/main.rs', PROGRAM)
        size = os.path.getsize(f'{folder}/target/{profile}/small-job') / 1e6
        rows.append([name, f'{clean:.0f}', f'{changed:.1f}', f'{size:.1f}', f'{load:.1f}–{os.getloadavg()[0]:.1f}'])
    shutil.rmtree(folder, ignore_errors=True)
    report.part('build', f'Building a job crate of one small program, {os.cpu_count()} processors', [rows])


def write(path, text):
    with open(path, 'w') as file:
        file.write(text)


def cargo(folder, *words):
    environment = {key: value for key, value in os.environ.items() if key not in ('CARGO_TARGET_DIR', 'RUSTFLAGS')}
    begin = time.monotonic()
    done = subprocess.run(['cargo', *words, '--quiet'], cwd=folder, env={**environment, 'CARGO_TARGET_DIR': f'{folder}/target'},
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f'cargo {" ".join(words)} failed:\n{done.stderr}')
    return time.monotonic() - begin
