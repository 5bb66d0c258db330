"""A private Kerberos realm on loopback: its KDC, its principals, and what Hadoop has to know of them."""
import getpass
import json
import os
import secrets
import shutil
import socket
import subprocess

from .failure import Failure
from .places import write
from .processes import wait_until
from .roles import MASTER, NODES

REALM = "FLINK.TEST"
# Each service has a principal and a key of its own. HTTP is asked for by the name or address in a URL.
SERVICES = {"nn": ("localhost",), "dn": tuple(NODES.values()), "rm": ("localhost",), "nm": tuple(NODES.values()),
            "HTTP": ("localhost", MASTER, *NODES.values())}
RPC_PROTECTIONS = ("authentication", "integrity", "privacy")


def users():
    """Those who have a ticket: whoever runs the cluster, two strangers, and the administrators."""
    return list(dict.fromkeys([getpass.getuser(), "alice", "bob", "hdfs", "yarn"]))


def keytab(places, name):
    """The file with the keys of a service or user."""
    return places.kdc / f"{name}.keytab"


def tickets(places, user):
    """The ticket cache of a user."""
    return places.kdc / f"{user}.tickets"


def environment(places, user):
    """What a process of a user needs in its environment."""
    return {"KRB5_CONFIG": str(places.kdc / "krb5.conf"), "KRB5CCNAME": f"FILE:{tickets(places, user)}"}


def core(places):
    """Keys of core-site.xml."""
    http = "hadoop.http.authentication."
    return {
        "hadoop.security.authentication": "kerberos",
        "hadoop.security.authorization": "true",
        "hadoop.rpc.protection": ",".join(RPC_PROTECTIONS),
        "hadoop.security.auth_to_local": "RULE:[2:$1](nn|dn)s/.*/hdfs/ RULE:[2:$1](rm|nm)s/.*/yarn/ DEFAULT",
        "hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer",
        f"{http}type": "kerberos",
        f"{http}kerberos.principal": "*",
        f"{http}kerberos.keytab": keytab(places, "HTTP"),
        f"{http}signature.secret.file": places.kdc / "http-secret",
        f"{http}simple.anonymous.allowed": "false",
    }


def hdfs(places):
    """Keys of hdfs-site.xml."""
    return {
        "dfs.block.access.token.enable": "true",
        "dfs.namenode.kerberos.principal": f"nn/_HOST@{REALM}",
        "dfs.namenode.keytab.file": keytab(places, "nn"),
        "dfs.namenode.kerberos.internal.spnego.principal": "*",
        "dfs.datanode.kerberos.principal": f"dn/_HOST@{REALM}",
        "dfs.datanode.keytab.file": keytab(places, "dn"),
        "dfs.web.authentication.kerberos.principal": "*",
        "dfs.web.authentication.kerberos.keytab": keytab(places, "HTTP"),
        "dfs.data.transfer.protection": "privacy",
        "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
        # Ports below 1024 or HTTPS would be asked for.
        "ignore.secure.ports.for.testing": "true",
    }


def yarn(places, node="_HOST"):
    """Keys of yarn-site.xml; a NodeManager takes the machine's name for its own, and must be told which `node` it is."""
    web = {}
    for daemon in ("resourcemanager", "nodemanager"):
        web[f"yarn.{daemon}.webapp.spnego-principal"] = "*"
        web[f"yarn.{daemon}.webapp.spnego-keytab-file"] = keytab(places, "HTTP")
    return web | {
        "yarn.resourcemanager.principal": f"rm/_HOST@{REALM}",
        "yarn.resourcemanager.keytab": keytab(places, "rm"),
        "yarn.nodemanager.principal": f"nm/{node}@{REALM}",
        "yarn.nodemanager.keytab": keytab(places, "nm"),
        # Without these a ResourceManager cannot renew or replace a user's tokens.
        "yarn.resourcemanager.proxy-user-privileges.enabled": "true",
    }


class Kdc:
    """The daemon that gives out tickets."""

    def __init__(self, places, processes, port):
        self.places = places
        self.processes = processes
        self.port = port
        folder = places.kdc
        self.environment = {**os.environ, "KRB5_CONFIG": str(folder / "krb5.conf"),
                            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
                            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}

    def start(self, mark):
        """Makes the realm where there is none, starts the daemon and fetches everybody's tickets."""
        for program, package in (("krb5kdc", "krb5-kdc"), ("kadmin.local", "krb5-admin-server"), ("kinit", "krb5-user")):
            if not shutil.which(program, path=self.environment["PATH"]):
                raise Failure(f"`{program}` is missing, which the variant kerberos needs (Debian: apt-get install {package})")
        self._configure()
        self._make_realm()
        program = shutil.which("krb5kdc", path=self.environment["PATH"])
        self.processes.spawn("kdc", [program, "-n"], {**self.environment, **mark}, self.places.logs / "kdc.log",
                             self.places.kdc)
        if not wait_until(self._answers, 20):
            raise Failure(f"the KDC does not answer; see {self.places.logs / 'kdc.log'}")
        for user in users():
            self.fetch_tickets(user)

    def fetch_tickets(self, user):
        """A new ticket for a user, from the key."""
        self._run(["kinit", "-c", f"FILE:{tickets(self.places, user)}", "-k", "-t", keytab(self.places, user), user])

    def _configure(self):
        folder, endpoint = self.places.kdc, f"{MASTER}:{self.port}"
        write(folder / "krb5.conf", f"""\
[libdefaults]
 default_realm = {REALM}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 ticket_lifetime = 1d
 renew_lifetime = 7d
[realms]
 {REALM} = {{
  kdc = {endpoint}
 }}
[logging]
 kdc = STDERR
""")
        write(folder / "kdc.conf", f"""\
[kdcdefaults]
 kdc_listen = {endpoint}
 kdc_tcp_listen = {endpoint}
[realms]
 {REALM} = {{
  database_name = {folder / 'principals'}
  key_stash_file = {folder / 'stash'}
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  max_life = 1d
  max_renewable_life = 7d
 }}
""")

    def _make_realm(self):
        made, wanted = self.places.kdc / "made", json.dumps([SERVICES, users()])
        if made.exists() and made.read_text() == wanted:
            return
        for path in [*self.places.kdc.glob("principals*"), *self.places.kdc.glob("*.keytab")]:
            path.unlink()
        self._run(["kdb5_util", "create", "-s", "-r", REALM, "-P", secrets.token_hex(16)])
        lines = []
        for service, hosts in SERVICES.items():
            principals = [f"{service}/{host}" for host in hosts]
            lines += [f"addprinc -randkey {name}" for name in principals]
            lines += [f"ktadd -k {keytab(self.places, service)} {' '.join(principals)}"]
        for user in users():
            lines += [f"addprinc -randkey {user}", f"ktadd -k {keytab(self.places, user)} {user}"]
        self._run(["kadmin.local", "-r", REALM], "\n".join([*lines, "quit", ""]))
        missing = [name for name in [*SERVICES, *users()] if not keytab(self.places, name).exists()]
        if missing:
            raise Failure(f"the KDC made no keys for {', '.join(missing)}")
        write(self.places.kdc / "http-secret", secrets.token_hex(16), 0o600)
        write(made, wanted)

    def _run(self, command, text=""):
        done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, timeout=60,
                              check=False, env=self.environment)
        if done.returncode != 0:
            raise Failure(f"`{command[0]}` failed: {(done.stderr or done.stdout).strip()[-1000:]}")

    def _answers(self):
        try:
            with socket.create_connection((MASTER, self.port), timeout=1):
                return True
        except OSError:
            return False

