//! How long reads show what stood there before a write.

use std::time::Instant;

use futures::future::try_join;

use super::context::{Context, put};
use super::span::Span;
use crate::arm::{IdentityId, Request};
use crate::error::Error;
use crate::facts::Fact;

/// So many credentials are written and deleted.
const ROUNDS: usize = 3;

/// The lags that were seen.
#[derive(Debug, Default)]
struct Lags {
    get: Vec<Span>,
    list: Vec<Span>,
}

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let identity = context.identity("read-lag").await?;
    let (mut put_lags, mut delete_lags) = (Lags::default(), Lags::default());
    for round in 1..=ROUNDS {
        let name = format!("lag-{round}");
        context.written(&put(&identity, &name)).await?;
        put_lags.measure(context, &identity, &name, true).await?;
        let delete = Request::delete(identity.credential(&name));
        context.written(&delete).await?;
        delete_lags
            .measure(context, &identity, &name, false)
            .await?;
    }
    let assumed = context.assumed.read_lag_seconds;
    let fact = |what: &str, lags: &[Span]| {
        let longest = Span::longest(lags);
        let this = Fact::value(
            &format!("read lag in seconds: {what}"),
            "readLagSeconds",
            &assumed,
            &longest.map_or(0, Span::seconds),
        );
        match longest {
            Some(lag) => this.seen_as(lag.to_string()),
            None => this,
        }
    };
    Ok(vec![
        fact("GET after PUT", &put_lags.get),
        fact("LIST after PUT", &put_lags.list),
        fact("GET after DELETE", &delete_lags.get),
        fact("LIST after DELETE", &delete_lags.list),
    ])
}

impl Lags {
    /// Reads, both ways at once, until the credential is shown, or no longer shown.
    async fn measure(
        &mut self,
        context: &Context<'_>,
        identity: &IdentityId,
        name: &str,
        is_there: bool,
    ) -> Result<(), Error> {
        let written = Instant::now();
        let get = lag(context, written, async || {
            let answer = context
                .arm
                .send(&Request::get(identity.credential(name)))
                .await?;
            Ok((answer.status == 200) == is_there)
        });
        let list = lag(context, written, async || {
            let list = context
                .arm
                .succeed(&Request::get(identity.credentials()))
                .await?;
            let mut entries = list.body["value"].as_array().into_iter().flatten();
            Ok(entries.any(|it| it["name"] == name) == is_there)
        });
        let (get, list) = try_join(get, list).await?;
        self.get.extend(get);
        self.list.extend(list);
        Ok(())
    }
}

/// How long after the answer to a write a read did not show it; `None`: the first one did.
async fn lag(
    context: &Context<'_>,
    written: Instant,
    shows_it: impl AsyncFn() -> Result<bool, Error>,
) -> Result<Option<Span>, Error> {
    let mut latest = None;
    loop {
        let sent = written.elapsed();
        if shows_it().await? {
            let at_most = written.elapsed();
            return Ok(latest.map(|more_than| Span { more_than, at_most }));
        }
        latest = Some(sent);
        let what = || "a read does not show the write before it".to_owned();
        context.waiting.pause(written, what).await?;
    }
}
