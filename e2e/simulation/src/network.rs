//! The way to Azure: requests of one process, carried to the simulator's core, with all that can happen on the way.

use std::time::Duration;

use async_trait::async_trait;
use azure_simulator::core::http::{Answer, Request, Response, Service};
use azure_simulator::core::interference::{FaultAction, When};
use azwib_operator::azure::{Cause, Exchange, NoReply, Reply};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use crate::disturbances::Fate;
use crate::names::{AUTHORITY, RESOURCE_MANAGER, short};
use crate::process::Process;
use crate::requests::{Answered, Effect, Target};
use crate::trace::lock;

/// How long a request may take, as `--request-timeout` says.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The network as one process sees it.
#[derive(Debug, Clone)]
pub struct Network(pub Process);

fn lost(message: &str, cause: Cause) -> NoReply {
    NoReply {
        message: message.to_owned(),
        never_sent: cause == Cause::NoConnection,
        cause,
    }
}

#[async_trait]
impl Exchange for Network {
    async fn exchange(&self, request: reqwest::Request) -> Result<Reply, NoReply> {
        let process = &self.0.sending();
        process.machine.goes_on().await;
        let request = to_core(request).await.map_err(|message| NoReply {
            message,
            never_sent: true,
            cause: Cause::NoClaim,
        })?;
        let what = format!("Azure {} {}", request.method, short(&request.path));
        process.crash_point(&format!("before {what}")).await;
        let (shared, caller) = (&process.shared, &process.caller());
        shared.tell(|it| it.request_sent(shared, caller, &request));
        if matches!(request.method.as_str(), "PUT" | "DELETE") {
            let what = format!("{} {}", request.method, short(&request.path));
            shared.tell(|it| it.write_sent(shared, caller, &what));
        }
        let (fault, refused) = draw_fault(process, &request);
        let disturbed = fault.is_some();
        if refused {
            told(process, &request, true, None);
            process.shared.sleep(1..=20).await;
            process.stay_if_dead().await;
            return Err(lost("cannot connect", Cause::NoConnection));
        }
        let (answer, answered) = oneshot::channel();
        let sent = request.clone();
        // Once it is sent, the request does not depend on its sender any more.
        tokio::spawn(carry(process.clone(), request, fault, answer));
        let outcome = tokio::time::timeout(REQUEST_TIMEOUT, answered).await;
        process.machine.goes_on().await;
        process.crash_point(&format!("after {what}")).await;
        let response = outcome.as_ref().ok().and_then(|it| it.as_ref().ok());
        told(process, &sent, disturbed, response);
        match outcome {
            Err(_) => Err(lost("no answer in time", Cause::AnswerTimeout)),
            Ok(Err(_)) => Err(lost("lost the connection", Cause::Lost)),
            Ok(Ok(response)) => Ok(Reply {
                status: response.status.as_u16(),
                headers: response.headers,
                body: response.body,
            }),
        }
    }
}

/// Tells the witnesses how a request ended for its process.
fn told(process: &Process, request: &Request, disturbed: bool, answer: Option<&Response>) {
    let (shared, caller) = (&process.shared, &process.caller());
    let answered = Answered {
        request,
        disturbed,
        answer,
    };
    shared.tell(|it| it.request_answered(shared, caller, &answered));
}

/// The request as it leaves the process: its body is taken when the connection is ready. A body that fails says why.
async fn to_core(mut request: reqwest::Request) -> Result<Request, String> {
    let body = match request.body_mut().take() {
        None => Bytes::new(),
        Some(body) => {
            let body = body.collect().await;
            body.map_err(|error| error.to_string())?.to_bytes()
        }
    };
    let url = request.url();
    let entra = url.as_str().starts_with(AUTHORITY);
    let (service, base) = if entra {
        (Service::Entra, AUTHORITY)
    } else {
        (Service::ResourceManager, RESOURCE_MANAGER)
    };
    Ok(Request {
        query: url.query().unwrap_or_default().to_owned(),
        base_url: base.to_owned(),
        headers: request.headers().clone(),
        body,
        ..Request::new(service, request.method().as_str(), url.path())
    })
}

async fn carry(
    process: Process,
    request: Request,
    fault: Option<(When, FaultAction)>,
    mut answer: oneshot::Sender<Response>,
) {
    let (shared, caller) = (&process.shared, &process.caller());
    shared.sleep(1..=40).await;
    let sent = request.clone();
    let mut operation = lock(&shared.azure).begin_with(request, fault, shared.time.now());
    shared.tell(|it| it.request_arrived(shared, caller, operation.id(), &sent));
    sleep_until(shared.time.instant(operation.effect_at())).await;
    let outcome = {
        let mut azure = lock(&shared.azure);
        let before = Target::of(&azure, &sent);
        let outcome = azure.take_effect(&mut operation, shared.time.now());
        let effect = Effect {
            azure: &azure,
            id: operation.id(),
            request: &sent,
            before: &before,
        };
        shared.tell(|it| it.request_had_effect(shared, caller, &effect));
        outcome
    };
    sleep_until(shared.time.instant(outcome.at)).await;
    let given = match &outcome.answer {
        Answer::Response(response) => Some(response),
        Answer::Never => {
            answer.closed().await;
            None
        }
        Answer::ConnectionDropped | Answer::CutOff(_) => None,
    };
    // Whoever has died does not take it.
    let given = given.filter(|_| !answer.is_closed());
    lock(&shared.azure).end(operation.id(), given, shared.time.now());
    shared.tell(|it| it.request_ended(shared, &sent));
    shared.sleep(1..=40).await;
    if let Some(response) = given {
        // Nobody is there any more, perhaps.
        let _ = answer.send(response.clone());
    }
}

/// What goes wrong with a request, and whether it cannot even be sent.
fn draw_fault(process: &Process, request: &Request) -> (Option<(When, FaultAction)>, bool) {
    let shared = &process.shared;
    let write = matches!(request.method.as_str(), "PUT" | "DELETE");
    let fate = write.then(|| shared.take_fate()).flatten();
    let silenced = !write && shared.is_disturbing() && shared.take_silence(&request.path);
    let is_faulty = || fate.is_some() || silenced || shared.chance(shared.faults_per_mille);
    if !shared.is_disturbing() || !is_faulty() {
        return (None, false);
    }
    let respond = |status: u16, code: &str, headers: &[(&str, &str)]| FaultAction::Respond {
        status,
        code: code.to_owned(),
        message: "as the simulation wants it".to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: None,
    };
    let when = if shared.chance(500) {
        When::BeforeEffect
    } else {
        When::AfterEffect
    };
    let side = if when == When::BeforeEffect {
        "before"
    } else {
        "after"
    };
    let late = shared.draw(1_000..=45_000);
    let late = match fate {
        Some(Fate::EffectAfterTakeover) => 20_000 + late / 2,
        _ => late,
    };
    let kind = match fate {
        None if silenced => 16,
        None => shared.draw(0..=16),
        Some(Fate::AnswerLost) => 1,
        Some(Fate::Throttled) => 10,
        Some(Fate::EffectLate) => 15,
        Some(Fate::EffectAfterTakeover) => 14,
    };
    let (name, action) = match kind {
        0 => ("connection refused", None),
        1 | 2 => ("connection dropped", Some(FaultAction::DropConnection)),
        3 => ("answer cut off", Some(FaultAction::CutOff)),
        4 => ("no answer", Some(FaultAction::NeverAnswer)),
        5 => ("invalid body", Some(FaultAction::InvalidBody)),
        6 => ("html page", Some(FaultAction::HtmlPage { status: 502 })),
        7 => {
            let location = "https://elsewhere.example/".to_owned();
            ("redirect", Some(FaultAction::Redirect { location }))
        }
        8 => ("500", Some(respond(500, "InternalServerError", &[]))),
        9 => (
            "503 with Retry-After",
            Some(respond(503, "ServiceUnavailable", &[("retry-after", "20")])),
        ),
        10 => (
            "429 with Retry-After",
            Some(respond(429, "TooManyRequests", &[("retry-after", "25")])),
        ),
        11 => (
            "429 without Retry-After",
            Some(respond(429, "TooManyRequests", &[])),
        ),
        12 => ("401", Some(respond(401, "ExpiredAuthenticationToken", &[]))),
        13 => ("408", Some(respond(408, "RequestTimeout", &[]))),
        16 => {
            let no_waits = ["0", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"];
            let years = ["315360000", "18446744073709551615"];
            if silenced || shared.chance(200) {
                let wait = shared.pick(&years).unwrap_or(years[0]);
                let code = if silenced || shared.chance(500) {
                    "SubscriptionRequestsThrottled"
                } else {
                    "TooManyRequests"
                };
                let answer = respond(429, code, &[("retry-after", wait)]);
                ("429 with a Retry-After of years", Some(answer))
            } else {
                let wait = shared.pick(&no_waits).unwrap_or(no_waits[0]);
                let answer = respond(429, "TooManyRequests", &[("retry-after", wait)]);
                ("429 with a Retry-After that is none", Some(answer))
            }
        }
        kind => {
            let keeps_turn = kind == 14;
            let name = if keeps_turn {
                "late effect in its turn"
            } else {
                "late effect"
            };
            let keeps_connection = shared.chance(300);
            let action = FaultAction::LateEffect {
                milliseconds: late,
                keeps_turn,
                keeps_connection,
            };
            (name, write.then_some(action))
        }
    };
    let Some(action) = action else {
        let refused = name == "connection refused";
        if refused {
            shared.count(format!("fault {name}"));
            shared.trace.note(format!(
                "fault {name}: {} {}",
                request.method,
                short(&request.path)
            ));
        }
        return (None, refused);
    };
    // A refusal means that nothing was done.
    let certain = matches!(
        &action,
        FaultAction::Respond {
            status: 401 | 429,
            ..
        }
    );
    let (when, side) = if certain {
        (When::BeforeEffect, "before")
    } else {
        (when, side)
    };
    shared.count(format!("fault {name}"));
    shared.trace.note(format!(
        "fault {name} ({side}): {} {}",
        request.method,
        short(&request.path)
    ));
    (Some((when, action)), false)
}
