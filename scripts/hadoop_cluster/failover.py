"""Name folders, and which of two masters is active."""
import shutil
import subprocess
import time

from .failure import Failure
from .roles import find, roles

NAME_NODE_ADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
RESOURCE_MANAGER_ADMIN = "org.apache.hadoop.yarn.client.cli.RMAdminCLI"
_KINDS = {"namenode": ("nn", NAME_NODE_ADMIN), "resourcemanager": ("rm", RESOURCE_MANAGER_ADMIN)}


def has_name_folders(cluster):
    """Whether HDFS has been formatted."""
    name_nodes = [role for role in roles(cluster.variants).values() if role.kind == "namenode"]
    return all((cluster.places.data / role.name / "current" / "VERSION").exists() for role in name_nodes)


def make_name_folders(cluster):
    """Formats HDFS; a second NameNode gets a copy, which is all that Hadoop's own bootstrap does."""
    shutil.rmtree(cluster.places.data, ignore_errors=True)
    first = find(cluster.variants, "namenode")
    run_java(cluster, first, [first.main, "-format", "-nonInteractive", "-force"], "format")
    if "ha" in cluster.variants:
        shutil.copytree(cluster.places.data / "namenode", cluster.places.data / "namenode2")


def activate_missing(cluster, readiness, until):
    """Makes a master of each kind active where none is: both stand by after their start."""
    missing = set(_KINDS)
    while missing:
        children = {}
        for kind in sorted(missing):
            states = _states(cluster, readiness, kind)
            if "active" in states.values():
                missing.remove(kind)
            elif None not in states.values():
                first = _service(cluster, kind, next(iter(states)))
                children[kind] = _admin(cluster, kind, ["-transitionToActive", "--forceactive", first])
        # A daemon tells its state before it takes calls: one that refuses is asked again.
        said = {kind: _finish(child)[1] for kind, child in children.items()}
        readiness.check_alive()
        if missing and time.monotonic() > until:
            raise Failure(f"{', '.join(sorted(missing))} did not become active in time {said or ''}")
        time.sleep(0.1)


def _states(cluster, readiness, kind):
    return {role.name: readiness.ha_state(role.name) for role in roles(cluster.variants).values() if role.kind == kind}


def change(cluster, readiness, kind, timeout_seconds):
    """Makes the other master active and says which that is."""
    if "ha" not in cluster.variants or kind not in _KINDS:
        raise Failure("failover is for `namenode` and `resourcemanager` of a cluster with `--variant ha`")
    states = _states(cluster, readiness, kind)
    before = next((name for name, state in states.items() if state == "active"), None)
    after = next((name for name, state in states.items() if state == "standby"), None)
    if after is None:
        shown = ", ".join(f"{name} {state or 'does not answer'}" for name, state in states.items())
        raise Failure(f"no {kind} stands by: {shown}")
    if before:
        _call(cluster, kind, ["-transitionToStandby", _service(cluster, kind, before)])
    else:
        # One that does not answer may still believe that it is active, and would write when it wakes up.
        cluster.processes.kill([name for name, state in states.items() if state is None and cluster.processes.pid(name)])
    _call(cluster, kind, ["-transitionToActive", "--forceactive", _service(cluster, kind, after)])
    ready = readiness.hdfs_is_ready if kind == "namenode" else readiness.yarn_is_ready
    readiness.wait({f"{after} is active": ready}, timeout_seconds)
    return after


def _service(cluster, kind, name):
    return f"{_KINDS[kind][0]}{find(cluster.variants, name).number}"


def _call(cluster, kind, words):
    code, said = _finish(_admin(cluster, kind, words))
    if code != 0:
        raise Failure(f"`{' '.join(words)}` failed:\n{said}")


def _finish(child):
    try:
        said, _ = child.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        said, _ = child.communicate()
    return child.returncode, said[-2000:]


def _admin(cluster, kind, words):
    command, environment = cluster.java_command([_KINDS[kind][1], *words], find(cluster.variants, kind))
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def run_java(cluster, role, words, log_name):
    """Runs a program of Hadoop's with the configuration of a daemon, to its end."""
    command, environment = cluster.java_command(words, role)
    log = cluster.log(log_name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                              stderr=subprocess.STDOUT, timeout=120, check=False)
    if done.returncode != 0:
        raise Failure(f"`{' '.join(words)}` failed; see {log}:\n{log.read_text(errors='replace')[-2000:]}")
