"""Class data archives: JVMs that have the daemons' classes parsed already start in half the time.

The daemons of the first start note which classes they load. From that an archive is made in the background, which every
later start maps into memory. It is a matter of speed only: a JVM goes on without an archive that does not fit.
"""
import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path


def _folder(installation):
    # An archive is for one Java and one list of jars.
    key = hashlib.sha256(f"{installation.java} {installation.java.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    return installation.folder.with_name(f"{installation.folder.name}.classes-{key}")


def _archive(installation):
    return _folder(installation) / "archive"


def flags(installation, places, role):
    """Flags of Java: use the archive, or note the classes of a daemon while there is none."""
    archive = _archive(installation)
    if archive.exists():
        return [f"-XX:SharedArchiveFile={archive}"]
    return [f"-XX:DumpLoadedClassList={places.run / f'{role.name}.classes'}"] if role else []


def make_in_background(installation, places):
    """Makes the archive where it is missing, at the lowest priority."""
    if _archive(installation).exists():
        return
    script = Path(__file__).resolve().parent.parent / "hadoop"
    subprocess.Popen([sys.executable, script, "archive", "--name", places.name], stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)


def make(installation, places):
    """Makes the archive from what the daemons have noted; says whether there is one."""
    folder, archive = _folder(installation), _archive(installation)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock, contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        classes = _merge(places.run.glob("*.classes"))
        # Fewer than the JVM's own: the cluster went away, and another one will do.
        if not archive.exists() and len(classes) > 1000:
            os.nice(19)
            _dump(installation, classes, folder / "list", folder / "part")
            (folder / "part").rename(archive)
    return archive.exists()


def _merge(lists):
    # Numbers are those of one process, and classes of special loaders cannot be found again without them.
    lines = (line.partition(" id: ")[0].strip() for path in sorted(lists)
             for line in path.read_text(errors="replace").splitlines() if " source: " not in line)
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _dump(installation, classes, listed, target):
    listed.write_text("\n".join([*classes, ""]))
    command = [installation.java, "-Xshare:dump", "-XX:+UseG1GC", f"-XX:SharedClassListFile={listed}",
               f"-XX:SharedArchiveFile={target}", "-cp", ":".join(map(str, installation.jars))]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300,
                   check=True)
