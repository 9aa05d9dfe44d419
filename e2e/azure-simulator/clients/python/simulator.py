"""The simulator as the tests use it: started as a process, prepared through its control API."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

TENANT = "5a0b6f3e-6c1f-4d0e-9d55-3f4a8d9b1c01"
SUBSCRIPTION = "0f3a4c55-12ab-4d3e-8a77-c0ffee000001"
RESOURCE_GROUP = "demo-rg"
OWNER = "7b1c2d3e-0000-4000-8000-0000000000aa"
OWNER_SECRET = "not~a.real-secret"

#: The audience that the webhook and azure-identity use in every cloud.
TOKEN_EXCHANGE = "api://AzureADTokenExchange"


class Simulator:
    """A running simulator whose one service principal, OWNER, owns the subscription."""

    def __init__(self):
        self._state = tempfile.TemporaryDirectory(prefix="azure-simulator-")
        self._process = subprocess.Popen(
            [
                os.environ["AZURE_SIMULATOR"],
                "--state-dir", self._state.name,
                "--tenant", TENANT,
                "--subscription", SUBSCRIPTION,
                "--resource-group", RESOURCE_GROUP,
                "--service-principal", f"{OWNER}:{OWNER_SECRET}",
            ],
            stdout=subprocess.PIPE,
            text=True,
            # A line for every request would drown the results.
            env={"RUST_LOG": "warn", **os.environ},
        )
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the simulator ended before it said where it listens")
        addresses = json.loads(line)
        self.arm = addresses["arm"].rstrip("/")
        self.entra = addresses["entra"].rstrip("/")
        self.issuer = addresses["issuer"].rstrip("/")
        self.control = addresses["control"].rstrip("/")
        self.ca = addresses["ca"]

    def stop(self):
        """Ends the process as an orchestrator would, and gives its exit code."""
        self._process.terminate()
        code = self._process.wait(timeout=30)
        self._process.stdout.close()
        self._state.cleanup()
        return code

    def call(self, method, path, body=None):
        """One request to the control API; the decoded answer, None where it has no body."""
        request = urllib.request.Request(
            self.control + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    def assign_role(self, role, scope, principal):
        """Gives a principal a built-in role on a scope."""
        self.call("POST", "/role-assignments", {"scope": scope, "role": role, "principal": principal})

    def fail_next(self, operation, status, code, headers=None):
        """The next request for this operation gets an error."""
        self.call(
            "POST",
            "/faults",
            {
                "matcher": {"operation": operation},
                "times": 1,
                "action": {
                    "respond": {
                        "status": status,
                        "code": code,
                        "message": "A fault that a test asked for.",
                        "headers": list((headers or {}).items()),
                    }
                },
            },
        )

    @contextlib.contextmanager
    def page_size(self, entries):
        """Lists come in pages of so many entries meanwhile."""
        tunables = self.call("GET", "/tunables")
        self.call("PUT", "/tunables", {**tunables, "pageSize": entries})
        try:
            yield
        finally:
            self.call("PUT", "/tunables", tunables)

    def statuses(self, operation, path_end):
        """The statuses of the answered requests for this operation on paths that end so, in order."""
        return [
            record["status"]
            for record in self.call("GET", "/requests")
            if record["operation"] == operation and record["path"].endswith(path_end)
        ]


class Cluster:
    """A key that stands for a Kubernetes cluster: its issuer is registered, its tokens are signed here."""

    def __init__(self, simulator):
        self._simulator = simulator
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = uuid.uuid4().hex
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        jwks = {"keys": [{**public, "use": "sig", "alg": "RS256", "kid": self._key_id}]}
        #: The issuer as tokens must carry it, with the slash at its end.
        self.issuer = simulator.call("POST", "/issuers", {"jwks": jwks})["issuer"]

    def token(self, subject, audience=TOKEN_EXCHANGE, issuer=None, lifetime=3600):
        """A token such as the cluster issues; `lifetime` in seconds, counted from now."""
        now = int(time.time())
        claims = {
            "iss": issuer or self.issuer,
            "sub": subject,
            "aud": [audience],
            "iat": now + min(0, lifetime - 1),
            "nbf": now + min(0, lifetime - 1),
            "exp": now + lifetime,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def trusted_by_new_service_principal(self, subject):
        """Makes a service principal whose application trusts this subject; its client id."""
        client_id = str(uuid.uuid4())
        credential = {
            "name": "pipeline",
            "issuer": self.issuer,
            "subject": subject,
            "audiences": [TOKEN_EXCHANGE],
        }
        self._simulator.call(
            "POST", "/service-principals", {"clientId": client_id, "federatedCredentials": [credential]}
        )
        return client_id
