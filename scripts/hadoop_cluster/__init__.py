"""Hadoop clusters for tests: NameNodes, DataNodes, ResourceManagers and NodeManagers as processes of their own on loopback.

In reading order: `command` (what can be asked for), `cluster` (start, stop, faults), `variants` and `roles` (what there
is), `places` (folders and ports), `settings` and `site` (Hadoop's configuration), `installation` (jars and Java),
`processes` (what runs), `readiness` (when it is usable), `web` (HTTP), `kerberos`, `failover`, `owners` (when it ends).
"""
