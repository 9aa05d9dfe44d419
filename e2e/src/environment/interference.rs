//! What a test puts between the operator and Azure: held requests and outages, of one namespace's resource group only.

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{
    Fault, FaultAction, Hold, HoldState, Matcher, RuleId, Service, When,
};

use super::{Environment, Namespace, PATIENCE};

/// A request that the simulator holds once it comes.
#[derive(Debug)]
pub struct HeldRequest {
    control: ControlClient,
    id: RuleId,
}

impl HeldRequest {
    /// Waits until the request is held.
    ///
    /// # Errors
    /// It does not come in time.
    pub async fn reached(&self) -> anyhow::Result<()> {
        let state = self.control.wait_for_hold(self.id, PATIENCE).await?;
        anyhow::ensure!(state == HoldState::Reached, "the request is {state:?}");
        Ok(())
    }

    /// Lets the request go.
    ///
    /// # Errors
    /// It was not held: it never came, or its caller has gone.
    pub async fn release(self) -> anyhow::Result<()> {
        let state = self.control.release_hold(self.id).await?;
        anyhow::ensure!(state == HoldState::Released, "the request is {state:?}");
        Ok(())
    }
}

/// Requests that fail until [`Self::end`].
#[derive(Debug)]
pub struct Outage {
    control: ControlClient,
    id: RuleId,
}

impl Outage {
    /// Everything is as before.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn end(self) -> anyhow::Result<()> {
        Ok(self.control.remove_fault(self.id).await?)
    }
}

/// The answer of a service that is overloaded.
pub fn service_unavailable() -> FaultAction {
    FaultAction::Respond {
        status: 503,
        code: "ServiceUnavailable".to_owned(),
        message: "The service is temporarily unavailable.".to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

impl Environment {
    /// Matching requests fail like this from now on. A matcher that is not confined to a resource group hits every test
    /// of the environment.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn outage(&self, matcher: Matcher, action: FaultAction) -> anyhow::Result<Outage> {
        let control = self.control();
        let fault = Fault {
            matcher,
            skip: 0,
            times: None,
            when: When::BeforeEffect,
            action,
        };
        let id = control.add_fault(&fault).await?;
        Ok(Outage { control, id })
    }

    /// The next sign-in will be held, whoever signs in.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn hold_sign_in(&self, when: When) -> anyhow::Result<HeldRequest> {
        let matcher = Matcher {
            service: Some(Service::Entra),
            method: Some("POST".to_owned()),
            path: Some(format!("/{}/**", self.simulator.tenant())),
            ..Matcher::default()
        };
        self.hold_matching(matcher, 1, when).await
    }

    async fn hold_matching(
        &self,
        matcher: Matcher,
        nth: u64,
        when: When,
    ) -> anyhow::Result<HeldRequest> {
        let control = self.control();
        let hold = Hold { matcher, nth, when };
        let id = control.add_hold(&hold).await?;
        Ok(HeldRequest { control, id })
    }
}

impl Namespace<'_> {
    /// The next such request to an identity of this namespace will be held.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn hold(
        &self,
        method: &str,
        identity: &str,
        when: When,
    ) -> anyhow::Result<HeldRequest> {
        let matcher = self.requests_to(method, identity);
        self.environment().hold_matching(matcher, 1, when).await
    }

    /// The next such request to an identity of this namespace will be held, and is never carried out: its connection is cut once it
    /// is let go.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn hold_lost(&self, method: &str, identity: &str) -> anyhow::Result<HeldRequest> {
        let matcher = self.requests_to(method, identity);
        let lost = Fault {
            matcher: matcher.clone(),
            skip: 0,
            times: Some(1),
            when: When::BeforeEffect,
            action: FaultAction::DropConnection,
        };
        self.environment().control().add_fault(&lost).await?;
        let when = When::BeforeEffect;
        self.environment().hold_matching(matcher, 1, when).await
    }

    /// The nth such operation (from 1; named as in the simulator's log) in this namespace's resource group will be held.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn hold_operation(
        &self,
        operation: &str,
        nth: u64,
        when: When,
    ) -> anyhow::Result<HeldRequest> {
        let matcher = Matcher {
            operation: Some(operation.to_owned()),
            path: Some(format!("{}/**", self.resource_group_id())),
            ..Matcher::default()
        };
        self.environment().hold_matching(matcher, nth, when).await
    }

    /// All requests to this namespace's resource group fail like this from now on.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn outage(&self, action: FaultAction) -> anyhow::Result<Outage> {
        let matcher = Matcher {
            path: Some(format!("{}/**", self.resource_group_id())),
            ..Matcher::default()
        };
        self.environment().outage(matcher, action).await
    }

    /// Takes the operator's role on the resource group away.
    ///
    /// # Errors
    /// The control API does not answer.
    pub async fn revoke_operator(&self) -> anyhow::Result<()> {
        let control = self.environment().control();
        let scope = self.resource_group_id();
        for assignment in control.role_assignments().await? {
            if assignment.scope.eq_ignore_ascii_case(&scope) {
                control.delete_role_assignment(assignment.id).await?;
            }
        }
        Ok(())
    }
}
