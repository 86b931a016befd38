//! The operations on versions and aliases, and what a qualifier stands for.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};

use super::{
    ACCOUNT_ID,
    answer::{Answer, Refused},
    function::{Alias, Function, Starting, Version},
    operation::Operation,
    operations::{body, found, page, text},
    request::Request,
    state::{Region, arn},
};
use crate::account::FunctionName;

type Answered = Result<Answer, Refused>;

/// A function as a path names it: by name or ARN, with an optional version or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// Where it was asked for.
    pub(super) region: String,
    pub(super) name: String,
    pub(super) qualifier: Option<String>,
}

impl Resource {
    /// Reads a name, a partial ARN or an ARN; the qualifier may also stand in the query. What is of another region is not
    /// found, and what is of another account may not be touched.
    pub(super) fn parse(
        region: &str,
        named: &str,
        query: Option<&String>,
        operation: Operation,
    ) -> Result<Self, Refused> {
        let given = FunctionName::parse(named).map_err(|_not_a_name| {
            Refused::invalid("Value at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern")
        })?;
        if let Some(there) = given.region().filter(|there| *there != region) {
            return Err(Refused::out_of_reach(there, region));
        }
        if given.account().is_some_and(|account| account != ACCOUNT_ID) {
            return Err(Refused::denied(operation));
        }
        let own = given.qualifier().map(str::to_owned);
        let qualifier = match (own, query.cloned()) {
            (Some(own), Some(query)) if own != query => {
                return Err(Refused::invalid(
                    "The derived qualifier from the function name does not match.",
                ));
            }
            (own, query) => own.or(query),
        };
        Ok(Self {
            region: region.to_owned(),
            name: given.name().to_owned(),
            qualifier,
        })
    }

    /// The ARN without version or alias.
    pub(super) fn function_arn(&self) -> String {
        arn(&self.region, &self.name)
    }

    /// The same function at another version or alias.
    fn at(&self, qualifier: &str) -> Self {
        Self {
            qualifier: Some(qualifier.to_owned()),
            ..self.clone()
        }
    }

    pub(super) fn arn(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.function_arn()),
            None => self.function_arn(),
        }
    }
}

/// The function at the qualifier, and the version that this is.
fn resolve<'a>(region: &'a mut Region, at: &Resource) -> Result<(&'a mut Function, String), Refused> {
    let missing = || Refused::not_found(&format!("Function not found: {}", at.arn()));
    let function = found(region, at)?;
    let qualifier = at.qualifier.as_deref().unwrap_or("$LATEST");
    let version = function
        .aliases
        .get(qualifier)
        .map_or(qualifier, |alias| alias.version.as_str())
        .to_owned();
    if version == "$LATEST" {
        return Ok((function, version));
    }
    let number: u32 = version.parse().map_err(|_not_a_number| missing())?;
    let frozen = function
        .versions
        .iter_mut()
        .find(|version| version.number == number)
        .ok_or_else(missing)?;
    Ok((&mut frozen.frozen, version))
}

/// The function as it is at the qualifier, and the version that this is.
pub(super) fn version(region: &mut Region, at: &Resource) -> Result<(Function, String), Refused> {
    resolve(region, at).map(|(function, version)| (function.clone(), version))
}

/// The same, after a look at it, with which updates move on.
pub(super) fn read(region: &mut Region, at: &Resource) -> Result<(Function, String), Refused> {
    let (function, version) = resolve(region, at)?;
    function.read();
    Ok((function.clone(), version))
}

pub(super) fn answer(
    region: &mut Region,
    operation: Operation,
    at: &Resource,
    alias: &str,
    request: &Request,
) -> Answered {
    match operation {
        Operation::PublishVersion => publish(region, at, request),
        Operation::ListVersionsByFunction => list_versions(region, at, request),
        Operation::ListAliases => {
            let function = found(region, at)?;
            let rows = function
                .aliases
                .iter()
                .map(|(name, alias)| (name.clone(), alias_json(at, name, alias)));
            page(request, rows.collect(), "Aliases")
        }
        Operation::CreateAlias => create_alias(region, at, request),
        Operation::UpdateAlias => update_alias(region, at, alias, request),
        Operation::DeleteAlias => {
            found(region, at)?.aliases.remove(alias);
            Ok(Answer::empty(204))
        }
        _ => {
            let held = found(region, at)?
                .aliases
                .get(alias)
                .ok_or_else(|| no_alias(at, alias))?;
            Ok(Answer::ok(&alias_json(at, alias, held)))
        }
    }
}

fn publish(region: &mut Region, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let (revision, latest, pace) = (region.identifier(), region.identifier(), region.pace);
    let function = found(region, at)?;
    if function.is_updating() {
        return Err(Refused::in_progress(&function.arn()));
    }
    if text(&body, "RevisionId").is_some_and(|given| given != function.revision) {
        return Err(Refused::outdated());
    }
    if text(&body, "CodeSha256").is_some_and(|given| given != function.code_sha256) {
        return Err(Refused::invalid(
            "CodeSHA256 is different from current CodeSHA256 in $LATEST.",
        ));
    }
    // AWS publishes nothing new while nothing has changed since the last version.
    let unchanged = function
        .versions
        .last()
        .filter(|last| last.frozen.last_modified == function.last_modified)
        .cloned();
    if let Some(version) = unchanged {
        return Ok(published(&version));
    }
    let mut frozen = Function {
        versions: Vec::new(),
        aliases: BTreeMap::new(),
        revision,
        starting: function.snap_start.then(|| Starting {
            reads_left: pace.reads,
            until: Instant::now() + pace.time,
        }),
        ..function.clone()
    };
    if let Some(description) = text(&body, "Description") {
        description.clone_into(&mut frozen.description);
    }
    let version = Version {
        number: function.versions.last().map_or(1, |last| last.number + 1),
        frozen: Box::new(frozen),
    };
    function.versions.push(version.clone());
    // As on AWS, publishing is a change of $LATEST too.
    function.revision = latest;
    Ok(published(&version))
}

fn published(version: &Version) -> Answer {
    let configuration = version.frozen.configuration(&version.number.to_string());
    Answer::json(201, &configuration)
}

fn list_versions(region: &mut Region, at: &Resource, request: &Request) -> Answered {
    let function = found(region, at)?;
    let mut rows = BTreeMap::from([(String::new(), function.listed("$LATEST"))]);
    for version in &function.versions {
        rows.insert(
            format!("{:06}", version.number),
            version.frozen.listed(&version.number.to_string()),
        );
    }
    page(request, rows, "Versions")
}

fn no_alias(at: &Resource, alias: &str) -> Refused {
    Refused::not_found(&format!("Cannot find alias arn: {}:{alias}", at.function_arn()))
}

fn alias_json(at: &Resource, name: &str, alias: &Alias) -> Value {
    let mut json = json!({
        "AliasArn": format!("{}:{name}", at.function_arn()),
        "Name": name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    });
    if let Some(object) = json.as_object_mut()
        && !alias.weights.is_empty()
    {
        let routing = json!({ "AdditionalVersionWeights": alias.weights });
        object.insert("RoutingConfig".to_owned(), routing);
    }
    json
}

/// The other versions that a request gives a part of the traffic; none if it does not speak of them.
fn weights(body: &Value) -> Option<BTreeMap<String, f64>> {
    let routing = body.get("RoutingConfig")?;
    let given = routing.get("AdditionalVersionWeights").cloned();
    Some(
        given
            .and_then(|weights| serde_json::from_value(weights).ok())
            .unwrap_or_default(),
    )
}

fn create_alias(region: &mut Region, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let name = text(&body, "Name")
        .ok_or_else(|| Refused::invalid("Name must not be null"))?
        .to_owned();
    let to = text(&body, "FunctionVersion").unwrap_or_default().to_owned();
    version(region, &at.at(&to))?;
    let revision = region.identifier();
    let function = found(region, at)?;
    if function.aliases.contains_key(&name) {
        return Err(Refused::conflict(format!(
            "Alias already exists: {}:{name}",
            at.function_arn()
        )));
    }
    let description = text(&body, "Description").unwrap_or_default().to_owned();
    let alias = Alias {
        version: to,
        weights: weights(&body).unwrap_or_default(),
        description,
        revision,
    };
    let answer = Answer::json(201, &alias_json(at, &name, &alias));
    function.aliases.insert(name, alias);
    Ok(answer)
}

fn update_alias(region: &mut Region, at: &Resource, name: &str, request: &Request) -> Answered {
    let body = body(request)?;
    if let Some(to) = text(&body, "FunctionVersion") {
        version(region, &at.at(to))?;
    }
    let revision = region.identifier();
    let alias = found(region, at)?
        .aliases
        .get_mut(name)
        .ok_or_else(|| no_alias(at, name))?;
    if text(&body, "RevisionId").is_some_and(|given| given != alias.revision) {
        return Err(Refused::outdated());
    }
    if let Some(to) = text(&body, "FunctionVersion") {
        to.clone_into(&mut alias.version);
    }
    if let Some(description) = text(&body, "Description") {
        description.clone_into(&mut alias.description);
    }
    if let Some(weights) = weights(&body) {
        alias.weights = weights;
    }
    alias.revision = revision;
    Ok(Answer::ok(&alias_json(at, name, alias)))
}
