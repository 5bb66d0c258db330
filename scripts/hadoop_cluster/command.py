"""The commands of `scripts/hadoop`."""
import argparse
import getpass
import os
import shlex
import sys
import time

from . import archive, failover, installation, kerberos, owners
from .cluster import Cluster
from .failure import Failure
from .places import cache_folder
from .processes import MARK, state, usage
from .readiness import Readiness, tail
from .roles import roles
from .variants import DESCRIPTIONS, parse, show

# `scripts/hadoop hdfs dfs -ls /` and the like: programs of Hadoop's by the names that its own scripts give them.
PROGRAMS = {
    ("hadoop", "dtutil"): "org.apache.hadoop.security.token.DtUtilShell",
    ("hdfs", "dfs"): "org.apache.hadoop.fs.FsShell",
    ("hdfs", "dfsadmin"): "org.apache.hadoop.hdfs.tools.DFSAdmin",
    ("hdfs", "fsck"): "org.apache.hadoop.hdfs.tools.DFSck",
    ("hdfs", "haadmin"): "org.apache.hadoop.hdfs.tools.DFSHAAdmin",
    ("yarn", "application"): "org.apache.hadoop.yarn.client.cli.ApplicationCLI",
    ("yarn", "logs"): "org.apache.hadoop.yarn.client.cli.LogsCLI",
    ("yarn", "node"): "org.apache.hadoop.yarn.client.cli.NodeCLI",
    ("yarn", "queue"): "org.apache.hadoop.yarn.client.cli.QueueCLI",
    ("yarn", "rmadmin"): "org.apache.hadoop.yarn.client.cli.RMAdminCLI",
    ("yarn", "jar"): "org.apache.hadoop.util.RunJar",
}


def main(words):
    """Runs a command; its exit code."""
    arguments = _parser().parse_args(words)
    try:
        return arguments.run(arguments) or 0
    except Failure as failure:
        print(f"scripts/hadoop: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="scripts/hadoop", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Hadoop clusters of real daemons on loopback, for tests and for trying things out.",
        epilog="variants (combined with commas):\n" + "".join(f"  {name:<11} {text}\n" for name, text in DESCRIPTIONS.items()))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name, run, text=None, role=None, timeout=None):
        sub = commands.add_parser(name, help=text, description=text) if text else commands.add_parser(name)
        sub.add_argument("--name", default=None, help="which cluster; the variant's name is the default of `start`, "
                         "and the only one that runs that of the other commands")
        if role is not None:
            sub.add_argument("role", **{"metavar": "ROLE", **role})
        if timeout:
            sub.add_argument("--timeout", type=float, default=timeout, metavar="SECONDS", help=f"{timeout} by default")
        sub.set_defaults(run=run)
        return sub

    sub = command("start", _start, "start a cluster, or join the running one, and wait until it is ready", timeout=180)
    sub.add_argument("--variant", default="plain", help="plain by default")
    sub.add_argument("-D", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="a key of Hadoop's configuration")
    sub.add_argument("--rpc-protection", choices=kerberos.RPC_PROTECTIONS, help="of RPC, instead of all three, the client's choice, "
                     "and of block transfer, instead of privacy")
    sub.add_argument("--owner-pid", type=int, metavar="PID", help="end the cluster soon after this process")
    sub.add_argument("--idle-seconds", type=float, metavar="SECONDS", help="end it when no test has used it for so long")
    sub.add_argument("--fresh", action="store_true", help="without the data of earlier runs")
    sub = command("stop", _stop, "end a cluster, or one daemon in an orderly way", role={"nargs": "?"})
    sub.add_argument("--delete", action="store_true", help="remove its data, too")
    command("fetch", _fetch, "fetch Hadoop's jars where they are missing, which `start` does as well")
    command("status", _status, "show the clusters, or the daemons of one")
    sub = command("env", _env, "print what a client needs, for `eval`")
    sub.add_argument("--raw", action="store_true", help="plain lines NAME=VALUE")
    sub = command("kill", _kill, "end a daemon as a crash does", role={})
    sub.add_argument("--containers", action="store_true", help="with all containers of a NodeManager: a lost machine")
    command("pause", lambda it: _running(it).pause(it.role), "stop a daemon's clock", role={})
    command("resume", lambda it: _running(it).resume(it.role), "let a paused daemon go on", role={})
    command("restart", lambda it: _running(it).restart(it.role, it.timeout), "start a daemon again, and wait until it works",
            role={}, timeout=90)
    command("heal", lambda it: _running(it).heal(it.timeout), "undo all faults: nothing paused, nothing down", timeout=90)
    command("failover", _failover, "make the other `namenode` or `resourcemanager` active", role={}, timeout=90)
    command("tickets", _tickets, "fetch new Kerberos tickets for a user", role={"metavar": "USER"})
    sub = command("logs", _logs, "show the logs, or the end of one", role={"nargs": "?"})
    sub.add_argument("--lines", type=int, default=40)
    for name in ("hadoop", "hdfs", "yarn"):
        programs = ", ".join(program for group, program in PROGRAMS if group == name)
        sub = command(name, _program(name), f"run Hadoop's own `{name}`: {programs}")
        sub.add_argument("words", nargs=argparse.REMAINDER)
    command("watch", _watch).add_argument("--idle-seconds", type=float)
    command("archive", _archive)
    return parser


def _running(arguments):
    cluster = Cluster(_name(arguments))
    cluster.require_running()
    return cluster


def _name(arguments):
    if arguments.name:
        return arguments.name
    names = [name for name in _clusters() if Cluster(name).is_running()]
    if len(names) == 1:
        return names[0]
    raise Failure("no cluster runs: `scripts/hadoop start`" if not names else f"say which with --name: {', '.join(names)}")


def _clusters():
    folder = cache_folder() / "clusters"
    return sorted(path.parent.name for path in folder.glob("*/cluster.json"))


def _start(arguments):
    variants = parse(arguments.variant)
    overrides = {}
    for text in arguments.overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Failure(f"`{text}` is not KEY=VALUE")
        overrides[key] = value
    if arguments.rpc_protection:
        overrides["hadoop.rpc.protection"] = arguments.rpc_protection
        overrides.setdefault("dfs.data.transfer.protection", arguments.rpc_protection)
    name = arguments.name or show(variants).replace(",", "-")
    begin = time.monotonic()
    started = Cluster(name).start(variants, overrides, arguments.owner_pid, arguments.timeout, arguments.fresh,
                                  arguments.idle_seconds)
    done = f"ready after {time.monotonic() - begin:.1f} s" if started else "runs already"
    print(f"cluster {name} ({show(variants)}) {done}; eval \"$(scripts/hadoop env --name {name})\" for clients")


def _stop(arguments):
    if arguments.role:
        _running(arguments).end(arguments.role)
    elif arguments.name:
        Cluster(arguments.name).stop(arguments.delete)
    else:
        for name in _clusters():
            if arguments.delete or Cluster(name).is_running():
                Cluster(name).stop(arguments.delete)


def _status(arguments):
    names = [arguments.name] if arguments.name else _clusters()
    for name in names:
        cluster = Cluster(name)
        running = cluster.is_running()
        shown = show(cluster.variants) if cluster.record else "not there"
        print(f"{name}: {shown}, {'running' if running else 'stopped'}")
        if running:
            _show_daemons(cluster)
    if arguments.name:
        return 0 if running else 3
    return 0


def _show_daemons(cluster):
    alive = cluster.processes.alive()
    used = {name: usage(pid) for name, pid in alive.items()}
    for name in roles(cluster.variants):
        if name not in alive:
            print(f"  {name:<17} down")
            continue
        memory, seconds = used[name]
        paused = ", paused" if state(alive[name]) == "T" else ""
        print(f"  {name:<17} process {alive[name]}, {memory} MB resident, {seconds:.1f} s of CPU time{paused}")
    memory, seconds = (sum(column) for column in zip(*used.values()))
    print(f"  {'together':<17} {memory} MB, {seconds:.1f} s")


def _env(arguments):
    cluster = _running(arguments)
    client = cluster.places.conf / "client"
    found = {"HADOOP_CONF_DIR": client, "YARN_CONF_DIR": client, "HADOOP_CLUSTER_FOLDER": cluster.places.run,
             "HADOOP_CLUSTER_USER": getpass.getuser(), "HADOOP_CLUSTER_MARK": f"{MARK}={cluster.record['mark']}"}
    if "kerberos" in cluster.variants:
        found |= kerberos.environment(cluster.places, getpass.getuser())
        found["HADOOP_KEYTABS"] = cluster.places.kdc
    for role in roles(cluster.variants).values():
        for port, _ in role.ports:
            found[f"HADOOP_{role.name}_{port}".upper()] = cluster.address(role.name, port)
    for name, value in found.items():
        print(f"{name}={value}" if arguments.raw else f"export {name}={shlex.quote(str(value))}")


def _kill(arguments):
    _running(arguments).kill(arguments.role, arguments.containers)


def _failover(arguments):
    cluster = _running(arguments)
    print(f"{failover.change(cluster, Readiness(cluster), arguments.role, arguments.timeout)} is active")


def _tickets(arguments):
    cluster = _running(arguments)
    if "kerberos" not in cluster.variants:
        raise Failure("only a cluster with `--variant kerberos` has tickets")
    kerberos.Kdc(cluster.places, cluster.processes, cluster.record["ports"]["kdc"]).fetch_tickets(arguments.role)


def _logs(arguments):
    cluster = Cluster(_name(arguments))
    if arguments.role:
        print(tail(cluster.log(arguments.role), arguments.lines))
    else:
        for path in sorted(cluster.places.logs.glob("*.log")):
            print(path)


def _program(group):
    def run(arguments):
        cluster = _running(arguments)
        program, *words = arguments.words or [""]
        if (group, program) not in PROGRAMS:
            raise Failure(f"`{group} {program}` is not offered; there are "
                          f"{', '.join(program for name, program in PROGRAMS if name == group)}")
        # One class has several programs in it, and is told which.
        first = [program] if program == "application" else []
        command, environment = cluster.java_command([PROGRAMS[group, program], *first, *words])
        sys.stdout.flush()
        os.execvpe(command[0], command, environment)
    return run


def _watch(arguments):
    cluster = Cluster(arguments.name)
    owners.run(cluster.places, arguments.idle_seconds, lambda owned: cluster.stop(delete=False, owned=owned))


def _fetch(_):
    installation.find(frozenset())


def _archive(arguments):
    cluster = Cluster(arguments.name)
    archive.make(installation.find(cluster.variants), cluster.places)
