"""When a cluster, or a daemon that was started again, can be used."""
import time

from .failure import Failure
from .owners import WATCHDOG
from .roles import NODES, roles

NAME_NODE_STATUS = "/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus"
NAME_SYSTEM_STATE = "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
DATA_NODE = "/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo"
REGISTERED = b"Registered with ResourceManager as"


class Readiness:
    """Asks the daemons' web ports."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.web = cluster.web()

    def wait(self, conditions, seconds):
        """Waits for named conditions, and says what is missing when the time is over."""
        until = time.monotonic() + seconds
        missing = dict(conditions)
        while missing:
            missing = {what: condition for what, condition in missing.items() if not condition()}
            if missing:
                self.check_alive()
            if missing and time.monotonic() > until:
                raise Failure(f"not ready after {seconds:.0f} s: {'; '.join(missing)}\n{self._excerpts()}")
            if missing:
                time.sleep(0.1)

    def whole(self):
        """Conditions of a cluster that has just been started, for `wait`."""
        return {"HDFS has both nodes and is out of safe mode": self.hdfs_is_ready,
                "YARN has both nodes": self.yarn_is_ready}

    def of(self, role, log_begin):
        """Conditions of one daemon."""
        checks = {"namenode": lambda: self._name_node(role), "datanode": lambda: self._data_node(role),
                  "resourcemanager": lambda: self._resource_manager(role),
                  "nodemanager": lambda: self._node_manager(role, log_begin)}
        return {f"{role.name} works": checks[role.kind]}

    def hdfs_is_ready(self):
        """An active NameNode that has heard of everything."""
        active = self.active("namenode")
        return active is not None and self._operational(active)

    def yarn_is_ready(self):
        """An active ResourceManager with all nodes that run."""
        active = self.active("resourcemanager")
        return active is not None and self._has_nodes(active)

    def active(self, kind):
        """The name of the active NameNode or ResourceManager, or nothing."""
        found = [role.name for role in roles(self.cluster.variants).values() if role.kind == kind]
        return next((name for name in found if self.ha_state(name) == "active"), None)

    def ha_state(self, name):
        """`active`, `standby`, or nothing while there is no answer."""
        if name not in self.cluster.processes.alive():
            return None
        if name.startswith("namenode"):
            bean = self._bean(name, NAME_NODE_STATUS)
            return bean["State"] if bean else None
        answer = self.web.json(self.cluster.address(name, "web"), "/ws/v1/cluster/info")
        return answer["clusterInfo"]["haState"].lower() if answer else None

    def _bean(self, name, path):
        answer = self.web.json(self.cluster.address(name, "http"), path)
        return answer["beans"][0] if answer and answer.get("beans") else None

    def _operational(self, name):
        bean = self._bean(name, NAME_SYSTEM_STATE)
        return bool(bean) and bean["FSState"] == "Operational" and bean["NumLiveDataNodes"] >= self._running("datanode")

    def _has_nodes(self, name):
        answer = self.web.json(self.cluster.address(name, "web"), "/ws/v1/cluster/metrics")
        return bool(answer) and answer["clusterMetrics"]["activeNodes"] >= self._running("nodemanager")

    def _running(self, kind):
        alive = self.cluster.processes.alive()
        return sum(f"{kind}{number}" in alive for number in NODES)

    def _name_node(self, role):
        state = self.ha_state(role.name)
        return state == "standby" or (state == "active" and self._operational(role.name))

    def _data_node(self, role):
        bean = self._bean(role.name, DATA_NODE)
        actors = bean.get("BPServiceActorInfo", "") if bean else ""
        alive = self.cluster.processes.alive()
        masters = sum(name.startswith("namenode") for name in alive)
        return actors.count("RUNNING") >= masters

    def _resource_manager(self, role):
        state = self.ha_state(role.name)
        return state == "standby" or (state == "active" and self._has_nodes(role.name))

    def _node_manager(self, role, log_begin):
        # The ResourceManager goes on to believe in a NodeManager for a while, so the log is asked, which cannot be old.
        with open(self.cluster.log(role.name), "rb") as log:
            log.seek(log_begin)
            return REGISTERED in log.read()

    def check_alive(self):
        """Gives up at once when a daemon has ended."""
        # A watchdog that has ended a cluster ends, too, and a cluster that is kept has none.
        names = [name for name in self.cluster.processes.names() if name != WATCHDOG]
        ended = [name for name in names if self.cluster.processes.pid(name) is None]
        if ended:
            raise Failure(f"{', '.join(ended)} ended while the cluster was waited for\n{self._excerpts(ended)}")

    def _excerpts(self, names=None):
        names = names or self.cluster.processes.names()
        return "\n".join(f"--- end of {self.cluster.log(name)}\n{tail(self.cluster.log(name), 12)}" for name in names)


def tail(path, lines):
    """The last lines of a file."""
    try:
        with open(path, "rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 65_536))
            text = log.read().decode(errors="replace")
    except OSError:
        return "(there is no such file)"
    return "\n".join(line[:400] for line in text.splitlines()[-lines:])
