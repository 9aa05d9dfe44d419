//! What a test puts in a request's way: faults, latency and holds, chosen by matchers.

use globset::{GlobBuilder, GlobMatcher};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use super::faults::FaultAction;
use super::http::Service;
use super::random::Random;
use super::tunables::LatencyTail;

/// Chooses requests. What is absent matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Matcher {
    /// The service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The HTTP method, without case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A glob over the path, without case: `*` is any text within a segment, `**` any number of segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The operation's name as in the request log, such as `FederatedIdentityCredentials_CreateOrUpdate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// When something happens, seen from the request's effect on the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Before it: a caller that goes away meanwhile has changed nothing.
    BeforeEffect,
    /// After it: the change is made, the answer is not given yet.
    AfterEffect,
}

/// A fault and the requests it hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The requests it is for.
    #[serde(default)]
    pub matcher: Matcher,
    /// Matching requests that pass first.
    #[serde(default)]
    pub skip: u64,
    /// Matching requests that it then hits; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Before the effect the request changes nothing; after it only the answer is lost.
    #[serde(default = "before_effect")]
    pub when: When,
    /// What happens.
    pub action: FaultAction,
}

fn before_effect() -> When {
    When::BeforeEffect
}

/// A request to hold until it is released or its caller has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// The requests it is for.
    #[serde(default)]
    pub matcher: Matcher,
    /// Which of the matching requests, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// Where it is held.
    pub when: When,
}

fn one() -> u64 {
    1
}

/// Extra time for matching requests; half of it passes before the effect, half after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// The requests it is for.
    #[serde(default)]
    pub matcher: Matcher,
    /// Milliseconds that every such request takes.
    pub milliseconds: u64,
    /// Up to so many milliseconds more, drawn from the seed.
    #[serde(default)]
    pub jitter_milliseconds: u64,
}

/// Names a fault or a hold.
pub type RuleId = u64;

/// A rule that cannot be used.
#[derive(Debug, Error)]
pub enum RuleError {
    /// The path of its matcher is no glob.
    #[error("the matcher's path is not a glob: {0}")]
    Path(#[from] globset::Error),
    /// The method of its matcher is none.
    #[error("the matcher's method {0:?} is not an HTTP method")]
    Method(String),
    /// The status of its answer is none.
    #[error("{0} is not an HTTP status")]
    Status(u16),
    /// Requests are counted from 1.
    #[error("nth counts from 1")]
    Nth,
}

/// The facts of a request that matchers look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) service: Service,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) operation: &'a str,
}

#[derive(Debug)]
struct CompiledMatcher {
    service: Option<Service>,
    method: Option<Method>,
    path: Option<GlobMatcher>,
    operation: Option<String>,
}

impl CompiledMatcher {
    fn new(matcher: &Matcher) -> Result<Self, RuleError> {
        let method = matcher
            .method
            .as_deref()
            .map(|name| {
                Method::from_bytes(name.to_ascii_uppercase().as_bytes())
                    .map_err(|_| RuleError::Method(name.to_owned()))
            })
            .transpose()?;
        let path = matcher
            .path
            .as_deref()
            .map(|glob| {
                GlobBuilder::new(glob)
                    .case_insensitive(true)
                    .literal_separator(true)
                    .empty_alternates(true)
                    .build()
                    .map(|glob| glob.compile_matcher())
            })
            .transpose()?;
        Ok(Self {
            service: matcher.service,
            method,
            path,
            operation: matcher.operation.clone(),
        })
    }

    fn matches(&self, facts: Facts<'_>) -> bool {
        self.service.is_none_or(|service| service == facts.service)
            && self.method.as_ref().is_none_or(|m| m == facts.method)
            && self.path.as_ref().is_none_or(|g| g.is_match(facts.path))
            && self
                .operation
                .as_ref()
                .is_none_or(|operation| operation.eq_ignore_ascii_case(facts.operation))
    }
}

#[derive(Debug)]
struct Rule<T> {
    id: RuleId,
    matcher: CompiledMatcher,
    /// Matching requests so far.
    seen: u64,
    what: T,
}

/// What is in one request's way.
#[derive(Debug, Clone, Default)]
pub struct Obstacles {
    /// The fault that hits it.
    pub fault: Option<(When, FaultAction)>,
    /// The hold that stops it.
    pub hold: Option<(RuleId, When)>,
    /// How long it takes, in milliseconds.
    pub latency_milliseconds: u64,
}

/// All rules in force.
#[derive(Debug, Default)]
pub(crate) struct Interference {
    next_id: RuleId,
    faults: Vec<Rule<Fault>>,
    holds: Vec<Rule<Hold>>,
    latencies: Vec<Rule<Latency>>,
}

impl Interference {
    pub(crate) fn add_fault(&mut self, fault: Fault) -> Result<RuleId, RuleError> {
        if let FaultAction::Respond { status, .. } | FaultAction::HtmlPage { status } = fault.action
            && StatusCode::from_u16(status).is_err()
        {
            return Err(RuleError::Status(status));
        }
        let rule = self.rule(CompiledMatcher::new(&fault.matcher)?, fault);
        let id = rule.id;
        self.faults.push(rule);
        Ok(id)
    }

    pub(crate) fn add_hold(&mut self, hold: Hold) -> Result<RuleId, RuleError> {
        if hold.nth == 0 {
            return Err(RuleError::Nth);
        }
        let rule = self.rule(CompiledMatcher::new(&hold.matcher)?, hold);
        let id = rule.id;
        self.holds.push(rule);
        Ok(id)
    }

    /// Replaces all latencies.
    pub(crate) fn set_latencies(&mut self, latencies: Vec<Latency>) -> Result<(), RuleError> {
        let mut rules = Vec::with_capacity(latencies.len());
        for latency in latencies {
            rules.push(self.rule(CompiledMatcher::new(&latency.matcher)?, latency));
        }
        self.latencies = rules;
        Ok(())
    }

    pub(crate) fn remove_fault(&mut self, id: RuleId) {
        self.faults.retain(|rule| rule.id != id);
    }

    pub(crate) fn remove_hold(&mut self, id: RuleId) {
        self.holds.retain(|rule| rule.id != id);
    }

    /// Removes all rules; ids go on counting.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            next_id: self.next_id,
            ..Self::default()
        };
    }

    fn rule<T>(&mut self, matcher: CompiledMatcher, what: T) -> Rule<T> {
        self.next_id += 1;
        Rule {
            id: self.next_id,
            matcher,
            seen: 0,
            what,
        }
    }

    /// Counts a request and says what is in its way: the first fault and the first hold that are due, the first latency
    /// and the tail.
    pub(crate) fn decide(
        &mut self,
        facts: Facts<'_>,
        tail: Option<LatencyTail>,
        random: &mut Random,
    ) -> Obstacles {
        let mut obstacles = Obstacles::default();
        for rule in &mut self.faults {
            if !rule.matcher.matches(facts) {
                continue;
            }
            rule.seen += 1;
            let due = rule.seen > rule.what.skip
                && rule
                    .what
                    .times
                    .is_none_or(|times| rule.seen - rule.what.skip <= times);
            if due && obstacles.fault.is_none() {
                obstacles.fault = Some((rule.what.when, rule.what.action.clone()));
            }
        }
        for rule in &mut self.holds {
            if !rule.matcher.matches(facts) {
                continue;
            }
            rule.seen += 1;
            if rule.seen == rule.what.nth && obstacles.hold.is_none() {
                obstacles.hold = Some((rule.id, rule.what.when));
            }
        }
        if let Some(rule) = self.latencies.iter().find(|r| r.matcher.matches(facts)) {
            obstacles.latency_milliseconds =
                rule.what.milliseconds + random.up_to(rule.what.jitter_milliseconds);
        }
        if let Some(tail) = tail
            && random.happens(tail.per_mille)
        {
            // The cube of an even draw: half of them stay below an eighth of the most.
            let thousandths = random.up_to(1000).pow(3) / 1_000_000;
            obstacles.latency_milliseconds += tail.up_to_milliseconds * thousandths / 1000;
        }
        obstacles
    }
}

impl Obstacles {
    /// Whether the request gets as far as the provider: a fault before its effect stops it on the way.
    pub(crate) fn reaches_the_provider(&self) -> bool {
        match &self.fault {
            None | Some((_, FaultAction::LateEffect { .. }) | (When::AfterEffect, _)) => true,
            Some((When::BeforeEffect, _)) => false,
        }
    }

    /// Whether a write counts as under way from its arrival on.
    pub(crate) fn takes_a_turn(&self) -> bool {
        match &self.fault {
            Some((_, FaultAction::LateEffect { keeps_turn, .. })) => *keeps_turn,
            _ => self.reaches_the_provider(),
        }
    }
}
