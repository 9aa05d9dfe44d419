//! Another writer was faster: Azure refuses the 21st credential in words of its own.

use azure_simulator::control::api::{Tunables, When};
use azwib_e2e::{Environment, EnvironmentOptions};

use crate::{AUDIENCE, LIMIT, fill, remove};

#[tokio::test]
async fn azures_own_refusal_ends_in_the_same_state_whatever_it_says() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions::default()).await?;
    let shop = env.namespace("refused").await?;
    for (number, answer) in Tunables::credential_limit_answers().into_iter().enumerate() {
        let mut tunables = env.control().tunables().await?;
        tunables.credential_limit_answer = answer.clone();
        env.control().set_tunables(&tunables).await?;
        let name = format!("orders-{number}");
        let identity = shop.identity(&name).await?;
        fill(&shop, &identity, LIMIT - 1).await?;
        let put = shop.hold("PUT", &name, When::BeforeEffect).await?;
        shop.bind_to(&name, &identity).await?;
        put.reached().await?;
        let (issuer, subject) = ("https://faster.example", "faster");
        // Through the control API: the write that is held has the identity.
        let faster = serde_json::from_value(serde_json::json!({
            "name": "faster", "issuer": issuer, "subject": subject, "audiences": [AUDIENCE]
        }))?;
        env.control()
            .put_credential(&azure_simulator::control::api::CredentialFixture {
                subscription_id: None,
                resource_group: shop.name().to_owned(),
                identity: name.clone(),
                credential: faster,
            })
            .await?;
        put.release().await?;
        let full = shop
            .failing(&name, "CredentialReady", "CredentialLimitReached")
            .await?;
        assert!(full.message.contains("20 of 20"), "{answer:?}: {full:?}");
        let binding = shop.bindings().get(&name).await?;
        assert_eq!(binding.status.unwrap().credentials, [], "{answer:?}");
        remove(&shop, &identity, "faster").await?;
        shop.ready(&name).await?;
    }
    Ok(())
}
