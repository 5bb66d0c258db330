"""A cluster: started, disturbed, stopped."""
import getpass
import os
import shutil
import signal
import time
import urllib.parse

from . import archive, failover, installation, kerberos, labels, owners, places, site
from .failure import Failure
from .processes import MARK, Processes, kill_marked, wait_until
from .readiness import Readiness
from .roles import NODES, find, roles
from .settings import USERS, Settings
from .variants import show
from .web import Web


class Cluster:
    """What is known of the cluster of a name, whether it runs or not."""

    def __init__(self, name):
        self.places = places.Places(name)
        self.processes = Processes(self.places)
        self.record = self.places.read_record()

    # --- what it is ---

    @property
    def variants(self):
        """Its variants as a set."""
        return frozenset(self.record["variants"])

    def settings(self):
        """Its configuration."""
        return Settings(self.places, self.record, installation.find(self.variants))

    def address(self, role, port):
        """Host and port of a service."""
        host = dict(find(self.variants, role).ports)[port]
        named = "localhost" if "kerberos" in self.variants and host == "127.0.0.1" else host
        return f"{named}:{self.record['ports'][f'{role}.{port}']}"

    def log(self, name):
        """The log file of a daemon."""
        return self.places.logs / f"{name}.log"

    def web(self, user=None):
        """HTTP for a user; without one for whoever runs the command."""
        if "kerberos" in self.variants:
            return Web(environment=kerberos.environment(self.places, user or getpass.getuser()))
        return Web(user=user)

    def is_running(self):
        """Whether `start` has succeeded and `stop` has not been called."""
        return bool(self.record and self.record.get("running")) and bool(self.processes.alive())

    def require_running(self):
        """For commands that need a running cluster."""
        if not self.is_running():
            raise Failure(f"cluster {self.places.name} does not run: `scripts/hadoop start --name {self.places.name}` starts it")

    # --- start ---

    def start(self, variants, overrides, owner, timeout_seconds, fresh, idle_seconds=None):
        """Starts the cluster or joins the running one; true if it was started."""
        with self.places.locked():
            self.record = self.places.read_record()
            if self.is_running() and not fresh:
                self._check_same(variants, overrides)
                owners.add(self.places, owner)
                owners.watch(self.places, idle_seconds)
                self.heal(timeout_seconds)
                return False
            self._stop()
            if fresh:
                shutil.rmtree(self.places.run, ignore_errors=True)
                self.record = None
            self._prepare(variants, overrides)
            owners.add(self.places, owner)
            owners.watch(self.places, idle_seconds)
            try:
                self._start_daemons(timeout_seconds)
            except BaseException:
                self._stop()
                raise
            return True

    def _check_same(self, variants, overrides):
        if (variants, overrides) != (self.variants, self.record.get("overrides", {})):
            raise Failure(f"cluster {self.places.name} runs already, as {show(self.variants)} "
                          f"{self.record.get('overrides') or ''}: stop it, or choose another --name")

    def _prepare(self, variants, overrides):
        if self.record is None or variants != self.variants:
            shutil.rmtree(self.places.run, ignore_errors=True)  # data of another variant is of no use
            self.record = places.new_record(self.places.name, variants)
        self.record["overrides"] = overrides
        self.record["mark"] = places.new_mark()
        self.record["running"] = True
        self.places.run.mkdir(parents=True, exist_ok=True)
        self.places.run.chmod(0o700)  # keys and tokens are below
        shutil.rmtree(self.places.yarn, ignore_errors=True)  # no application outlives a cluster
        shutil.rmtree(self.places.run / "tmp", ignore_errors=True)
        (self.places.run / "tmp").mkdir()
        shutil.rmtree(self.places.run / "logs.before", ignore_errors=True)
        if self.places.logs.exists():
            self.places.logs.rename(self.places.run / "logs.before")
        with places.choosing_ports():
            self.record["ports"] = places.choose_ports(self.places.name, variants, self.record["ports"])
            self.places.write_record(self.record)

    def _start_daemons(self, timeout_seconds):
        until = time.monotonic() + timeout_seconds
        settings = self.settings()
        site.write_all(self.places, settings, self.variants)
        installation.write_hosts(self.places.run / "hosts")
        if "kerberos" in self.variants:
            kerberos.Kdc(self.places, self.processes, self.record["ports"]["kdc"]).start(self._mark())
        every = roles(self.variants)
        formatted = failover.has_name_folders(self)
        for role in every.values():
            if formatted or role.kind != "namenode":
                self._spawn(role, settings.installation)
        if not formatted:
            failover.make_name_folders(self)
            for role in every.values():
                if role.kind == "namenode":
                    self._spawn(role, settings.installation)
        readiness = Readiness(self)
        if "ha" in self.variants:
            failover.activate_missing(self, readiness, until)
        readiness.wait(readiness.whole(), max(1.0, until - time.monotonic()))
        self._make_folders()
        if "labels" in self.variants:
            labels.give(self, readiness)
        archive.make_in_background(settings.installation, self.places)

    def _spawn(self, role, found):
        flags = archive.flags(found, self.places, role)
        if role.kind in ("datanode", "nodemanager"):
            flags.append(f"-Dflinkyarn.node.address={NODES[role.number]}")
        log = self.log(role.name)
        begin = log.stat().st_size if log.exists() else 0
        self.processes.spawn(role.name, [*self._java(found, role.name, role.heap, flags), role.main],
                             self._environment(found, role), log, self.places.run)
        return begin

    def _java(self, found, conf, heap, flags):
        folder = self.places.conf / conf
        flags = [*flags, f"-Djava.io.tmpdir={self.places.run / 'tmp'}", f"-Djdk.net.hosts.file={self.places.run / 'hosts'}",
                 f"-Dlog4j.configuration=file:{folder / 'log4j.properties'}"]
        if "kerberos" in self.variants:
            flags.append(f"-Djava.security.krb5.conf={self.places.kdc / 'krb5.conf'}")
        return found.command(heap, flags, [self.places.run / "web", folder])

    def java_command(self, words, role=None):
        """Command line and environment of a program of Hadoop's: as the administrator of a daemon, or as a client."""
        found = installation.find(self.variants)
        command = self._java(found, role.name if role else "client", "384m", archive.flags(found, self.places, None))
        environment = dict(os.environ) | {"HADOOP_CONF_DIR": str(self.places.conf / "client")}
        if "kerberos" in self.variants:
            user = role.user if role else os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
            environment |= kerberos.environment(self.places, user)
        elif role:
            environment["HADOOP_USER_NAME"] = role.user
        return [*command, *words], environment

    def _mark(self):
        return {MARK: self.record["mark"]}

    def _environment(self, found, role):
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "USER", "LOGNAME", "TMPDIR", "TZ") if name in os.environ}
        keep |= self._mark() | {"JAVA_HOME": str(found.java_home), "HADOOP_CONF_DIR": str(self.places.conf / role.name)}
        if "kerberos" in self.variants:
            return keep | {"KRB5_CONFIG": str(self.places.kdc / "krb5.conf")}
        return keep | {"HADOOP_USER_NAME": role.user}

    def _make_folders(self):
        if self.record.get("folders"):
            return
        me = getpass.getuser()
        wanted = [("/tmp", "1777", "hdfs", "supergroup"), ("/user", "755", "hdfs", "supergroup"),
                  ("/app-logs", "1777", "yarn", "hadoop")]
        wanted += [(f"/user/{user}", "755", user, "staff") for user in dict.fromkeys([me, *USERS])]
        if "mapreduce" in self.variants:
            wanted += [("/tmp/hadoop-yarn", "1777", "yarn", "hadoop")]
        for path, mode, owner, group in wanted:
            self._as_superuser(path, op="MKDIRS", permission=mode)
            self._as_superuser(path, op="SETPERMISSION", permission=mode)  # the first is cut by the umask
            self._as_superuser(path, op="SETOWNER", owner=owner, group=group)
        self.record["folders"] = True
        self.places.write_record(self.record)

    def _as_superuser(self, path, **query):
        active = Readiness(self).active("namenode") or "namenode"
        url = f"http://{self.address(active, 'http')}/webhdfs/v1{path}?{urllib.parse.urlencode(query)}"
        # Each of these may be done twice, and a busy machine may need longer than one call waits.
        if not wait_until(lambda: self.web("hdfs").call("PUT", url) is not None, 30, 0.5):
            raise Failure(f"WebHDFS refused {query['op']} of {path}; see {self.log(active)}")

    # --- faults ---

    def kill(self, name, containers):
        """Ends a daemon at once, as a crash does; with its containers, as when its machine is lost."""
        role = find(self.variants, name)
        self.processes.kill([name])
        if containers:
            if role.kind != "nodemanager":
                raise Failure("only a NodeManager has containers")
            kill_marked(self.record["mark"], self.processes.alive().values(), f"NM_HOST={dict(role.ports)['rpc']}")

    def pause(self, name):
        """Stops a daemon's clock: its connections stay open and nothing answers."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name):
        """Ends a pause."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name, number):
        find(self.variants, name)
        if not self.processes.signal(name, number):
            raise Failure(f"{name} does not run: `scripts/hadoop restart {name} --name {self.places.name}` starts it")

    def end(self, name):
        """Asks a daemon to end."""
        find(self.variants, name)
        self.processes.end(name, 15)

    def restart(self, name, timeout_seconds):
        """Starts a daemon again, after an orderly end if it runs, and waits until it works."""
        role = find(self.variants, name)
        self.processes.end(name, 15)
        begin = self._spawn(role, installation.find(self.variants))
        readiness = Readiness(self)
        readiness.wait(readiness.of(role, begin), timeout_seconds)

    def heal(self, timeout_seconds):
        """Undoes faults: paused daemons go on, ended ones are started, and the whole is waited for."""
        found = installation.find(self.variants)
        for name, role in roles(self.variants).items():
            self.processes.signal(name, signal.SIGCONT)
            if self.processes.pid(name) is None:
                self._spawn(role, found)
        until = time.monotonic() + timeout_seconds
        readiness = Readiness(self)
        if "ha" in self.variants:
            failover.activate_missing(self, readiness, until)
        readiness.wait(readiness.whole(), max(1.0, until - time.monotonic()))

    # --- stop ---

    def stop(self, delete, owned=True):
        """Ends everything that belongs to the cluster; without `owned` only if nobody owns it. Whether it did."""
        with self.places.locked():
            if not owned and owners.living(self.places):
                return False  # joined at the last moment
            self.record = self.places.read_record()
            self._stop()
            if delete:
                shutil.rmtree(self.places.run, ignore_errors=True)
            return True

    def _stop(self):
        # Killed, not asked: nothing is lost that a test cluster must keep, and the end of a JVM takes seconds.
        alive = [name for name in self.processes.names() if name != owners.WATCHDOG]
        self.processes.kill(alive)
        if self.record:
            kill_marked(self.record["mark"])
            self.record["running"] = False
            self.places.write_record(self.record)
        shutil.rmtree(self.places.owners, ignore_errors=True)
        owners.end_watch(self.processes)
