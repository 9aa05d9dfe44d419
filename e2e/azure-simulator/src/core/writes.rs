//! Writes of federated identity credentials that are under way. The managed identity provider takes one at a time for
//! an identity: <https://github.com/Azure/bicep-registry-modules/issues/1447>,
//! <https://github.com/hashicorp/terraform-provider-azurerm/issues/29242> (deletions too).

/// One write, from its arrival until its answer goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    /// The lower-cased id of the identity.
    identity: String,
    /// Its number in the request log.
    id: u64,
}

/// The writes that are under way: few, so that looking through all of them is cheap.
#[derive(Debug, Default)]
pub(crate) struct Writes(Vec<Write>);

impl Writes {
    /// The write that an identity is busy with.
    pub(crate) fn under_way(&self, identity: &str) -> Option<u64> {
        self.0
            .iter()
            .find(|write| write.identity == identity)
            .map(|write| write.id)
    }

    /// Notes that a write has begun.
    pub(crate) fn begin(&mut self, identity: &str, id: u64) {
        self.0.push(Write {
            identity: identity.to_owned(),
            id,
        });
    }

    /// Notes that a write has ended; it may have ended before, or not be one.
    pub(crate) fn end(&mut self, id: u64) {
        self.0.retain(|write| write.id != id);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Begin(&'static str, u64),
        End(u64),
    }

    #[test]
    fn an_identity_is_busy_from_the_beginning_of_a_write_to_its_end() {
        use Step::{Begin, End};
        let cases: [(&[Step], Option<u64>); 7] = [
            (&[], None),
            (&[Begin("orders", 1)], Some(1)),
            (&[Begin("billing", 1)], None),
            (&[Begin("orders", 1), End(1)], None),
            (&[Begin("orders", 1), End(2)], Some(1)),
            (&[Begin("orders", 1), Begin("billing", 2), End(2)], Some(1)),
            (
                &[Begin("orders", 1), End(1), End(1), Begin("orders", 2)],
                Some(2),
            ),
        ];
        for (number, (steps, expected)) in cases.into_iter().enumerate() {
            let mut writes = Writes::default();
            for step in steps {
                match step {
                    Begin(identity, id) => writes.begin(identity, *id),
                    End(id) => writes.end(*id),
                }
            }
            assert_eq!(writes.under_way("orders"), expected, "case {number}");
        }
    }
}
