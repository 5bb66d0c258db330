"""Labels of nodes, which the ResourceManager keeps and an administrator gives."""
from .failure import Failure
from .processes import wait_until
from .roles import NODES
from .settings import LABEL, LABELLED_NODE


def give(cluster, readiness):
    """Makes the label known and gives it to its node; both may be done twice."""
    active = readiness.active("resourcemanager") or "resourcemanager"
    base = f"http://{cluster.address(active, 'web')}/ws/v1/cluster"
    steps = [
        ("add-node-labels", {"nodeLabelInfo": [{"name": LABEL, "exclusivity": True}]}),
        ("replace-node-to-labels", {"nodeToLabels": [{"nodeId": NODES[LABELLED_NODE], "labels": [LABEL]}]}),
    ]
    web = cluster.web("yarn")
    for path, content in steps:
        # A ResourceManager that has just begun may be busy.
        if not wait_until(lambda: web.call("POST", f"{base}/{path}", content) is not None, 30, 0.5):
            raise Failure(f"the ResourceManager refused {path}; see {cluster.log(active)}")
