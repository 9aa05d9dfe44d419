"""What config/ installs has only what each promised version of Kubernetes knows: no kind and no field is newer.

Usage: test_schemas.py KUBECTL CONFIG
"""

import copy
import subprocess
import sys
import unittest

import kubernetes_validate
import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError

OLDEST = "1.29"
WITH_POLICIES = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36"]
POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

KUBECTL, CONFIG = sys.argv[1:]


def rendered(folder):
    """The objects that `kubectl apply -k` would send."""
    command = [KUBECTL, "kustomize", f"{CONFIG}/{folder}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    objects = list(yaml.safe_load_all(text))
    assert len(objects) > 10, objects
    return objects


def refused(objects, version):
    """What this version does not know: the kind, its name, and why."""
    refused = []
    for it in objects:
        try:
            kubernetes_validate.validate(it, version, strict=True)
        except (ValidationError, SchemaNotFoundError) as error:
            refused.append((it["kind"], it["metadata"]["name"], type(error).__name__))
    return refused


class Schemas(unittest.TestCase):
    def test_the_oldest_version_takes_what_is_meant_for_it(self):
        self.assertEqual(refused(rendered("overlays/before-1.30"), OLDEST), [])

    def test_the_oldest_version_lacks_the_admission_policies_and_nothing_else(self):
        kinds = {kind for kind, _, why in refused(rendered("default"), OLDEST) if why == "SchemaNotFoundError"}
        self.assertEqual(kinds, POLICIES)

    def test_every_later_version_takes_all(self):
        # What OpenShift gets on top has no kind of its own.
        for folder, versions in [("default", WITH_POLICIES), ("overlays/openshift", WITH_POLICIES[:1])]:
            objects = rendered(folder)
            for version in versions:
                with self.subTest(folder=folder, version=version):
                    self.assertEqual(refused(objects, version), [])

    def test_a_field_that_is_none_is_refused(self):
        deployments = [it for it in rendered("default") if it["kind"] == "Deployment"]
        for change in [{"replica": 2}, {"replicas": "two"}]:
            deployment = copy.deepcopy(deployments[0])
            deployment["spec"].update(change)
            found = refused([deployment], OLDEST)
            self.assertEqual([why for _, _, why in found], ["ValidationError"], change)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
