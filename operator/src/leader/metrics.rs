//! Whether this process leads.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The name of what is led, as the Lease has it.
type Name = [(&'static str, &'static str); 1];

/// Whether this process leads, under the name that client-go gives it.
#[derive(Debug, Clone)]
pub struct LeaderMetrics {
    leads: Gauge,
    terms: Counter,
    family: Family<Name, Gauge>,
}

impl LeaderMetrics {
    /// Of a process that does not lead the Lease of this name.
    pub fn new(name: &'static str) -> Self {
        let family = Family::<Name, Gauge>::default();
        let leads = family.get_or_create(&[("name", name)]).clone();
        Self {
            leads,
            terms: Counter::default(),
            family,
        }
    }

    /// Has the registry show them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "leader_election_master_status",
            "1 for the process that leads, 0 for one that waits",
            self.family.clone(),
        );
        registry.register(
            "azwib_leader_terms",
            "How often this process has begun to lead",
            self.terms.clone(),
        );
    }

    /// A term begins.
    pub fn begins(&self) {
        self.terms.inc();
        self.leads.set(1);
    }

    /// A term is over.
    pub fn ends(&self) {
        self.leads.set(0);
    }
}
