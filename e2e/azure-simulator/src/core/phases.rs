//! A request's phases: it arrives, takes effect, and its answer goes out.

use jiff::Timestamp;

use super::arm::Arrival;
use super::arm::error::{ArmError, ArmResult};
use super::http::{Answer, Request, Response, Service};
use super::interference::{Facts, FaultAction, Obstacles, When};
use super::operation::{Admitted, LateEffect, Operation, Outcome};
use super::request_log::{RequestRecord, SecretKind};
use super::throttle::Remaining;
use super::time::after;
use super::{Azure, arm, entra};

impl Azure {
    /// First phase: a request arrives.
    pub fn begin(&mut self, request: Request, now: Timestamp) -> Operation {
        self.begin_with(request, None, now)
    }

    /// The same, with a fault of the driver's choice, which goes before those of the rules.
    pub fn begin_with(
        &mut self,
        request: Request,
        fault: Option<(When, FaultAction)>,
        now: Timestamp,
    ) -> Operation {
        self.advance(now);
        let operation = match request.service {
            Service::ResourceManager => Self::arm_operation(&request),
            Service::Entra => Self::entra_operation(&request),
            Service::Issuer => Self::issuer_operation(&request),
        };
        let facts = Facts {
            service: request.service,
            method: &request.method,
            path: &request.path,
            operation,
        };
        let tail = self.settings.tunables.latency_tail;
        let mut obstacles = self
            .interference
            .decide(facts, tail, &mut self.request_random);
        obstacles.fault = fault.or(obstacles.fault);
        let id = self.log.next_id();
        let mut record = RequestRecord::new(id, &request, operation, now);
        let (admitted, remaining) = self.admit(&request, &obstacles, &mut record, now);
        let issuer_to_fetch = match &admitted {
            Admitted::Entra(Ok(entra::Admitted::Token(token))) => self.issuer_to_fetch(token, now),
            _ => None,
        };
        self.log.open(record);
        Operation {
            id,
            request,
            started: now,
            admitted,
            remaining,
            obstacles,
            issuer_to_fetch,
            documents: None,
        }
    }

    fn admit(
        &mut self,
        request: &Request,
        obstacles: &Obstacles,
        record: &mut RequestRecord,
        now: Timestamp,
    ) -> (Admitted, Option<Remaining>) {
        match request.service {
            Service::ResourceManager => {
                if let Some(token) = arm::authentication::bearer(request) {
                    self.log.secret(SecretKind::BearerToken, token);
                }
                let Arrival {
                    caller,
                    written_identity,
                    admitted,
                    remaining,
                    throttled_by,
                } = self.arm_admit(request, obstacles.reaches_the_provider(), now);
                record.caller = caller.map(|caller| caller.client_id);
                record.throttled_by = throttled_by;
                record.identity = written_identity;
                let admitted = admitted.and_then(|admitted| {
                    self.take_turn(obstacles, record)?;
                    Ok(admitted)
                });
                (Admitted::ResourceManager(admitted), remaining)
            }
            Service::Entra => {
                record.caller = Self::entra_claimed_client(request);
                (Admitted::Entra(self.entra_admit(request)), None)
            }
            Service::Issuer => (Admitted::Issuer, None),
        }
    }

    /// A write of a credential begins, or is refused because another one on the same identity is under way.
    fn take_turn(&mut self, obstacles: &Obstacles, record: &mut RequestRecord) -> ArmResult<()> {
        let Some(identity) = &record.identity else {
            return Ok(());
        };
        if !self.settings.tunables.single_writer || !obstacles.takes_a_turn() {
            return Ok(());
        }
        if let Some(other) = self.writes.under_way(identity) {
            record.overlaps = Some(other);
            return Err(ArmError::concurrent_writes(identity));
        }
        self.writes.begin(identity, record.id);
        Ok(())
    }

    /// Second phase: the request changes the state and gets its answer. Call it once, at [`Operation::effect_at`] or later.
    pub fn take_effect(&mut self, operation: &mut Operation, now: Timestamp) -> Outcome {
        self.advance(now);
        let latency = operation.obstacles.latency_milliseconds;
        let answer = match operation.obstacles.fault.clone() {
            Some((
                _,
                FaultAction::LateEffect {
                    milliseconds,
                    keeps_turn,
                    keeps_connection,
                },
            )) => {
                if operation.is_let_in() {
                    self.postpone(operation, after(now, milliseconds), keeps_turn);
                }
                if keeps_connection {
                    Answer::Never
                } else {
                    Answer::ConnectionDropped
                }
            }
            Some((When::BeforeEffect, action)) => self.faulty_answer(operation, &action, None),
            Some((When::AfterEffect, action)) => {
                let response = self.carry_out(operation, now);
                let answer = self.faulty_answer(operation, &action, Some(response));
                if matches!(answer, Answer::ConnectionDropped | Answer::Never) {
                    // The provider is done with it, whoever still waits.
                    self.writes.end(operation.id);
                }
                answer
            }
            None => Answer::Response(self.carry_out(operation, now)),
        };
        Outcome {
            answer,
            at: after(now, latency - latency / 2),
        }
    }

    fn carry_out(&mut self, operation: &Operation, now: Timestamp) -> Response {
        if let Some(record) = self.log.record(operation.id) {
            record.effective = true;
            record.effect = operation.is_let_in().then_some(now);
        }
        let request = &operation.request;
        match operation.admitted.clone() {
            Admitted::ResourceManager(admitted) => {
                let response = self.arm_effect(request, admitted, now);
                self.arm_headers(request, response, operation.remaining)
            }
            Admitted::Entra(admitted) => {
                self.entra_effect(request, admitted, operation.documents.as_ref(), now)
            }
            Admitted::Issuer => self.issuer_effect(request),
        }
    }

    fn faulty_answer(
        &mut self,
        operation: &Operation,
        action: &FaultAction,
        right: Option<Response>,
    ) -> Answer {
        let request = &operation.request;
        match action.answer(request.service, right) {
            Answer::Response(response) if request.service == Service::ResourceManager => {
                let headers = response.headers.clone();
                let mut response = self.arm_headers(request, response, operation.remaining);
                // What the fault says goes before what Azure always sends.
                response.headers.extend(headers);
                Answer::Response(response)
            }
            answer => answer,
        }
    }

    /// Puts a write off. Without its turn it has to find the identity free when it comes to it.
    fn postpone(&mut self, operation: &Operation, due: Timestamp, keeps_turn: bool) {
        if keeps_turn {
            self.kept_turns.push(operation.id);
        } else {
            self.writes.end(operation.id);
        }
        let index = self.late_effects.partition_point(|late| late.due <= due);
        let operation = operation.clone();
        self.late_effects
            .insert(index, LateEffect { due, operation });
    }

    /// Brings what happens without a request up to this moment: writes that were lost and take effect late. Every phase
    /// does so by itself; a driver calls it before it looks at the state.
    pub fn advance(&mut self, now: Timestamp) {
        while self
            .late_effects
            .first()
            .is_some_and(|late| late.due <= now)
        {
            let LateEffect { due, operation } = self.late_effects.remove(0);
            let identity = self
                .log
                .record(operation.id)
                .and_then(|record| record.identity.clone());
            let other = identity.and_then(|identity| self.writes.under_way(&identity));
            if other.is_none_or(|other| other == operation.id) {
                self.carry_out(&operation, due);
            } else if let Some(record) = self.log.record(operation.id) {
                record.overlaps = other;
            }
            self.kept_turns.retain(|id| *id != operation.id);
            self.writes.end(operation.id);
        }
    }

    /// When the next late effect is due.
    pub fn next_late_effect(&self) -> Option<Timestamp> {
        self.late_effects.first().map(|late| late.due)
    }

    /// Notes that a request is being held.
    pub fn hold(&mut self, id: u64) {
        if let Some(record) = self.log.record(id) {
            record.held = true;
        }
    }

    /// Last phase: the answer was handed out, or (`None`) there was none to hand out or nobody to take it. Every request
    /// that has begun must end, also one whose caller has gone: until then it is under way.
    pub fn end(&mut self, id: u64, response: Option<&Response>, now: Timestamp) {
        self.advance(now);
        if !self.kept_turns.contains(&id) {
            self.writes.end(id);
        }
        if let Some(record) = self.log.record(id) {
            record.ended = Some(now);
            record.status = response.map(|response| response.status.as_u16());
            let request_id = response.and_then(|response| response.headers.get("x-ms-request-id"));
            let request_id = request_id.and_then(|id| id.to_str().ok());
            record.request_id = request_id.map(str::to_owned);
        }
    }
}
