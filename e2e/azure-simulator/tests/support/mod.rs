//! What the tests share: a simulator, a plain HTTP client, a cluster with its key.
#![allow(dead_code, reason = "each test program uses some of it")]

pub(crate) mod cluster;

use std::sync::OnceLock;

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{IdentityFixture, NewIdentity};
use azure_simulator::{ServicePrincipal, Simulator, SimulatorConfig};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::{Uuid, uuid};

pub(crate) use self::cluster::Cluster;

pub(crate) const TENANT: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
pub(crate) const SUBSCRIPTION: Uuid = uuid!("22222222-2222-4222-8222-222222222222");
pub(crate) const OWNER: Uuid = uuid!("33333333-3333-4333-8333-333333333333");
pub(crate) const OWNER_SECRET: &str = "owner~secret/with+special=characters";
pub(crate) const GROUP: &str = "rg-Shop";
pub(crate) const VERSION: &str = "2023-01-31";
pub(crate) const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";
pub(crate) const ARM_SCOPE: &str = "https://management.azure.com/.default";
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Keys take a moment to make: all tests of this process share those of one directory.
fn state_dir() -> &'static TempDir {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("signing-key.pem"), rsa_pem()).unwrap();
        directory
    })
}

fn rsa_pem() -> String {
    RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)
        .unwrap()
        .to_pkcs8_pem(LineEnding::LF)
        .unwrap()
        .to_string()
}

/// A running simulator with a client that trusts it.
pub(crate) struct Azure {
    pub(crate) simulator: Simulator,
    pub(crate) control: ControlClient,
    pub(crate) http: Client,
}

pub(crate) fn config() -> SimulatorConfig {
    SimulatorConfig {
        state_dir: Some(state_dir().path().to_owned()),
        tenant: TENANT,
        subscription: SUBSCRIPTION,
        resource_groups: vec![GROUP.to_owned()],
        service_principals: vec![ServicePrincipal {
            client_id: OWNER,
            secret: Some(OWNER_SECRET.to_owned()),
        }],
        ..SimulatorConfig::default()
    }
}

impl Azure {
    pub(crate) async fn start() -> Self {
        Self::start_with(config()).await
    }

    pub(crate) async fn start_with(config: SimulatorConfig) -> Self {
        // Two first starts in one directory would make two CAs: one test at a time makes it.
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let starting = STARTING.lock().await;
        let simulator = Simulator::start(config).await.unwrap();
        drop(starting);
        let http = Self::client(&simulator);
        Self {
            control: ControlClient::new(simulator.control_url()),
            simulator,
            http,
        }
    }

    /// A client that trusts the simulator and has no connection yet.
    pub(crate) fn client(simulator: &Simulator) -> Client {
        let ca = std::fs::read(simulator.ca_path()).unwrap();
        Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(Certificate::from_pem(&ca).unwrap())
            .no_proxy()
            .build()
            .unwrap()
    }

    /// Resource Manager with this token.
    pub(crate) fn arm(&self, token: impl Into<String>) -> Arm<'_> {
        Arm {
            azure: self,
            token: token.into(),
        }
    }

    /// Resource Manager as the owner of the subscription.
    pub(crate) async fn owner(&self) -> Arm<'_> {
        self.arm(self.owner_token(ARM_SCOPE).await)
    }

    /// A token of the owner.
    pub(crate) async fn owner_token(&self, scope: &str) -> String {
        let reply = self
            .token(&[
                ("grant_type", "client_credentials"),
                ("client_id", &OWNER.to_string()),
                ("client_secret", OWNER_SECRET),
                ("scope", scope),
            ])
            .await;
        reply.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A token request to this tenant.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Reply {
        self.token_of(&TENANT.to_string(), form).await
    }

    pub(crate) async fn token_of(&self, tenant: &str, form: &[(&str, &str)]) -> Reply {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.simulator.entra_url());
        Reply::of(self.http.post(url).form(form).send().await.unwrap()).await
    }

    /// Exchanges an assertion for a token for Resource Manager.
    pub(crate) async fn exchange(&self, client: Uuid, assertion: &str) -> Reply {
        self.token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client.to_string()),
            ("scope", ARM_SCOPE),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        ])
        .await
    }

    pub(crate) async fn entra_get(&self, path: &str) -> Reply {
        let url = format!("{}{path}", self.simulator.entra_url());
        Reply::of(self.http.get(url).send().await.unwrap()).await
    }

    /// A managed identity in the first resource group.
    pub(crate) async fn identity(&self, name: &str) -> NewIdentity {
        self.control
            .create_identity_with(&IdentityFixture {
                subscription_id: None,
                resource_group: GROUP.to_owned(),
                name: name.to_owned(),
            })
            .await
            .unwrap()
    }

    /// A managed identity with one credential, and the cluster that the credential trusts.
    pub(crate) async fn federated_identity(&self) -> (NewIdentity, Cluster) {
        let cluster = Cluster::register(self).await;
        let identity = self.identity("orders").await;
        let put = self
            .owner()
            .await
            .put(
                &credential_path("orders", "shop-orders"),
                credential(&cluster.issuer, SUBJECT),
            )
            .await;
        assert_eq!(put.status, 201, "{put:?}");
        (identity, cluster)
    }
}

pub(crate) const SUBJECT: &str = "system:serviceaccount:shop:orders";

pub(crate) fn group_path(group: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
}

pub(crate) fn identities_path() -> String {
    format!(
        "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities",
        group_path(GROUP)
    )
}

pub(crate) fn identity_path(identity: &str) -> String {
    format!("{}/{identity}", identities_path())
}

pub(crate) fn credentials_path(identity: &str) -> String {
    format!("{}/federatedIdentityCredentials", identity_path(identity))
}

pub(crate) fn credential_path(identity: &str, credential: &str) -> String {
    format!("{}/{credential}", credentials_path(identity))
}

pub(crate) fn credential(issuer: &str, subject: &str) -> Value {
    json!({"properties": {"issuer": issuer, "subject": subject, "audiences": [EXCHANGE_AUDIENCE]}})
}

/// Resource Manager as one caller sees it.
pub(crate) struct Arm<'a> {
    azure: &'a Azure,
    pub(crate) token: String,
}

impl Arm<'_> {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_version(path, VERSION).await
    }

    pub(crate) async fn get_version(&self, path: &str, version: &str) -> Reply {
        self.send(Method::GET, path, version, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.put_version(path, VERSION, body).await
    }

    pub(crate) async fn put_version(&self, path: &str, version: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, version, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, VERSION, None).await
    }

    /// A request for one of Resource Manager's own types, which have versions of their own.
    pub(crate) async fn resources(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.send(method, path, "2022-09-01", body).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        version: &str,
        body: Option<Value>,
    ) -> Reply {
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = format!(
            "{}{path}{separator}api-version={version}",
            self.azure.simulator.arm_url()
        );
        self.send_url(method, &url, body).await
    }

    pub(crate) async fn send_url(&self, method: Method, url: &str, body: Option<Value>) -> Reply {
        let mut request = self.azure.http.request(method, url);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::of(request.send().await.unwrap()).await
    }
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// `Null` if the body is empty.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Self {
            status,
            headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status and `error.code`.
    pub(crate) fn error(&self) -> (u16, &str) {
        (
            self.status,
            self.body["error"]["code"].as_str().unwrap_or_default(),
        )
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// Status and the number behind AADSTS.
    pub(crate) fn aadsts(&self) -> (u16, u64) {
        (
            self.status,
            self.body["error_codes"][0].as_u64().unwrap_or_default(),
        )
    }

    /// The names in a list.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.body["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect()
    }
}
