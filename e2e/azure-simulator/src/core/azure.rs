//! All that a simulated Azure consists of. What it does with a request is in the files of the request's phases.

use super::arm::authentication::VerifiedTokens;
use super::interference::Interference;
use super::operation::LateEffect;
use super::random::Random;
use super::request_log::RequestLog;
use super::settings::Settings;
use super::signing::SigningKey;
use super::state::State;
use super::throttle::Throttle;
use super::tunables::Tunables;
use super::writes::Writes;

/// A simulated Azure.
#[derive(Debug)]
pub struct Azure {
    /// As started; `reset` returns to it.
    pub(super) initial: Settings,
    pub(super) settings: Settings,
    pub(super) signing_key: SigningKey,
    pub(super) verified_tokens: VerifiedTokens,
    pub(super) state: State,
    /// For the ids of what is made: requests do not change them.
    pub(super) random: Random,
    /// For all that differs from request to request.
    pub(super) request_random: Random,
    pub(super) interference: Interference,
    pub(super) throttle: Throttle,
    pub(super) writes: Writes,
    /// By the time they are due.
    pub(super) late_effects: Vec<LateEffect>,
    /// Late writes that keep others from the identity until they have taken effect.
    pub(super) kept_turns: Vec<u64>,
    pub(super) log: RequestLog,
}

impl Azure {
    /// A fresh Azure.
    pub fn new(settings: Settings, signing_key: SigningKey) -> Self {
        let mut azure = Self {
            initial: settings.clone(),
            random: Random::new(settings.seed),
            request_random: Random::new(settings.seed.wrapping_add(1)),
            settings,
            signing_key,
            verified_tokens: VerifiedTokens::default(),
            state: State::default(),
            interference: Interference::default(),
            throttle: Throttle::default(),
            writes: Writes::default(),
            late_effects: Vec::new(),
            kept_turns: Vec::new(),
            log: RequestLog::default(),
        };
        azure.make_initial_fixtures();
        azure
    }

    /// Returns to the beginning: state, settings, rules, log.
    pub fn reset(&mut self) {
        self.settings = self.initial.clone();
        self.state = State::default();
        self.random = Random::new(self.settings.seed);
        self.request_random = Random::new(self.settings.seed.wrapping_add(1));
        self.interference.clear();
        self.throttle = Throttle::default();
        self.writes.clear();
        self.late_effects.clear();
        self.kept_turns.clear();
        self.log.clear();
        self.make_initial_fixtures();
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the settings of the model.
    pub fn set_tunables(&mut self, tunables: Tunables) {
        self.settings.tunables = tunables;
    }
}
