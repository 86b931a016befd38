//! What becomes of a request: the fault that is due, or the operation it is for.

use serde_json::json;

use super::{
    ACCOUNT_ID, Embedded,
    answer::{Answer, Refused},
    faults::Refusal,
    neighbours,
    operation::{Operation, Service, Target},
    operations,
    request::{Request, Scope},
    revisions::{self, Resource},
    state::Region,
    surroundings,
};

/// How a request ends.
pub(super) enum Outcome {
    Answered(Answer),
    /// Never: the caller waits.
    Unanswered,
    /// The connection fails, as nobody is there in this region.
    Unreachable(String),
}

/// Answers a request, with the faults that are due.
pub(super) fn answer(embedded: &Embedded, request: &Request) -> Outcome {
    let Some(Scope { region, service }) = request.scope() else {
        return Outcome::Answered(Refused::unsigned().answer(Service::Lambda));
    };
    let path = format!("/{}", request.path.join("/"));
    let Some(service) = Service::signed_as(service) else {
        let service = format!("{service}:");
        return Outcome::Answered(
            Refused::not_offered(&service, &request.method, &path).answer(Service::Lambda),
        );
    };
    let Some(target) = Target::of(service, request) else {
        return Outcome::Answered(Refused::not_offered("", &request.method, &path).answer(service));
    };
    let (operation, faults) = (target.operation, embedded.faults());
    let mut state = embedded.state();
    state.calls.push((operation, region.to_owned()));
    if faults.is_unreachable(region) {
        return Outcome::Unreachable(region.to_owned());
    }
    if faults.leaves_unanswered(operation) {
        return Outcome::Unanswered;
    }
    let done = match faults.refusal(operation, region) {
        Some(refusal) => Err(refused(refusal, operation)),
        None => carry_out(embedded, state.region(region), &target, request),
    };
    let mut answered = done.unwrap_or_else(|refused| refused.answer(service));
    if faults.garbles_the_answer(operation) {
        answered.body.pop();
    }
    if faults.loses_the_answer(operation) {
        answered = Refused::broken().answer(service);
    }
    Outcome::Answered(answered)
}

fn refused(refusal: Refusal, operation: Operation) -> Refused {
    match refusal {
        Refusal::Throttled => Refused::throttled(),
        Refusal::Denied => Refused::denied(operation),
        Refusal::KeyDenied => Refused::key_denied(),
        Refusal::Looping => Refused::looping(),
        Refusal::Conflicting => Refused::conflict("The operation cannot be performed at this time."),
        Refusal::Broken => Refused::broken(),
        Refusal::Expired => Refused::expired(),
        Refusal::RoleNotAssumed => {
            Refused::invalid("The role defined for the function cannot be assumed by Lambda.")
        }
    }
}

fn carry_out(
    embedded: &Embedded,
    region: &mut Region,
    target: &Target<'_>,
    request: &Request,
) -> Result<Answer, Refused> {
    let Target {
        operation,
        function,
        alias,
    } = *target;
    match operation {
        Operation::GetCallerIdentity => return Ok(neighbours::identity()),
        Operation::GetResources => return neighbours::tagged(region, request),
        Operation::GetLayerVersionByArn => return surroundings::layer(request),
        Operation::ListEventSourceMappings => return surroundings::event_sources(region, request),
        Operation::CreateFunction => return operations::create(embedded, region, request),
        Operation::ListFunctions => return operations::list(region, request),
        Operation::GetAccountSettings => return Ok(operations::settings(region)),
        _ => {}
    }
    let at = Resource::parse(&region.name, function, request.query.get("Qualifier"), operation)?;
    match operation {
        Operation::GetFunction => operations::get(region, &at),
        Operation::GetFunctionConfiguration => operations::get_configuration(region, &at),
        Operation::GetFunctionConcurrency => surroundings::concurrency(region, &at),
        Operation::UpdateFunctionConfiguration => operations::update(embedded, region, &at, request),
        Operation::Invoke => operations::invoke(region, &at, request),
        Operation::ListTags => {
            let tags = &operations::found(region, &at)?.tags;
            Ok(Answer::ok(&json!({ "Tags": tags })))
        }
        Operation::TagResource => operations::tag(region, &at, request),
        Operation::DeleteFunction => {
            operations::found(region, &at)?;
            region.functions.remove(&at.name);
            Ok(Answer::empty(204))
        }
        _ => revisions::answer(region, operation, &at, alias, request),
    }
}

/// The ARN that the account's callers have.
pub(super) fn caller() -> String {
    format!("arn:aws:sts::{ACCOUNT_ID}:assumed-role/lambda-ops/embedded")
}
