"""The daemons of a cluster by name."""
from dataclasses import dataclass

from .failure import Failure

MASTER = "127.0.0.1"
# Addresses that count as hosts of their own; all of 127/8 is loopback on Linux.
NODES = {1: "127.0.0.2", 2: "127.0.0.3"}


@dataclass(frozen=True)
class Role:
    """A daemon: its name, program, heap and ports (name and address of each)."""

    name: str
    kind: str
    number: int
    main: str
    heap: str
    user: str
    ports: tuple


def _name_node(number):
    main = "org.apache.hadoop.hdfs.server.namenode.NameNode"
    ports = (("rpc", MASTER), ("http", MASTER))
    return Role(_numbered("namenode", number), "namenode", number, main, "192m", "hdfs", ports)


def _data_node(number):
    main = "org.apache.hadoop.hdfs.server.datanode.DataNode"
    ports = tuple((port, NODES[number]) for port in ("data", "http", "ipc"))
    return Role(f"datanode{number}", "datanode", number, main, "160m", "hdfs", ports)


def _resource_manager(number):
    main = "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"
    ports = tuple((port, MASTER) for port in ("client", "scheduler", "tracker", "admin", "web"))
    return Role(_numbered("resourcemanager", number), "resourcemanager", number, main, "256m", "yarn", ports)


def _node_manager(number):
    main = "org.apache.hadoop.yarn.server.nodemanager.NodeManager"
    ports = tuple((port, NODES[number]) for port in ("rpc", "localizer", "web", "collector", "shuffle"))
    return Role(f"nodemanager{number}", "nodemanager", number, main, "192m", "yarn", ports)


def _numbered(name, number):
    return name if number == 1 else f"{name}{number}"


def roles(variants):
    """All daemons of a cluster by name, in the order in which they are needed."""
    masters = (1, 2) if "ha" in variants else (1,)
    found = [_name_node(number) for number in masters]
    found += [_resource_manager(number) for number in masters]
    found += [_data_node(number) for number in NODES]
    found += [_node_manager(number) for number in NODES]
    return {role.name: role for role in found}


def find(variants, name):
    """The daemon of a name."""
    known = roles(variants)
    if name not in known:
        raise Failure(f"there is no role `{name}` in this cluster; there are {', '.join(known)}")
    return known[name]
