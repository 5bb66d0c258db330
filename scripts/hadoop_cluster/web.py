"""HTTP to the daemons' web ports: plain, or with a Kerberos ticket through curl."""
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 5


class Web:
    """Speaks for a user of the cluster."""

    def __init__(self, environment=None, user=None):
        # `environment` names a ticket cache; without it `user` is believed.
        self.environment = environment
        self.user = user

    def json(self, address, path):
        """The parsed answer, or nothing while there is none."""
        body = self.call("GET", f"http://{address}{path}")
        try:
            return json.loads(body) if body else None
        except ValueError:
            return None

    def call(self, method, url, content=None):
        """The body of a good answer, or nothing. `content` is sent as JSON."""
        if self.environment is not None:
            return self._negotiate(method, url, content)
        if self.user:
            url += ("&" if "?" in url else "?") + "user.name=" + urllib.parse.quote(self.user)
        request = urllib.request.Request(url, method=method)
        if content is not None:
            request.data = json.dumps(content).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def _negotiate(self, method, url, content):
        command = ["curl", "--silent", "--fail", "--location", "--negotiate", "--user", ":", "--request", method]
        if content is not None:
            command += ["--header", "Content-Type: application/json", "--data", json.dumps(content)]
        command += ["--max-time", str(TIMEOUT_SECONDS), url]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                              env={**os.environ, **self.environment})
        return done.stdout if done.returncode == 0 else None
