//! A build without traces.

use std::convert::Infallible;
use std::path::Path;

use super::Collector;
use crate::runtime::telemetry::SpanLayer;

/// None: nothing takes spans, and there is nothing to send.
#[derive(Debug, Default)]
pub struct Traces(());

impl Traces {
    /// None. [`Collector::parse`] gives no collector in this build.
    ///
    /// # Errors
    /// There are none.
    pub fn to(_: Option<&Collector>, _: Option<&Path>) -> Result<Self, Infallible> {
        Ok(Self(()))
    }

    /// What takes spans: nothing does.
    pub fn layer(&self) -> Option<SpanLayer> {
        None
    }

    /// Sends what is left: there is nothing.
    pub async fn end(self) {}
}
