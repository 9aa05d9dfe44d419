//! How many entries a page of a list has. An identity has few credentials: a page that holds all of them says only that it
//! holds so many.

use std::time::Instant;

use super::context::Context;
use crate::arm::Request;
use crate::error::Error;
use crate::facts::{Fact, Verdict};

const FACT: &str = "credentials on a page of a list";

pub(super) async fn probe(context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    let full = context.full_identity().await?;
    let assumed = context.assumed.page_size;
    let started = Instant::now();
    // Reads may lag behind the writes.
    let pages = loop {
        let pages = pages(context, &full.identity.credentials()).await?;
        if pages.iter().sum::<usize>() >= full.credentials {
            break pages;
        }
        let what = || format!("not all {} credentials are listed", full.credentials);
        context.waiting.pause(started, what).await?;
    };
    let first = pages.first().copied().unwrap_or(0);
    Ok(vec![if pages.len() > 1 {
        Fact::value(FACT, "pageSize", &assumed, &first)
    } else if first <= assumed {
        let mut fact = Fact::value(FACT, "pageSize", &assumed, &assumed);
        fact.verdict = Verdict::Same;
        fact.seen_as(format!("all {first} on one page"))
    } else {
        Fact::value(FACT, "pageSize", &assumed, &first).seen_as(format!("{first} or more"))
    }])
}

/// The entries of each page.
async fn pages(context: &Context<'_>, path: &str) -> Result<Vec<usize>, Error> {
    let mut pages = Vec::new();
    let mut request = Request::get(path);
    loop {
        let page = context.arm.succeed(&request).await?;
        pages.push(page.body["value"].as_array().map_or(0, Vec::len));
        let Some(link) = page.body["nextLink"].as_str() else {
            return Ok(pages);
        };
        match context.arm.own_path(link) {
            Some(path) => request = Request::get(path),
            None => {
                let doing =
                    format!("follow the link to the next page, which leads elsewhere: {link}");
                return context.arm.refused(&doing, page);
            }
        }
    }
}
