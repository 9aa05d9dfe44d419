use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    ARM_SCOPE, ASSERTION_TYPE, Azure, OWNER, OWNER_SECRET, Reply, SUBSCRIPTION, TENANT,
};

/// The owner's request with some fields changed (a value) or left out (an empty one).
async fn request(azure: &Azure, changes: &[(&str, &str)]) -> Reply {
    let owner = OWNER.to_string();
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", &owner),
        ("client_secret", OWNER_SECRET),
        ("scope", ARM_SCOPE),
    ];
    for (name, value) in changes {
        form.retain(|(existing, _)| existing != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    azure.token(&form).await
}

fn claims(reply: &Reply) -> Value {
    let token = reply.body["access_token"].as_str().unwrap();
    jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
}

#[tokio::test]
async fn a_client_secret_gets_a_token() {
    let azure = Azure::start().await;
    let reply = request(&azure, &[]).await;
    assert_eq!(reply.status, 200);
    let fields: Vec<_> = reply
        .body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    // No expires_on, no refresh token.
    assert_eq!(
        fields,
        ["access_token", "expires_in", "ext_expires_in", "token_type"]
    );
    assert_eq!(reply.body["token_type"], "Bearer");
    assert_eq!(reply.body["expires_in"], 3599);
    assert_eq!(reply.header("cache-control"), "no-store, no-cache");
}

#[tokio::test]
async fn a_client_secret_can_come_in_the_authorization_header() {
    let azure = Azure::start().await;
    let url = format!("{}/{TENANT}/oauth2/v2.0/token", azure.simulator.entra_url());
    let encoded: String = url::form_urlencoded::byte_serialize(OWNER_SECRET.as_bytes()).collect();
    let request = azure
        .http
        .post(url)
        .basic_auth(OWNER, Some(encoded))
        .form(&[("grant_type", "client_credentials"), ("scope", ARM_SCOPE)]);
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_token_says_who_it_is_for_and_from() {
    let azure = Azure::start().await;
    let reply = request(&azure, &[("scope", "https://vault.azure.net/.default")]).await;
    let claims = claims(&reply);
    assert_eq!(claims["aud"], "https://vault.azure.net");
    assert_eq!(
        claims["iss"],
        json!(format!("{}/{TENANT}/v2.0", azure.simulator.entra_url()))
    );
    assert_eq!(claims["tid"], json!(TENANT));
    assert_eq!(claims["appid"], json!(OWNER));
    assert_eq!(claims["idtyp"], "app");
    let object_id = Uuid::try_parse(claims["oid"].as_str().unwrap()).unwrap();
    assert_ne!(object_id, OWNER);
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 3599);
    // Two slashes are one more than one: the audience is the scope without its end.
    let reply = request(&azure, &[("scope", "https://vault.azure.net//.default")]).await;
    let claims: Value = self::claims(&reply);
    assert_eq!(claims["aud"], "https://vault.azure.net/");
    let resource = format!("/subscriptions/{SUBSCRIPTION}");
    assert_eq!(claims.get("xms_mirid"), None, "{resource}");
}

#[tokio::test]
async fn a_managed_identity_gets_a_token_for_a_day() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["expires_in"], 86399);
    let claims = claims(&reply);
    assert_eq!(claims["appid"], json!(identity.client_id));
    assert_eq!(claims["oid"], json!(identity.principal_id));
    assert_eq!(claims["tid"], json!(TENANT));
    assert_eq!(claims["xms_mirid"], json!(identity.id));
}

#[tokio::test]
async fn a_missing_field_is_named() {
    let azure = Azure::start().await;
    for field in ["grant_type", "client_id", "scope"] {
        let reply = request(&azure, &[(field, "")]).await;
        assert_eq!(reply.aadsts(), (400, 900_144), "{field}");
        assert_eq!(reply.body["error"], "invalid_request");
        let description = reply.body["error_description"].as_str().unwrap();
        assert!(
            description.contains(&format!("parameter: '{field}'")),
            "{description}"
        );
    }
    let changes = [("client_secret", ""), ("client_assertion", "a.b.c")];
    let reply = request(&azure, &changes).await;
    assert_eq!(reply.aadsts(), (400, 900_144));
    assert!(
        reply.body["error_description"]
            .as_str()
            .unwrap()
            .contains("'client_assertion_type'")
    );
}

#[tokio::test]
async fn a_request_without_secret_or_assertion_is_refused() {
    let azure = Azure::start().await;
    let reply = request(&azure, &[("client_secret", "")]).await;
    assert_eq!(reply.aadsts(), (401, 7_000_216));
    assert_eq!(reply.body["error"], "invalid_client");
}

#[tokio::test]
async fn another_grant_is_refused() {
    let azure = Azure::start().await;
    let reply = request(&azure, &[("grant_type", "password")]).await;
    assert_eq!(reply.aadsts(), (400, 70_003));
    assert_eq!(reply.body["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_scope_is_one_resource_with_default_behind_it() {
    let azure = Azure::start().await;
    for scope in [
        "https://management.azure.com/",
        "https://management.azure.com/user_impersonation",
        "/.default",
    ] {
        let reply = request(&azure, &[("scope", scope)]).await;
        assert_eq!(reply.aadsts(), (400, 1_002_012), "{scope}");
        assert_eq!(reply.body["error"], "invalid_scope");
    }
    let two = format!("{ARM_SCOPE} https://vault.azure.net/.default");
    let reply = request(&azure, &[("scope", &two)]).await;
    assert_eq!(reply.aadsts(), (400, 70_011));
    // What client libraries add of their own is passed over.
    let with_more = format!("openid profile offline_access {ARM_SCOPE}");
    assert_eq!(request(&azure, &[("scope", &with_more)]).await.status, 200);
}

#[tokio::test]
async fn an_unknown_tenant_is_told() {
    let azure = Azure::start().await;
    let form = [("grant_type", "client_credentials")];
    let unknown = azure.token_of(&OWNER.to_string(), &form).await;
    assert_eq!(unknown.aadsts(), (400, 90_002));
    assert_eq!(
        azure.token_of("contoso", &form).await.aadsts(),
        (400, 900_023)
    );
    assert_eq!(
        azure.token_of("common", &form).await.aadsts(),
        (400, 50_059)
    );
}

#[tokio::test]
async fn an_unknown_client_is_told() {
    let azure = Azure::start().await;
    for client in [TENANT.to_string(), "no-guid".to_owned()] {
        let reply = request(&azure, &[("client_id", &client)]).await;
        assert_eq!(reply.aadsts(), (400, 700_016));
        assert_eq!(reply.body["error"], "unauthorized_client");
        assert!(
            reply.body["error_description"]
                .as_str()
                .unwrap()
                .contains(&format!("'{client}'"))
        );
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let azure = Azure::start().await;
    let reply = request(&azure, &[("client_secret", "guess")]).await;
    assert_eq!(reply.aadsts(), (401, 7_000_215));
    assert_eq!(reply.body["error"], "invalid_client");
    // A managed identity has no secret.
    let identity = azure.identity("orders").await.client_id.to_string();
    let reply = request(&azure, &[("client_id", &identity)]).await;
    assert_eq!(reply.aadsts(), (401, 7_000_215));
}

#[tokio::test]
async fn errors_have_the_shape_of_entra() {
    let azure = Azure::start().await;
    let url = format!("{}/{TENANT}/oauth2/v2.0/token", azure.simulator.entra_url());
    let request = azure
        .http
        .post(url)
        .header("client-request-id", "my-correlation");
    let reply = Reply::of(request.send().await.unwrap()).await;
    let body = &reply.body;
    let (trace, time) = (
        body["trace_id"].as_str().unwrap(),
        body["timestamp"].as_str().unwrap(),
    );
    assert_eq!(
        body["error_description"],
        json!(format!(
            "AADSTS900144: The request body must contain the following parameter: 'grant_type'. Trace ID: {trace} Correlation ID: my-correlation Timestamp: {time}"
        ))
    );
    assert_eq!(body["error_codes"], json!([900_144]));
    assert_eq!(body["correlation_id"], "my-correlation");
    assert_eq!(
        body["error_uri"],
        json!(format!("{}/error?code=900144", azure.simulator.entra_url()))
    );
    // 2026-01-31 12:34:56Z
    assert!(
        time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b' ',
        "{time}"
    );
    assert_eq!(reply.header("x-ms-request-id"), trace);
}

#[tokio::test]
async fn an_assertion_of_an_unknown_type_or_form_is_refused() {
    let azure = Azure::start().await;
    for (kind, assertion) in [
        ("saml", "a.b.c"),
        (ASSERTION_TYPE, "not-a-token"),
        (ASSERTION_TYPE, "a.b.c"),
    ] {
        let changes = [
            ("client_secret", ""),
            ("client_assertion_type", kind),
            ("client_assertion", assertion),
        ];
        let reply = request(&azure, &changes).await;
        assert_eq!(reply.aadsts(), (400, 50_027), "{kind} {assertion}");
    }
}
