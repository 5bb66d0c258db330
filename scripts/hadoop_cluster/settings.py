"""Hadoop's configuration for each variant, as plain dictionaries: what differs from Hadoop's own defaults, and why."""
import getpass

from . import kerberos
from .roles import MASTER, NODES, roles

NAME_SERVICE = "cluster"
QUEUES = ("default", "other")
USERS = ("alice", "bob")
LABEL = "fast"
LABELLED_NODE = 1


class Settings:
    """The site files of one cluster."""

    def __init__(self, places, record, installation):
        self.places = places
        self.variants = frozenset(record["variants"])
        self.ports = record["ports"]
        self.overrides = record.get("overrides", {})
        self.installation = installation
        # Kerberos names services by host, and 127.0.0.1 is nobody's name.
        self.host = "localhost" if "kerberos" in self.variants else MASTER

    def at(self, role, port):
        """The address of a port of a role."""
        host = dict(roles(self.variants)[role].ports)[port]
        return f"{self.host if host == MASTER else host}:{self.ports[f'{role}.{port}']}"

    def files(self, role=None):
        """File name to keys and values, for a daemon or for clients."""
        found = {
            "core-site.xml": self._core(role),
            "hdfs-site.xml": self._hdfs(role),
            "yarn-site.xml": self._yarn(role),
            "mapred-site.xml": self._mapred(role),
            "hadoop-policy.xml": {},
            "capacity-scheduler.xml": self._queues(),
        }
        for key, value in self.overrides.items():
            for name, keys in found.items():
                if (name == "capacity-scheduler.xml") == key.startswith("yarn.scheduler.capacity."):
                    keys[key] = value
        return found

    def _core(self, role):
        keys = {
            "fs.defaultFS": f"hdfs://{NAME_SERVICE}" if "ha" in self.variants else f"hdfs://{self.at('namenode', 'rpc')}",
            "hadoop.tmp.dir": self.places.run / "tmp",
            # Users of tests need not exist on this machine.
            "hadoop.user.group.static.mapping.overrides": _groups(),
            "hadoop.proxyuser.yarn.hosts": "*",
            "hadoop.proxyuser.yarn.groups": "*",
        }
        if role is not None:
            # Daemons start at the same time: they try again soon, for as long as a busy machine may need.
            keys |= {"ipc.client.connect.max.retries": 300, "ipc.client.connect.retry.interval": 100}
        if role and role.kind in ("datanode", "nodemanager"):
            keys["hadoop.rpc.socket.factory.class.default"] = "flinkyarn.tests.NodeSocketFactory"
        if "kerberos" in self.variants:
            keys |= kerberos.core(self.places)
        return keys

    def _hdfs(self, role):
        keys = {
            "dfs.replication": 2,
            "dfs.namenode.fs-limits.min-block-size": 4096,
            "dfs.permissions.superusergroup": "supergroup",
            # Nodes have no other name than their address.
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            # A node counts as stale after 3 s and as dead after 2 * 1 s + 10 * 1 s.
            "dfs.heartbeat.interval": "1s",
            "dfs.namenode.heartbeat.recheck-interval": "1000",
            "dfs.namenode.stale.datanode.interval": "3000",
            "dfs.namenode.safemode.extension": "0",
            "dfs.namenode.redundancy.interval.seconds": "1s",
            "dfs.namenode.handler.count": 5,
            "dfs.datanode.handler.count": 4,
            "dfs.datanode.du.reserved": 0,
        }
        keys |= self._name_nodes(role)
        if role and role.kind == "datanode":
            keys |= {
                "dfs.datanode.data.dir": f"file://{self.places.data / role.name}",
                "dfs.datanode.hostname": NODES[role.number],
                "dfs.datanode.address": self.at(role.name, "data"),
                "dfs.datanode.http.address": self.at(role.name, "http"),
                "dfs.datanode.ipc.address": self.at(role.name, "ipc"),
            }
        if "tokens" in self.variants:
            keys |= {
                "dfs.namenode.delegation.token.max-lifetime": 150_000,
                "dfs.namenode.delegation.token.renew-interval": 30_000,
                "dfs.namenode.delegation.key.update-interval": 120_000,
                "dfs.block.access.token.lifetime": 1,
                "dfs.block.access.key.update.interval": 1,
            }
        if "kerberos" in self.variants:
            keys |= kerberos.hdfs(self.places)
        return keys

    def _name_nodes(self, role):
        keys = {}
        if role and role.kind == "namenode":
            keys["dfs.namenode.name.dir"] = f"file://{self.places.data / role.name}"
        if "ha" not in self.variants:
            return keys | {"dfs.namenode.http-address": self.at("namenode", "http")}
        keys |= {
            "dfs.nameservices": NAME_SERVICE,
            f"dfs.ha.namenodes.{NAME_SERVICE}": "nn1,nn2",
            f"dfs.client.failover.proxy.provider.{NAME_SERVICE}":
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
            "dfs.namenode.shared.edits.dir": f"file://{self.places.data / 'edits'}",
            "dfs.ha.automatic-failover.enabled": "false",
            # Tests fail over by hand: whoever does so has seen to the other one.
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.tail-edits.period": "1s",
            "dfs.ha.log-roll.period": "10s",
        }
        for number, name in ((1, "namenode"), (2, "namenode2")):
            keys[f"dfs.namenode.rpc-address.{NAME_SERVICE}.nn{number}"] = self.at(name, "rpc")
            keys[f"dfs.namenode.http-address.{NAME_SERVICE}.nn{number}"] = self.at(name, "http")
        if role and role.kind == "namenode":
            keys["dfs.ha.namenode.id"] = f"nn{role.number}"
        return keys

    def _yarn(self, role):
        memory_mb = 4096
        keys = {
            "yarn.resourcemanager.scheduler.class":
                "org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacityScheduler",
            "yarn.scheduler.minimum-allocation-mb": 64,
            "yarn.scheduler.maximum-allocation-mb": 2 * memory_mb if "limits" in self.variants else memory_mb,
            "yarn.scheduler.maximum-allocation-vcores": 8,
            "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 100,
            "yarn.resourcemanager.am.max-attempts": 2,
            "yarn.resourcemanager.am.global.max-attempts": 4,
            "yarn.am.liveness-monitor.expiry-interval-ms": 10_000,
            "yarn.nm.liveness-monitor.expiry-interval-ms": 10_000,
            "yarn.resourcemanager.connect.retry-interval.ms": 200,
            "yarn.resourcemanager.max-completed-applications": 200,
            "yarn.cluster.max-application-priority": 10,
            "yarn.acl.enable": "true",
            "yarn.admin.acl": "yarn",
            "yarn.webapp.ui2.enable": "false",
            "yarn.log-aggregation-enable": "true",
            "yarn.nodemanager.remote-app-log-dir": "/app-logs",
            "yarn.application.classpath": f"{self.places.conf / 'client'},{self.installation.jars_pattern()}",
        }
        keys |= self._resource_managers(role)
        if role and role.kind == "resourcemanager":
            keys |= {
                "yarn.resourcemanager.recovery.enabled": "true",
                "yarn.resourcemanager.work-preserving-recovery.enabled": "true",
                "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": 1000,
                "yarn.resourcemanager.store.class":
                    "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore",
                "yarn.resourcemanager.fs.state-store.uri": f"file://{self.places.yarn / 'state'}",
            }
        if role and role.kind == "nodemanager":
            keys |= self._node_manager(role, memory_mb)
        if "preemption" in self.variants:
            policy = "yarn.resourcemanager.monitor.capacity.preemption."
            keys |= {
                "yarn.resourcemanager.scheduler.monitor.enable": "true",
                f"{policy}monitoring_interval": 500,
                f"{policy}max_wait_before_kill": 3000,
                f"{policy}total_preemption_per_round": 1.0,
                f"{policy}natural_termination_factor": 1.0,
                f"{policy}max_ignored_over_capacity": 0.0,
            }
        if "labels" in self.variants:
            keys |= {
                "yarn.node-labels.enabled": "true",
                "yarn.node-labels.fs-store.root-dir": f"file://{self.places.yarn / 'labels'}",
            }
        if "tokens" in self.variants:
            # The least that YARN takes: three times the time after which a silent ApplicationMaster is given up.
            keys |= {
                "yarn.resourcemanager.am-rm-tokens.master-key-rolling-interval-secs": 31,
                "yarn.resourcemanager.nm-tokens.master-key-rolling-interval-secs": 31,
                "yarn.resourcemanager.container-tokens.master-key-rolling-interval-secs": 31,
                "yarn.resourcemanager.delegation.token.max-lifetime": 180_000,
                "yarn.resourcemanager.delegation.token.renew-interval": 60_000,
                "yarn.resourcemanager.delegation.key.update-interval": 120_000,
                # The ResourceManager replaces a token by one of its own, and renews it no more, this long before its end:
                # by default three hours, which here would be at once.
                "yarn.resourcemanager.system-credentials.valid-time-remaining": 30_000,
            }
        if "kerberos" in self.variants:
            keys |= kerberos.yarn(self.places, NODES[role.number] if role and role.kind == "nodemanager" else "_HOST")
        return keys

    def _resource_managers(self, role):
        purposes = {"address": "client", "scheduler.address": "scheduler", "resource-tracker.address": "tracker",
                    "admin.address": "admin", "webapp.address": "web"}
        if "ha" not in self.variants:
            keys = {f"yarn.resourcemanager.{key}": self.at("resourcemanager", port) for key, port in purposes.items()}
            return keys | {"yarn.resourcemanager.hostname": self.host}
        keys = {
            "yarn.resourcemanager.ha.enabled": "true",
            "yarn.resourcemanager.ha.automatic-failover.enabled": "false",
            "yarn.resourcemanager.ha.rm-ids": "rm1,rm2",
            "yarn.resourcemanager.cluster-id": NAME_SERVICE,
            "yarn.client.failover-sleep-base-ms": 100,
            "yarn.client.failover-sleep-max-ms": 1000,
        }
        for number, name in ((1, "resourcemanager"), (2, "resourcemanager2")):
            keys[f"yarn.resourcemanager.hostname.rm{number}"] = self.host
            for key, port in purposes.items():
                keys[f"yarn.resourcemanager.{key}.rm{number}"] = self.at(name, port)
        if role and role.kind == "resourcemanager":
            keys["yarn.resourcemanager.ha.id"] = f"rm{role.number}"
        return keys

    def _node_manager(self, role, memory_mb):
        folder = self.places.yarn / role.name
        environment = ("JAVA_HOME", "HADOOP_CONF_DIR", "PATH", "LANG", "FLINK_YARN_TEST_CLUSTER", "KRB5_CONFIG")
        keys = {
            "yarn.nodemanager.hostname": NODES[role.number],
            "yarn.nodemanager.address": self.at(role.name, "rpc"),
            "yarn.nodemanager.localizer.address": self.at(role.name, "localizer"),
            "yarn.nodemanager.webapp.address": self.at(role.name, "web"),
            "yarn.nodemanager.collector-service.address": self.at(role.name, "collector"),
            "yarn.nodemanager.local-dirs": folder / "local",
            "yarn.nodemanager.log-dirs": folder / "logs",
            "yarn.nodemanager.resource.memory-mb": memory_mb,
            "yarn.nodemanager.resource.cpu-vcores": 8,
            "yarn.nodemanager.env-whitelist": ",".join(environment),
            # Containers outlive their NodeManager, whichever way it ends.
            "yarn.nodemanager.recovery.enabled": "false" if "no-recovery" in self.variants else "true",
            "yarn.nodemanager.recovery.supervised": "true",
            "yarn.nodemanager.recovery.dir": folder / "recovery",
            # Without the third key the check of physical memory is left to cgroups, which are not there.
            "yarn.nodemanager.pmem-check-enabled": "true",
            "yarn.nodemanager.vmem-check-enabled": "true" if "memory" in self.variants else "false",
            "yarn.nodemanager.resource.memory.enforced": "false",
            "yarn.nodemanager.container-monitor.interval-ms": 500,
            "yarn.nodemanager.container-metrics.enable": "false",
            "yarn.nodemanager.sleep-delay-before-sigkill.ms": 250,
            # A nearly full disk is no reason to give a test node up; the check at the start cannot be switched off.
            "yarn.nodemanager.disk-health-checker.enable": "false",
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
        }
        if "mapreduce" in self.variants:
            keys |= {
                "yarn.nodemanager.aux-services": "mapreduce_shuffle",
                "yarn.nodemanager.aux-services.mapreduce_shuffle.class": "org.apache.hadoop.mapred.ShuffleHandler",
            }
        return keys

    def _mapred(self, role):
        if "mapreduce" not in self.variants:
            return {}
        log = f"-Dlog4j.configuration=file:{self.places.conf / 'client'}/log4j.properties"
        options = f"-XX:+UseSerialGC -XX:TieredStopAtLevel=1 {log}"
        keys = {
            "mapreduce.framework.name": "yarn",
            "mapreduce.application.classpath": self.installation.jars_pattern(),
            "yarn.app.mapreduce.am.staging-dir": "/user",
            "mapreduce.jobhistory.intermediate-done-dir": "/tmp/hadoop-yarn/done",
            "yarn.app.mapreduce.am.resource.mb": 512,
            "yarn.app.mapreduce.am.command-opts": f"-Xmx256m {options}",
            "mapreduce.map.memory.mb": 512,
            "mapreduce.reduce.memory.mb": 512,
            "mapreduce.map.java.opts": "-Xmx320m -XX:+UseSerialGC",
            "mapreduce.reduce.java.opts": "-Xmx320m -XX:+UseSerialGC",
        }
        if role and role.kind == "nodemanager":
            keys["mapreduce.shuffle.port"] = self.ports[f"{role.name}.shuffle"]
        return keys

    def _queues(self):
        prefix = "yarn.scheduler.capacity."
        keys = {
            f"{prefix}root.queues": ",".join(QUEUES),
            f"{prefix}resource-calculator": "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator",
            f"{prefix}maximum-am-resource-percent": 0.5,
            f"{prefix}node-locality-delay": 4,
            f"{prefix}root.acl_submit_applications": " ",
            f"{prefix}root.acl_administer_queue": " ",
        }
        is_limited = "limits" in self.variants
        for queue, share, most in (("default", 60, 100), ("other", 40, 40 if is_limited else 100)):
            keys |= {
                f"{prefix}root.{queue}.capacity": share,
                f"{prefix}root.{queue}.maximum-capacity": most,
                # One user may fill the cluster while nobody else wants it; by default, the queue's share.
                f"{prefix}root.{queue}.user-limit-factor": 1 if is_limited else 3,
                f"{prefix}root.{queue}.acl_submit_applications": "*",
                f"{prefix}root.{queue}.acl_administer_queue": " ",
            }
        if "labels" in self.variants:
            with_label = f"accessible-node-labels.{LABEL}."
            keys |= {
                f"{prefix}root.{with_label}capacity": 100,
                f"{prefix}root.default.accessible-node-labels": LABEL,
                f"{prefix}root.default.{with_label}capacity": 100,
                f"{prefix}root.default.{with_label}maximum-am-resource-percent": 0.5,
                f"{prefix}root.other.accessible-node-labels": " ",
            }
        return keys


def _groups():
    groups = {"hdfs": "supergroup", "yarn": "hadoop", "dr.who": "nobody"}
    groups |= {name: "staff" for name in (getpass.getuser(), *USERS)}
    return ";".join(f"{name}={group}" for name, group in groups.items())
