use azure_simulator::control::api::NewIssuer;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::cluster::ClusterKey;
use crate::support::{ARM_SCOPE, Azure, OWNER, Reply, TENANT};

#[tokio::test]
async fn entra_publishes_an_openid_configuration() {
    let azure = Azure::start().await;
    let entra = azure.simulator.entra_url();
    for (tenant, issuer) in [
        (TENANT.to_string(), TENANT.to_string()),
        ("common".into(), "{tenantid}".into()),
        ("organizations".into(), "{tenantid}".into()),
    ] {
        let reply = azure
            .entra_get(&format!("/{tenant}/v2.0/.well-known/openid-configuration"))
            .await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.body["issuer"],
            json!(format!("{entra}/{issuer}/v2.0"))
        );
        assert_eq!(
            reply.body["token_endpoint"],
            json!(format!("{entra}/{tenant}/oauth2/v2.0/token"))
        );
        assert_eq!(
            reply.body["jwks_uri"],
            json!(format!("{entra}/{tenant}/discovery/v2.0/keys"))
        );
    }
    let unknown = azure
        .entra_get(&format!("/{OWNER}/v2.0/.well-known/openid-configuration"))
        .await;
    assert_eq!(unknown.aadsts(), (400, 90_002));
}

#[tokio::test]
async fn entra_publishes_the_keys_that_its_tokens_are_signed_with() {
    let azure = Azure::start().await;
    let token = azure.owner_token(ARM_SCOPE).await;
    let reply = azure
        .entra_get(&format!("/{TENANT}/discovery/v2.0/keys"))
        .await;
    let keys: JwkSet = serde_json::from_value(reply.body).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(header.alg, Algorithm::RS256);
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["https://management.azure.com"]);
    validation.set_issuer(&[format!("{}/{TENANT}/v2.0", azure.simulator.entra_url())]);
    let decoded =
        jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(key).unwrap(), &validation);
    assert_eq!(decoded.unwrap().claims["appid"], json!(OWNER));
}

#[tokio::test]
async fn entra_answers_instance_discovery() {
    let azure = Azure::start().await;
    let entra = azure.simulator.entra_url();
    let reply = azure
        .entra_get(&format!(
            "/common/discovery/instance?api-version=1.1&authorization_endpoint={entra}/{TENANT}/oauth2/v2.0/authorize"
        ))
        .await;
    assert_eq!(
        reply.body["tenant_discovery_endpoint"],
        json!(format!(
            "{entra}/{TENANT}/v2.0/.well-known/openid-configuration"
        ))
    );
    let host = entra.strip_prefix("https://").unwrap();
    assert_eq!(reply.body["metadata"][0]["preferred_network"], json!(host));
    assert_eq!(reply.body["metadata"][0]["aliases"], json!([host]));
}

async fn get(azure: &Azure, url: &str) -> Reply {
    Reply::of(azure.http.get(url).send().await.unwrap()).await
}

#[tokio::test]
async fn a_cluster_issuer_looks_like_that_of_aks() {
    let azure = Azure::start().await;
    let jwks = ClusterKey::shared().jwks();
    let issuer = azure.control.register_issuer(jwks.clone()).await.unwrap();
    // https://{host}/{tenant}/{guid}/ with a slash at the end.
    let path = issuer.strip_prefix(azure.simulator.issuer_url()).unwrap();
    assert!(
        path.starts_with(&format!("/{TENANT}/")) && path.ends_with('/'),
        "{issuer}"
    );
    let reply = get(&azure, &format!("{issuer}.well-known/openid-configuration")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["issuer"], json!(issuer));
    assert_eq!(
        reply.body["jwks_uri"],
        json!(format!("{issuer}openid/v1/jwks"))
    );
    assert_eq!(
        reply.body["id_token_signing_alg_values_supported"],
        json!(["RS256"])
    );
    assert_eq!(
        get(&azure, reply.body["jwks_uri"].as_str().unwrap())
            .await
            .body,
        jwks
    );
    let other = format!("{}/other/", azure.simulator.issuer_url());
    let reply = get(&azure, &format!("{other}.well-known/openid-configuration")).await;
    assert_eq!(reply.status, 404);
    assert_eq!(
        get(&azure, &format!("{other}openid/v1/jwks")).await.status,
        404
    );
}

#[tokio::test]
async fn a_cluster_issuer_can_have_a_path_of_its_own_and_new_keys() {
    let azure = Azure::start().await;
    let path = Some("without/slash".to_owned());
    let old = NewIssuer {
        path: path.clone(),
        jwks: json!({"keys": []}),
    };
    let issuer = azure.control.register_issuer_with(&old).await.unwrap();
    assert_eq!(
        issuer,
        format!("{}/without/slash", azure.simulator.issuer_url())
    );
    let keys = format!("{issuer}/openid/v1/jwks");
    assert_eq!(get(&azure, &keys).await.body, json!({"keys": []}));
    let jwks = ClusterKey::shared().jwks();
    let new = NewIssuer {
        path,
        jwks: jwks.clone(),
    };
    azure.control.register_issuer_with(&new).await.unwrap();
    assert_eq!(get(&azure, &keys).await.body, jwks);
    let reply = get(
        &azure,
        &format!("{issuer}/.well-known/openid-configuration"),
    )
    .await;
    assert_eq!(reply.body["issuer"], json!(issuer));
}
