//! The table of what goes wrong with Azure: one row for each kind of failure, with all that follows from it.
//!
//! To add one, add its row; if it has a reason of its own, add that to `reasons!` of `binding/status/reason.rs`. Nothing
//! compiles until all columns are there and the reason exists.

/// Hands the table to a macro, which takes of each row what it needs: [`super::kind`] the kind, its answers and its pace,
/// and the controller the rest. A reason is only a name here, so nothing of the controller is imported.
///
/// The columns:
///
/// - the kind, with what it means;
/// - the answers that are of this kind, as [`super::kind`] reads them: where one fits several, the surest counts, and of
///   these the first;
/// - the [`Pace`](crate::kubeutil::backoff::Pace) at which it is tried again, unless Azure says when to come back;
/// - the reason that a status shows, or `absent`: what was asked for is not there, and who asked knows the reason;
/// - what a message quotes of Azure's words: `FirstSentence`, `Everything`, or `After("…")`, words of ours before it;
/// - what to do about it.
macro_rules! azure_errors {
    ($take:ident) => { $take! {
        /// Another write to the credentials of the same identity is under way.
        ConcurrentWrite: [
            // Source: https://github.com/Azure/bicep-registry-modules/issues/1447
            code("ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity")
        ], Backoff, WaitingForTurn, FirstSentence, "it is tried again without you doing anything";

        /// The identity already has a credential of another name for this issuer and subject.
        IssuerSubjectExists: [
            // By its text: Microsoft documents it as a 400, and the field reports it as a 409 with code `Conflict`.
            // Source: https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
            says(400, 400, "issuer and subject combination already exists"),
            says(409, 409, "issuer and subject combination already exists")
        ], Backoff, CredentialExists, FirstSentence, "it is tried again without you doing anything";

        /// The identity was made a moment ago and has not reached the directory.
        DirectoryNotReady: [
            // Source: https://github.com/Azure/Azure-Verified-Modules/pull/2673
            says(0, u16::MAX, "ms graph resource not found")
        ], Backoff, Creating, FirstSentence, "it is tried again without you doing anything";

        /// The identity is there, the credential is not.
        CredentialNotFound: [status_and_code(404, "NotFound")], Backoff, absent, FirstSentence,
            "it is tried again without you doing anything";

        /// The identity, its resource group or its subscription does not exist.
        ParentNotFound: [
            status_and_code(404, "ResourceNotFound"),
            status_and_code(404, "ResourceGroupNotFound"),
            status_and_code(404, "SubscriptionNotFound"),
            status_and_code(404, "ParentResourceNotFound")
        ], WaitForArrival, absent, FirstSentence,
            "create the managed identity, or correct the reference in a new binding";

        /// Resource Manager does not take our token, nor a second, fresh one.
        Unauthorized: [status(401, 401)], WaitForArrival, AzureAuthenticationFailed,
            After("Azure Resource Manager does not accept the operator's token"),
            "check the operator's own identity: its client id, tenant id and federated identity credential";

        /// The operator has no role that allows this.
        AuthorizationFailed: [code("AuthorizationFailed")], WaitForArrival, AuthorizationFailed, FirstSentence,
            "grant the operator a role with this action there; a new role assignment can take 10 minutes";

        /// Azure Policy denies it.
        PolicyDenied: [code("RequestDisallowedByPolicy")], WaitForArrival, PolicyDenied, Everything,
            "an Azure Policy forbids it: ask for an exemption, or use an identity outside of its scope";

        /// A lock on the identity or above forbids it.
        ScopeLocked: [code("ScopeLocked")], WaitForArrival, ScopeLocked, FirstSentence,
            "remove the lock on the identity or above";

        /// The identity's region does not support federated identity credentials.
        RegionNotSupported: [status_and_code(405, "MethodNotAllowed")], WaitForChange, RegionNotSupported, FirstSentence,
            "use a managed identity in a region that supports federated identity credentials";

        /// Too many requests.
        Throttled: [
            status(429, 429),
            code("SubscriptionRequestsThrottled"),
            code("ResourceRequestsThrottled"),
            code("TooManyRequests")
        ], Backoff, Throttled, After("Azure asks for fewer requests"), "it is tried again without you doing anything";

        /// No answer, or none that came from Resource Manager: 408, 5xx, a redirect, a timeout, a broken connection, a
        /// body that is not what was asked for.
        Unavailable: [
            status(300, 399),
            status(408, 408),
            status(500, u16::MAX),
            // Something between Azure and us answered.
            not_json()
        ], Backoff, AzureUnavailable, After("Azure Resource Manager does not answer as it should"),
            "it is tried again without you doing anything";

        /// Something above the roles forbids this to the operator, such as a deny assignment.
        AccessDenied: [
            // `DenyAssignmentAuthorizationFailed`, `LinkedAuthorizationFailed` and their like.
            other(403, 403)
        ], WaitForArrival, AuthorizationFailed, FirstSentence,
            "no role of the operator helps: whoever made the deny assignment or the rule has to exclude the operator's \
             identity, or use a managed identity outside of its scope";

        /// Another operation in Azure is in the way, such as the deletion of the resource group.
        Conflict: [
            // `Conflict`, `ResourceGroupBeingDeleted` and their like; 412 and 423 say the same of a state that passes.
            other(409, 409),
            other(412, 412),
            other(423, 423)
        ], WaitForArrival, AzureConflict, Everything,
            "it is tried again; if it stays so, look at what goes on with the identity, its resource group and its \
             subscription";

        /// Any other refusal.
        Refused: [other(0, u16::MAX)], WaitForChange, RequestRefused, Everything,
            "correct what Azure names, or report it if the request looks right";

        /// The authority cannot be reached or has a fault that passes.
        SignInUnavailable: [
            // 404 and 410: the instance metadata service is busy with an update.
            of_sign_in(status(300, 399)),
            of_sign_in(status(404, 404)),
            of_sign_in(status(408, 408)),
            of_sign_in(status(410, 410)),
            of_sign_in(status(429, 429)),
            of_sign_in(status(500, u16::MAX)),
            of_sign_in(not_json()),
            // A fault that passes, the directory unavailable, the tenant throttled.
            // Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
            of_sign_in(code("AADSTS90024")),
            of_sign_in(code("AADSTS90033")),
            of_sign_in(code("AADSTS90055"))
        ], Backoff, AzureUnavailable, After("the sign-in to Azure does not answer as it should"),
            "it is tried again without you doing anything";

        /// Entra refuses to give us a token, or there is no credential to ask with. The code, where there is one, is
        /// an `AADSTS…` code.
        SignInFailed: [of_sign_in(other(0, u16::MAX))], WaitForArrival, AzureAuthenticationFailed, FirstSentence,
            "check the operator's own identity: its client id, tenant id and federated identity credential";
    } };
}

pub(crate) use azure_errors;
