"""Java and Hadoop's jars: fetched once, kept in the cache, shared by all clusters."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from .failure import Failure
from .places import cache_folder, write

POM = Path(__file__).with_name("pom.xml")
# Classes of ours: one that Hadoop lacks, one that it would need a native library for.
SOURCES = sorted(Path(__file__).with_name("java").glob("*.java"))
LEAST_JAVA = 17
# Small and quick to start: no second compiler, one thread for garbage, no files for tools that watch JVMs.
FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xss512k",
         "-Djava.net.preferIPv4Stack=true", "--add-opens=java.base/java.lang=ALL-UNNAMED")


class Installation:
    """Jars in a folder, and the Java that runs them."""

    def __init__(self, jars, java):
        self.folder = jars
        self.java = java
        self.jars = sorted(jars.glob("*.jar"))

    @property
    def java_home(self):
        """What JAVA_HOME has to be."""
        return self.java.parent.parent

    def jars_pattern(self):
        """All jars, as class paths name them."""
        return f"{self.folder}/*"

    def command(self, heap, flags, folders):
        """The beginning of a command line of Java; `folders` come after the jars on the class path."""
        class_path = ":".join(str(path) for path in (*self.jars, *folders))
        return [str(word) for word in (self.java, *FLAGS, f"-Xmx{heap}", *flags, "-cp", class_path)]


def find(variants):
    """What the cluster of these variants needs, fetched if it is not there."""
    java = _find_java()
    profiles = ["mapreduce"] if "mapreduce" in variants else []
    key = hashlib.sha256(b"".join(path.read_bytes() for path in (POM, *SOURCES))).hexdigest()[:12]
    folder = cache_folder() / "jars" / "-".join([_version(), *profiles, key])
    if not folder.is_dir():
        _fetch(folder, profiles, java)
    return Installation(folder, java)


def _version():
    return re.search(r"<hadoop\.version>(.*?)<", POM.read_text(encoding="utf-8")).group(1)


def _find_java():
    named = os.environ.get("JAVA_HOME")
    tried = ([Path(named) / "bin" / "java"] if named else []) + [Path(found) for found in [shutil.which("java")] if found]
    tried += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    for java in tried:
        version = _java_version(java)
        if version >= LEAST_JAVA:
            return java.resolve()
    raise Failure(f"Java {LEAST_JAVA} or newer is needed (Debian: apt-get install openjdk-17-jre-headless); "
                  f"tried {', '.join(map(str, tried)) or 'nothing: there is none'}")


def _java_version(java):
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except OSError:
        return 0
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0


def _fetch(folder, profiles, java):
    if not shutil.which("mvn"):
        raise Failure("Maven is needed to fetch Hadoop (Debian: apt-get install maven)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as part:
                _run_maven(Path(part) / "jars", profiles)
                _compile(Path(part), java)
                (Path(part) / "jars").rename(folder)


def _run_maven(target, profiles):
    print("fetching Hadoop's jars with Maven; later starts use them again", flush=True)
    command = ["mvn", "--batch-mode", "--no-transfer-progress", f"--file={POM}", "dependency:copy-dependencies",
               "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    command += [f"--activate-profiles={','.join(profiles)}"] if profiles else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("Maven has not fetched Hadoop's jars within 15 minutes: look at the network, and try again") from None
    if done.returncode != 0:
        raise Failure("Maven could not fetch Hadoop's jars:\n" + done.stdout[-3000:])


def _compile(part, java):
    jars, classes = part / "jars", part / "classes"
    command = [java, "-jar", *jars.glob("ecj-*.jar"), "--release", str(LEAST_JAVA), "-proc:none", "-nowarn",
               "-cp", ":".join(map(str, jars.glob("hadoop-*.jar"))), "-d", classes, *SOURCES]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Failure(f"the classes in {SOURCES[0].parent} could not be compiled:\n{(done.stderr + done.stdout)[-2000:]}")
    # Sorts before Hadoop's jars, and so comes first on the class path.
    with zipfile.ZipFile(jars / "0-flink-yarn.jar", "w") as jar:
        for path in sorted(classes.rglob("*.class")):
            jar.write(path, path.relative_to(classes))


def write_hosts(path):
    """A file of host names for Java: nothing else is looked up, so that names are the same on every machine.

    Addresses that are not in it have no name, and are called what they are.
    """
    names = {"localhost", os.uname().nodename}
    write(path, "".join(f"127.0.0.1 {name}\n" for name in ["localhost", *sorted(names - {"localhost"})]))
