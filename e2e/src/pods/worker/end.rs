//! A pod ends.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use tokio::time::sleep;

use super::Worker;
use crate::pods::container::stop;
use crate::pods::status::{End, State};
use crate::supervisor::Exit;

/// Before the next try to take a pod off an API server that is away.
const DELETE_AGAIN: Duration = Duration::from_secs(1);

impl Worker {
    /// Ends the pod as its deletion asks for, and then takes it off the API server.
    pub(super) async fn end(mut self) {
        let running = self.process.take();
        if let Some(running) = &running {
            let exit = stop(&running.process, self.grace()).await;
            self.facts.state = State::Ended(End {
                exit: exit.unwrap_or(Exit::Signal(9)),
                started: running.started,
                finished: Timestamp::now(),
            });
            self.forget();
            self.report().await;
        }
        let name = self.pod.name_any();
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        while let Err(error) = self.pods.delete(&name, &at_once).await {
            if matches!(&error, kube::Error::Api(status) if [404, 409].contains(&status.code)) {
                break;
            }
            eprintln!("deleting {name}: {error:#}");
            sleep(DELETE_AGAIN).await;
        }
        self.vanish().await;
    }

    /// Ends what is left of a pod that is gone.
    pub(super) async fn vanish(mut self) {
        if let Some(running) = self.process.take() {
            let _ = running.process.kill().await;
        }
        self.forget();
        if let Some(sandbox) = &self.sandbox {
            sandbox.end().await;
        }
    }
}
