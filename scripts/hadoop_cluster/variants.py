"""What clusters there are. Variants can be combined: `--variant kerberos,tokens`."""
from .failure import Failure

DESCRIPTIONS = {
    "plain": "one NameNode, one ResourceManager, two nodes, no security; physical memory is enforced",
    "limits": "users, and the queue `other`, have no more than the queue's share; containers may be larger than nodes",
    "memory": "the virtual memory of containers is checked as well, with Hadoop's default ratio",
    "no-recovery": "a NodeManager that was started again knows no containers, as is Hadoop's default",
    "preemption": "the scheduler takes containers from queues above their share, after a warning",
    "labels": "the node 127.0.0.2 has the label `fast`, for those alone who ask for it, in the queue `default`",
    "tokens": "tokens roll over, are renewed and end within minutes",
    "kerberos": "a private KDC; all daemons and HTTP with Kerberos; block transfer encrypted",
    "ha": "two NameNodes and two ResourceManagers with manual failover",
    "mapreduce": "MapReduce's jars and shuffle service, for comparisons (its port listens on every interface)",
}


def parse(text):
    """The set of variants that a user has named; plain is what is left when none is."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    for name in sorted(names - DESCRIPTIONS.keys()):
        known = "".join(f"\n  {known:<11} {meaning}" for known, meaning in DESCRIPTIONS.items())
        raise Failure(f"there is no variant `{name}`; there are:{known}")
    return frozenset(names - {"plain"})


def show(variants):
    """The inverse of `parse`, the same for the same set."""
    return ",".join(sorted(variants)) or "plain"
