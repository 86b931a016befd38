//! What shall go wrong in the embedded account, and when.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::operation::Operation;

/// Faults waiting to happen. Each happens once per order, to the next call it fits.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Orders>);

#[derive(Debug, Default)]
struct Orders {
    /// What becomes of the next calls, in order; none: they pass.
    refusals: HashMap<Operation, VecDeque<Option<Refusal>>>,
    /// What becomes of the next calls of any operation.
    of_all: VecDeque<Refusal>,
    /// Goes over to `of_all` when this operation is called.
    of_all_from: HashMap<Operation, (Refusal, usize)>,
    unreachable: HashSet<String>,
    refusing: HashMap<String, Refusal>,
    after_the_fact: HashSet<Operation>,
    garbled: HashSet<Operation>,
    /// How many calls pass before the one that is not answered.
    unanswered: HashMap<Operation, usize>,
    behind: HashMap<String, Behind>,
    changed: HashSet<String>,
    failing: HashMap<String, String>,
    unsettled: HashSet<String>,
}

/// How a call is refused before anything happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Throttled,
    Denied,
    KeyDenied,
    Looping,
    Conflicting,
    Broken,
    Expired,
    RoleNotAssumed,
}

/// How long a function is shown as it was before its next update.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Behind {
    /// How many more updates come before it is shown so.
    pub(super) updates: usize,
    /// How many reads show it so.
    pub(super) reads: usize,
}

/// What becomes of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    Fails(String),
    NeverSettles,
}

impl Faults {
    /// Lets the next `times` calls pass before what is ordered after this.
    pub fn let_pass(&self, operation: Operation, times: usize) {
        self.order(operation, None, times);
    }

    /// Refuses the next `times` calls with `TooManyRequestsException`.
    pub fn throttle(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::Throttled), times);
    }

    /// Refuses the next `times` calls with `AccessDeniedException`.
    pub fn deny(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::Denied), times);
    }

    /// Refuses the next `times` calls with `KMSAccessDeniedException`, as AWS does if it cannot decrypt the environment.
    pub fn deny_the_key(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::KeyDenied), times);
    }

    /// Refuses the next `times` calls with `RecursiveInvocationException`, as AWS does with functions that call each other.
    pub fn stop_a_loop(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::Looping), times);
    }

    /// Refuses the next `times` calls with `ResourceConflictException`, as AWS does while another change is under way.
    pub fn conflict(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::Conflicting), times);
    }

    /// Answers the next `times` calls with a 500 without carrying them out: the caller cannot know.
    pub fn break_down(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::Broken), times);
    }

    /// Refuses the next `times` calls as made with credentials that have expired.
    pub fn expire_credentials(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::Expired), times);
    }

    /// Refuses the next `times` calls of any operation as made with credentials that have expired.
    pub fn expire_all_credentials(&self, times: usize) {
        let expired = std::iter::repeat_n(Refusal::Expired, times);
        self.orders().of_all.extend(expired);
    }

    /// Lets the credentials expire with the next call of `operation`: that call and those of any operation after it are
    /// refused, `times` in all.
    pub fn expire_credentials_from(&self, operation: Operation, times: usize) {
        let order = (Refusal::Expired, times);
        self.orders().of_all_from.insert(operation, order);
    }

    /// Refuses the next `times` calls of any operation with the service's code for throttling.
    pub fn throttle_all(&self, times: usize) {
        let throttled = std::iter::repeat_n(Refusal::Throttled, times);
        self.orders().of_all.extend(throttled);
    }

    /// Lets every connection to the region fail, from now on.
    pub fn make_unreachable(&self, region: &str) {
        self.orders().unreachable.insert(region.to_owned());
    }

    /// Refuses every call in the region with `AccessDeniedException`, from now on: as an organisation's policy does.
    pub fn deny_the_region(&self, region: &str) {
        self.orders().refusing.insert(region.to_owned(), Refusal::Denied);
    }

    /// Throttles every call in the region, from now on.
    pub fn throttle_the_region(&self, region: &str) {
        self.orders()
            .refusing
            .insert(region.to_owned(), Refusal::Throttled);
    }

    /// Leaves the next call without an answer for ever.
    pub fn never_answer(&self, operation: Operation) {
        self.never_answer_after(operation, 0);
    }

    /// The same with the call after the next `passing`.
    pub fn never_answer_after(&self, operation: Operation, passing: usize) {
        self.orders().unanswered.insert(operation, passing);
    }

    /// Shows the function as it was before its next update for `reads` more reads of its configuration.
    pub fn show_the_past(&self, function: &str, reads: usize) {
        self.show_the_past_after(function, 0, reads);
    }

    /// The same, but from the `updates`-th update after the next on: what is shown is older than one update.
    pub fn show_the_past_after(&self, function: &str, updates: usize, reads: usize) {
        let behind = Behind { updates, reads };
        self.orders().behind.insert(function.to_owned(), behind);
    }

    /// Refuses the next `times` calls with `InvalidParameterValueException`, as AWS does if it cannot assume the role.
    pub fn refuse_the_role(&self, operation: Operation, times: usize) {
        self.order(operation, Some(Refusal::RoleNotAssumed), times);
    }

    /// Carries the next call out, but cuts the answer off before its end.
    pub fn garble_the_answer(&self, operation: Operation) {
        self.orders().garbled.insert(operation);
    }

    /// Carries the next call out, but answers it with a 500: the caller cannot know.
    pub fn lose_the_answer(&self, operation: Operation) {
        self.orders().after_the_fact.insert(operation);
    }

    /// Lets somebody else change the function just before its next update arrives.
    pub fn change_under_the_feet(&self, function: &str) {
        self.orders().changed.insert(function.to_owned());
    }

    /// Lets the function's next update end as `Failed`, for `reason`.
    pub fn fail_the_update(&self, function: &str, reason: &str) {
        self.orders()
            .failing
            .insert(function.to_owned(), reason.to_owned());
    }

    /// Lets the function's next update stay `InProgress` for ever.
    pub fn never_settle(&self, function: &str) {
        self.orders().unsettled.insert(function.to_owned());
    }

    fn order(&self, operation: Operation, refusal: Option<Refusal>, times: usize) {
        self.orders()
            .refusals
            .entry(operation)
            .or_default()
            .extend(std::iter::repeat_n(refusal, times));
    }

    pub(super) fn refusal(&self, operation: Operation, region: &str) -> Option<Refusal> {
        let mut orders = self.orders();
        if let Some(refusal) = orders.refusing.get(region) {
            return Some(*refusal);
        }
        if let Some((refusal, times)) = orders.of_all_from.remove(&operation) {
            orders.of_all.extend(std::iter::repeat_n(refusal, times));
        }
        if let Some(refusal) = orders.of_all.pop_front() {
            return Some(refusal);
        }
        orders.refusals.get_mut(&operation)?.pop_front().flatten()
    }

    pub(super) fn is_unreachable(&self, region: &str) -> bool {
        self.orders().unreachable.contains(region)
    }

    pub(super) fn loses_the_answer(&self, operation: Operation) -> bool {
        self.orders().after_the_fact.remove(&operation)
    }

    pub(super) fn garbles_the_answer(&self, operation: Operation) -> bool {
        self.orders().garbled.remove(&operation)
    }

    pub(super) fn leaves_unanswered(&self, operation: Operation) -> bool {
        let mut orders = self.orders();
        match orders.unanswered.get_mut(&operation) {
            Some(0) => orders.unanswered.remove(&operation).is_some(),
            Some(passing) => {
                *passing -= 1;
                false
            }
            None => false,
        }
    }

    pub(super) fn reads_behind(&self, function: &str) -> Behind {
        self.orders().behind.remove(function).unwrap_or_default()
    }

    pub(super) fn changes(&self, function: &str) -> bool {
        self.orders().changed.remove(function)
    }

    pub(super) fn fate(&self, function: &str) -> Fate {
        let mut orders = self.orders();
        if let Some(reason) = orders.failing.remove(function) {
            return Fate::Fails(reason);
        }
        if orders.unsettled.remove(function) {
            Fate::NeverSettles
        } else {
            Fate::Succeeds
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
