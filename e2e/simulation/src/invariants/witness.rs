//! What the invariants note and judge of what happens.

use std::sync::Arc;

use azure_simulator::core::Azure;
use azure_simulator::core::http::Request;
use jiff::Timestamp;
use serde_json::Value;

use super::books::Books;
use super::{
    accounts, azure, finalizers, grants, kubernetes, looks, neighbours, newcomers, one_writer,
    read_only, slots, statuses, watches,
};
use crate::caller::Caller;
use crate::kubernetes::{Call, Key, Kind};
use crate::requests::{Answered, Effect, credential_of, operation};
use crate::shared::{Shared, Witness};

impl Witness for Books {
    fn process_began(&self, shared: &Shared, process: &Caller) {
        let mut books = self.open();
        books.leads = process.number;
        books.foreign.process_began(shared.time.now());
    }

    fn process_died(&self, shared: &Shared, process: &Caller) {
        let mut books = self.open();
        // One that waits is missed by nobody.
        if books.leads == process.number {
            books.foreign.process_died(shared.time.now());
        }
    }

    fn process_went_on(&self, shared: &Shared, process: &Caller) {
        let now = shared.time.now();
        self.open().went_on.insert(process.replica, now);
    }

    fn lease_written(&self, shared: &Shared, process: &Caller, holder: Option<u32>) {
        one_writer::lease_written(self.judge(shared), process, holder);
    }

    fn write_sent(&self, shared: &Shared, process: &Caller, what: &str) {
        one_writer::sent(self.judge(shared), process, what);
    }

    fn pass_began(&self, shared: &Shared, process: &Caller, namespace: &str, name: &str) {
        let now = shared.time.now();
        self.open().foreign.looked(namespace, name, now);
        looks::began(self.judge(shared), process, namespace, name);
    }

    fn old_list_shown(&self, shared: &Shared, process: &Caller, version: u64) {
        let list = (version, shared.time.now());
        self.open().old_list.insert(process.replica, list);
    }

    fn shown(&self, shared: &Shared, process: &Caller, kind: Kind, version: u64) {
        grants::shown(self.judge(shared), process, kind, version);
    }

    fn watch_opened(&self, shared: &Shared, process: &Caller, kind: Kind) {
        watches::opened(self.judge(shared), process, kind);
    }

    fn slow_write_began(&self, shared: &Shared, process: &Caller, namespace: &str) {
        neighbours::held(self.judge(shared), process, namespace);
    }

    fn slow_write_ended(&self, shared: &Shared, process: &Caller) {
        neighbours::let_go(self.judge(shared), process);
    }

    fn called(&self, shared: &Shared, process: &Caller, call: &Call<'_>) {
        let judge = self.judge(shared);
        read_only::called(shared, process, call);
        finalizers::written(judge, call);
        accounts::written(judge, process, call);
        kubernetes::called(judge, call);
        grants::account_written(judge, process, call);
        grants::told(judge, process, call);
    }

    fn request_sent(&self, shared: &Shared, process: &Caller, request: &Request) {
        let judge = self.judge(shared);
        read_only::sent(shared, process, request);
        azure::sent(judge, process, request);
        slots::sent(judge, request);
        grants::sent(judge, process, request);
    }

    fn request_arrived(&self, shared: &Shared, process: &Caller, id: u64, request: &Request) {
        azure::arrived(self.judge(shared), process, id, request);
    }

    fn request_had_effect(&self, shared: &Shared, process: &Caller, effect: &Effect<'_>) {
        azure::had_effect(self.judge(shared), process, effect);
    }

    fn request_ended(&self, shared: &Shared, request: &Request) {
        if credential_of(request).is_some() && operation(request) != "GET" {
            self.open().last_write = Some(shared.time.now());
        }
    }

    fn request_answered(&self, shared: &Shared, process: &Caller, answered: &Answered<'_>) {
        let (judge, request) = (self.judge(shared), answered.request);
        match answered.answer {
            Some(response) => azure::answered(judge, process, request, response),
            None => azure::lost(judge, process, request),
        }
    }

    fn azure_looked_at(&self, shared: &Shared, azure: &Azure) {
        slots::look(self.judge(shared), azure);
    }

    fn identity_touched(&self, shared: &Shared, identity: &str) {
        self.open().touch(identity, shared.time.now());
    }

    fn credential_touched(&self, shared: &Shared, identity: &str, name: Option<&str>) {
        self.open()
            .touch_credential(identity, name, shared.time.now());
    }

    fn credential_removed(&self, shared: &Shared, identity: &str, name: &str) {
        self.open().remove(identity, name, shared.time.now());
    }

    fn client_id_ended(&self, shared: &Shared, client_id: String) {
        self.open().newcomers.ended(client_id, shared.time.now());
    }

    fn identity_came(&self, shared: &Shared, identity: &str, since: Timestamp) {
        newcomers::came(self.judge(shared), identity, since);
    }

    fn dependents_orphaned(&self, shared: &Shared, uid: String) {
        self.open().orphaned.insert(uid, shared.time.now());
    }

    fn status_put(&self, shared: &Arc<Shared>, binding: &Key, before: &Value, status: &Value) {
        statuses::put(self, shared, binding, before, status);
    }

    fn restored(&self, shared: &Shared, binding: &Value) {
        statuses::restored(self.judge(shared), binding);
    }
}
