"""The simulator as the tests use it: started as a process, prepared through its control API."""

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
