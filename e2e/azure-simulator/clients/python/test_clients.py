"""Azure's own Python clients, as published, against the simulator.

Run by ./run, which makes the environment and names the simulator's binary in AZURE_SIMULATOR.
The last line of the output is `N passed, N failed`.
"""

import logging
import os
import sys
import tempfile
import unittest
import uuid
from unittest import mock

import jwt
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.identity import (
    ClientAssertionCredential,
    ClientSecretCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.msi import ManagedServiceIdentityClient

from simulator import (
    OWNER,
    OWNER_SECRET,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    TENANT,
    TOKEN_EXCHANGE,
    Cluster,
    Simulator,
)

# The clients warn of every refusal, which is what many of these tests are about.
logging.getLogger("azure").addHandler(logging.NullHandler())

LOCATION = "westeurope"
ARM_SCOPE = "https://management.azure.com/.default"

simulator = None
cluster = None


def setUpModule():
    global simulator, cluster
    simulator = Simulator()
    os.environ["REQUESTS_CA_BUNDLE"] = simulator.ca
    cluster = Cluster(simulator)


def tearDownModule():
    code = simulator.stop()
    if code != 0:
        raise RuntimeError(f"the simulator ended with {code} on SIGTERM")


def secret_credential(client_id=OWNER, secret=OWNER_SECRET, tenant=TENANT):
    return ClientSecretCredential(
        tenant, client_id, secret, authority=simulator.entra, disable_instance_discovery=True
    )


def assertion_credential(client_id, assertion):
    return ClientAssertionCredential(
        TENANT, client_id, lambda: assertion, authority=simulator.entra, disable_instance_discovery=True
    )


def identities_client(credential=None, scope=ARM_SCOPE, **options):
    return ManagedServiceIdentityClient(
        credential or secret_credential(),
        SUBSCRIPTION,
        base_url=simulator.arm,
        credential_scopes=[scope],
        **options,
    )


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.client = identities_client()
        self.addCleanup(self.client.close)

    def create_identity(self, name=None, **properties):
        return self.client.user_assigned_identities.create_or_update(
            RESOURCE_GROUP, name or unique("identity"), {"location": LOCATION, **properties}
        )

    def put_credential(self, identity, name, subject, issuer=None, audiences=(TOKEN_EXCHANGE,), client=None):
        return (client or self.client).federated_identity_credentials.create_or_update(
            RESOURCE_GROUP,
            identity.name,
            name,
            {"issuer": issuer or cluster.issuer, "subject": subject, "audiences": list(audiences)},
        )

    def assert_refused(self, error_type, status, code, call):
        """The call fails with this exception, HTTP status and `error.code`; gives the exception."""
        with self.assertRaises(error_type) as caught:
            call()
        self.assertEqual(caught.exception.status_code, status)
        self.assertEqual(caught.exception.error.code, code)
        return caught.exception


class SigningIn(ClientTest):
    def assert_sign_in_fails(self, credential, reason):
        with self.assertRaises(ClientAuthenticationError) as caught:
            credential.get_token(ARM_SCOPE)
        self.assertIn(reason, caught.exception.message)

    def test_a_client_secret_is_exchanged_for_a_token_of_the_principal(self):
        token = secret_credential().get_token(ARM_SCOPE)
        claims = jwt.decode(token.token, options={"verify_signature": False})
        self.assertEqual(claims["appid"], OWNER)
        self.assertEqual(claims["tid"], TENANT)
        self.assertEqual(claims["aud"].rstrip("/"), "https://management.azure.com")
        self.assertAlmostEqual(claims["exp"], token.expires_on, delta=5)

    def test_a_wrong_client_secret_is_refused(self):
        self.assert_sign_in_fails(secret_credential(secret="wrong"), "AADSTS7000215")

    def test_an_unknown_client_is_refused(self):
        self.assert_sign_in_fails(secret_credential(client_id=str(uuid.uuid4())), "AADSTS700016")

    def test_an_unknown_tenant_is_refused(self):
        # The client asks for the tenant's endpoints first, and replaces Entra's error by a text of its own.
        unknown = str(uuid.uuid4())
        self.assert_sign_in_fails(
            secret_credential(tenant=unknown),
            f"Unable to get authority configuration for {simulator.entra}/{unknown}",
        )

    def test_a_service_account_token_is_exchanged_for_a_token_of_the_identity(self):
        identity = self.create_identity()
        self.put_credential(identity, "app", "system:serviceaccount:shop:cart")
        with tempfile.NamedTemporaryFile("w", suffix=".jwt") as token_file:
            token_file.write(cluster.token("system:serviceaccount:shop:cart"))
            token_file.flush()
            # What the webhook puts into a pod.
            injected = {
                "AZURE_AUTHORITY_HOST": simulator.entra,
                "AZURE_CLIENT_ID": identity.client_id,
                "AZURE_FEDERATED_TOKEN_FILE": token_file.name,
                "AZURE_TENANT_ID": TENANT,
            }
            with mock.patch.dict(os.environ, injected):
                token = WorkloadIdentityCredential(disable_instance_discovery=True).get_token(ARM_SCOPE)
        claims = jwt.decode(token.token, options={"verify_signature": False})
        self.assertEqual(claims["appid"], identity.client_id)
        self.assertEqual(claims["oid"], identity.principal_id)

    def test_a_service_principal_with_a_federated_credential_signs_in_without_a_secret(self):
        client_id = cluster.trusted_by_new_service_principal("repo:shop/cart:ref:refs/heads/main")
        assertion = cluster.token("repo:shop/cart:ref:refs/heads/main")
        token = assertion_credential(client_id, assertion).get_token(ARM_SCOPE)
        claims = jwt.decode(token.token, options={"verify_signature": False})
        self.assertEqual(claims["appid"], client_id)

    def test_an_assertion_that_no_credential_matches_is_refused_with_the_code_that_says_why(self):
        identity = self.create_identity()
        subject = "system:serviceaccount:shop:cart"
        sign_in = lambda **claims: assertion_credential(
            identity.client_id, cluster.token(**{"subject": subject, **claims})
        )
        self.assert_sign_in_fails(sign_in(), "AADSTS70025")
        self.put_credential(identity, "app", subject)
        self.assert_sign_in_fails(sign_in(subject=subject + "-2"), "AADSTS700213")
        self.assert_sign_in_fails(sign_in(subject=subject.upper()), "AADSTS7002138")
        self.assert_sign_in_fails(sign_in(audience="api://another"), "AADSTS700212")
        self.assert_sign_in_fails(sign_in(issuer=cluster.issuer + "another/"), "AADSTS700211")
        self.assert_sign_in_fails(sign_in(lifetime=-3600), "AADSTS700024")


class ManagedIdentities(ClientTest):
    def test_an_identity_is_created_read_tagged_listed_and_deleted(self):
        created = self.create_identity(tags={"team": "shop"})
        for guid in (created.client_id, created.principal_id, created.tenant_id):
            uuid.UUID(guid)
        self.assertEqual(created.tenant_id, TENANT)
        self.assertEqual(created.type, "Microsoft.ManagedIdentity/userAssignedIdentities")
        self.assertEqual(created.tags, {"team": "shop"})

        identities = self.client.user_assigned_identities
        self.assertEqual(identities.get(RESOURCE_GROUP, created.name), created)
        updated = identities.update(RESOURCE_GROUP, created.name, {"tags": {"team": "till"}})
        self.assertEqual(updated.tags, {"team": "till"})
        self.assertEqual(updated.client_id, created.client_id)
        self.assertIn(updated, list(identities.list_by_resource_group(RESOURCE_GROUP)))
        self.assertIn(updated, list(identities.list_by_subscription()))

        identities.delete(RESOURCE_GROUP, created.name)
        self.assert_refused(
            ResourceNotFoundError, 404, "ResourceNotFound",
            lambda: identities.get(RESOURCE_GROUP, created.name),
        )
        identities.delete(RESOURCE_GROUP, created.name)

    def test_a_second_put_keeps_the_ids_of_the_identity(self):
        first = self.create_identity()
        second = self.create_identity(name=first.name)
        self.assertEqual(second.client_id, first.client_id)
        self.assertEqual(second.principal_id, first.principal_id)

    def test_an_identity_in_a_group_that_does_not_exist_is_not_created(self):
        self.assert_refused(
            ResourceNotFoundError, 404, "ResourceGroupNotFound",
            lambda: self.client.user_assigned_identities.create_or_update(
                "no-such-group", "identity", {"location": LOCATION}
            ),
        )

    def test_the_identities_come_in_pages_that_the_client_follows(self):
        created = {self.create_identity().name for _ in range(5)}
        with simulator.page_size(2):
            pages = [
                [identity.name for identity in page]
                for page in self.client.user_assigned_identities.list_by_subscription().by_page()
            ]
        self.assertTrue(all(len(page) == 2 for page in pages[:-1]), pages)
        self.assertGreater(len(pages), 2)
        listed = sum(pages, [])
        self.assertEqual(len(listed), len(set(listed)))
        self.assertLessEqual(created, set(listed))

    def test_every_api_version_that_the_client_knows_reads_the_same_identity(self):
        created = self.create_identity()
        for version in ("2018-11-30", "2022-01-31-preview", "2024-11-30"):
            with self.subTest(version), identities_client(api_version=version) as client:
                read = client.user_assigned_identities.get(RESOURCE_GROUP, created.name)
                self.assertEqual((read.id, read.client_id), (created.id, created.client_id))

    def test_the_operations_of_the_provider_name_the_credential_actions(self):
        names = {operation.name.lower() for operation in self.client.operations.list()}
        for action in ("read", "write", "delete"):
            self.assertIn(
                "microsoft.managedidentity/userassignedidentities"
                f"/federatedidentitycredentials/{action}",
                names,
            )


class FederatedIdentityCredentials(ClientTest):
    def setUp(self):
        super().setUp()
        self.identity = self.create_identity()
        self.credentials = self.client.federated_identity_credentials

    def names(self):
        return [c.name for c in self.credentials.list(RESOURCE_GROUP, self.identity.name)]

    def test_a_credential_is_created_read_listed_updated_and_deleted(self):
        created = self.put_credential(self.identity, "app", "system:serviceaccount:shop:cart")
        self.assertEqual(created.issuer, cluster.issuer)
        self.assertEqual(created.audiences, [TOKEN_EXCHANGE])
        self.assertTrue(created.id.endswith(f"/{self.identity.name}/federatedIdentityCredentials/app"))
        self.assertEqual(self.credentials.get(RESOURCE_GROUP, self.identity.name, "app"), created)
        self.assertEqual(list(self.credentials.list(RESOURCE_GROUP, self.identity.name)), [created])

        updated = self.put_credential(self.identity, "app", "system:serviceaccount:shop:till")
        self.assertEqual(updated.id, created.id)
        self.assertEqual(
            self.credentials.get(RESOURCE_GROUP, self.identity.name, "app").subject,
            "system:serviceaccount:shop:till",
        )

        self.credentials.delete(RESOURCE_GROUP, self.identity.name, "app")
        self.assertEqual(self.names(), [])
        self.credentials.delete(RESOURCE_GROUP, self.identity.name, "app")

    def test_a_missing_credential_and_a_missing_identity_are_told_apart_by_their_codes(self):
        self.assert_refused(
            ResourceNotFoundError, 404, "NotFound",
            lambda: self.credentials.get(RESOURCE_GROUP, self.identity.name, "app"),
        )
        self.client.user_assigned_identities.delete(RESOURCE_GROUP, self.identity.name)
        self.assert_refused(
            ResourceNotFoundError, 404, "ParentResourceNotFound",
            lambda: self.put_credential(self.identity, "app", "subject"),
        )

    def test_a_new_identity_of_the_same_name_has_none_of_the_old_credentials(self):
        self.put_credential(self.identity, "app", "subject")
        self.client.user_assigned_identities.delete(RESOURCE_GROUP, self.identity.name)
        self.create_identity(name=self.identity.name)
        self.assertEqual(self.names(), [])

    def test_an_issuer_and_subject_are_taken_once_for_each_identity(self):
        self.put_credential(self.identity, "first", "subject")
        with self.assertRaises(HttpResponseError) as caught:
            self.put_credential(self.identity, "second", "subject")
        self.assertIn(caught.exception.status_code, (400, 409))
        self.assertIn("Issuer and subject combination already exists", caught.exception.message)
        self.put_credential(self.create_identity(), "second", "subject")

    def test_exactly_one_audience_is_accepted(self):
        for audiences in ([], ["one", "two"]):
            with self.subTest(audiences), self.assertRaises(HttpResponseError) as caught:
                self.put_credential(self.identity, "app", "subject", audiences=audiences)
            self.assertEqual(caught.exception.status_code, 400)

    def test_the_credentials_come_in_pages_that_the_client_follows(self):
        expected = [f"app-{number:02}" for number in range(5)]
        for name in expected:
            self.put_credential(self.identity, name, f"subject of {name}")
        pages = self.credentials.list(RESOURCE_GROUP, self.identity.name, top=2).by_page()
        sizes_and_names = [[c.name for c in page] for page in pages]
        self.assertEqual([len(page) for page in sizes_and_names], [2, 2, 1])
        self.assertEqual(sorted(sum(sizes_and_names, [])), expected)

    def test_the_twenty_first_credential_is_refused_until_one_is_deleted(self):
        for number in range(20):
            self.put_credential(self.identity, f"app-{number:02}", f"subject {number}")
        with self.assertRaises(HttpResponseError) as caught:
            self.put_credential(self.identity, "app-20", "subject 20")
        self.assertIn(caught.exception.status_code, (400, 403, 409))
        self.assertTrue(caught.exception.error.code)
        self.assertEqual(len(self.names()), 20)
        self.put_credential(self.identity, "app-00", "another subject under a name that exists")
        self.credentials.delete(RESOURCE_GROUP, self.identity.name, "app-07")
        self.put_credential(self.identity, "app-20", "subject 20")

    def test_the_first_version_with_credentials_reads_what_the_latest_wrote(self):
        created = self.put_credential(self.identity, "app", "subject")
        with identities_client(api_version="2022-01-31-preview") as client:
            read = client.federated_identity_credentials.get(RESOURCE_GROUP, self.identity.name, "app")
        self.assertEqual((read.id, read.subject), (created.id, created.subject))


class Authorization(ClientTest):
    def test_a_token_for_another_audience_is_refused(self):
        with identities_client(scope="https://vault.azure.net/.default") as client:
            self.assert_refused(
                ClientAuthenticationError, 401, "InvalidAuthenticationTokenAudience",
                lambda: client.user_assigned_identities.get(RESOURCE_GROUP, "identity"),
            )

    def test_an_identity_may_do_what_a_role_on_it_allows_and_nothing_else(self):
        identity = self.create_identity()
        subject = "system:serviceaccount:azwib-system:operator"
        self.put_credential(identity, "operator", subject)
        signed_in = assertion_credential(identity.client_id, cluster.token(subject))
        with identities_client(signed_in) as client:
            read = lambda: client.user_assigned_identities.get(RESOURCE_GROUP, identity.name)
            refusal = self.assert_refused(HttpResponseError, 403, "AuthorizationFailed", read)
            self.assertIn("Microsoft.ManagedIdentity/userAssignedIdentities/read", refusal.message)

            simulator.assign_role("managedIdentityOperator", identity.id, identity.principal_id)
            self.assertEqual(read().client_id, identity.client_id)
            self.assert_refused(
                HttpResponseError, 403, "AuthorizationFailed",
                lambda: self.put_credential(identity, "another", "another", client=client),
            )

            simulator.assign_role("managedIdentityContributor", identity.id, identity.principal_id)
            self.put_credential(identity, "another", "another", client=client)


class FaultsThatTheClientRetries(ClientTest):
    def test_a_throttled_read_is_sent_again_after_the_time_that_was_asked_for(self):
        identity = self.create_identity()
        simulator.fail_next("UserAssignedIdentities_Get", 429, "TooManyRequests", {"Retry-After": "1"})
        read = self.client.user_assigned_identities.get(RESOURCE_GROUP, identity.name)
        self.assertEqual(read.client_id, identity.client_id)
        self.assertEqual(simulator.statuses("UserAssignedIdentities_Get", identity.name), [429, 200])


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    # A test with several failing subtests is one failed test.
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    # A module that could not be set up is a failure without a test having run.
    passed = max(result.testsRun - failed, 0)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
