//! Reads of Azure for one binding. All bindings of an identity share them; who gets a new one first has the others told.

use std::sync::Arc;

use azwib_crds::{ManagedIdentityId, ResolvedIdentity};

use crate::azure::AzureErrorKind;
use crate::binding::context::Context;
use crate::binding::credential::record::resolved;
use crate::binding::error::{Error, Failure, Wait};
use crate::binding::spread::{identity_seen, listing_seen};
use crate::binding::status::reason::ConditionType;
use crate::ledger::{AcknowledgedEarlier, BindingRef, Freshness, Ledger, Listing, ReadError};

/// What could not be read, and the identity if that could.
pub(super) struct Unread {
    pub(super) identity: Option<ResolvedIdentity>,
    pub(super) error: Error,
}

/// Reads of one binding.
pub(super) struct Reader<'a> {
    pub(super) who: &'a BindingRef,
    pub(super) ledger: &'a Arc<Ledger>,
    /// The identity as this binding spells it.
    pub(super) id: &'a ManagedIdentityId,
    pub(super) ctx: &'a Context,
}

impl Reader<'_> {
    /// The identity, as status records it.
    pub(super) async fn identity(&self, freshness: Freshness) -> Result<ResolvedIdentity, Unread> {
        match self.ledger.identity(self.who, freshness).await {
            Ok((identity, asked)) => {
                if self.ledger.is_news_of_identity(&identity, asked) {
                    identity_seen(&identity, self.ledger, self.ctx);
                }
                Ok(resolved(self.id.to_string(), &identity))
            }
            Err(error) => Err(Unread {
                identity: None,
                error: match error {
                    ReadError::Azure { source, again } => Failure::ReadIdentity {
                        identity: self.id.to_string(),
                        source,
                        again,
                    }
                    .into(),
                    ReadError::NotNow(why) => {
                        Wait::for_read(ConditionType::IdentityResolved, why).into()
                    }
                },
            }),
        }
    }

    /// The credentials of the identity; `earlier` is what Azure has acknowledged to an earlier process of this binding.
    pub(super) async fn listing(
        &self,
        identity: &ResolvedIdentity,
        freshness: Freshness,
        earlier: Option<AcknowledgedEarlier>,
    ) -> Result<Listing, Unread> {
        let read = self.ledger.listing_after(earlier, self.who, freshness);
        let (source, again) = match read.await {
            Ok(listing) => {
                if self.ledger.is_first_with_listing(listing.asked) {
                    listing_seen(&listing.credentials, self.ledger, self.ctx);
                }
                return Ok(listing);
            }
            Err(ReadError::Azure { source, again }) => (source, again),
            Err(ReadError::NotNow(why)) => {
                return Err(Unread {
                    identity: Some(identity.clone()),
                    error: Wait::for_read(ConditionType::CredentialReady, why).into(),
                });
            }
        };
        if source.kind() == AzureErrorKind::ParentNotFound {
            // The identity was there when it was last read: is it still?
            self.identity(Freshness::now()).await?;
        }
        Err(Unread {
            identity: Some(identity.clone()),
            error: Failure::ListCredentials {
                identity: self.id.to_string(),
                source,
                again,
            }
            .into(),
        })
    }
}
