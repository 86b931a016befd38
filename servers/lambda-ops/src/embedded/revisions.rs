//! The operations on versions and aliases, and what a qualifier stands for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    answer::{Answer, Refused},
    connector::Request,
    function::{Alias, Function, Version},
    operation::Operation,
    operations::{body, found, page, text},
    state::{State, arn},
};

type Answered = Result<Answer, Refused>;

/// A function as a path names it: by name or ARN, with an optional version or alias.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) qualifier: Option<String>,
}

impl Resource {
    /// Reads a name, a partial ARN or an ARN; the qualifier may also stand in the query.
    pub(super) fn parse(named: &str, query: Option<&String>) -> Result<Self, Refused> {
        let short = named.rsplit_once(":function:").map_or(named, |(_, short)| short);
        let (name, own) = match short.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
            None => (short, None),
        };
        let qualifier = match (own, query.cloned()) {
            (Some(own), Some(query)) if own != query => {
                return Err(Refused::invalid(
                    "The derived qualifier from the function name does not match.",
                ));
            }
            (own, query) => own.or(query),
        };
        Ok(Self {
            name: name.to_owned(),
            qualifier,
        })
    }

    pub(super) fn arn(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", arn(&self.name)),
            None => arn(&self.name),
        }
    }
}

/// The function as it is at the qualifier, and the version that this is.
pub(super) fn version(state: &mut State, at: &Resource) -> Result<(Function, String), Refused> {
    let missing = || Refused::not_found(&format!("Function not found: {}", at.arn()));
    let function = found(state, at)?;
    let qualifier = at.qualifier.as_deref().unwrap_or("$LATEST");
    let version = function
        .aliases
        .get(qualifier)
        .map_or(qualifier, |alias| alias.version.as_str());
    if version == "$LATEST" {
        return Ok((function.clone(), version.to_owned()));
    }
    let number: u32 = version.parse().map_err(|_not_a_number| missing())?;
    let frozen = function
        .versions
        .iter()
        .find(|version| version.number == number)
        .ok_or_else(missing)?;
    Ok((frozen.frozen.as_ref().clone(), version.to_owned()))
}

pub(super) fn answer(
    state: &mut State,
    operation: Operation,
    at: &Resource,
    alias: &str,
    request: &Request,
) -> Answered {
    match operation {
        Operation::PublishVersion => publish(state, at, request),
        Operation::ListVersionsByFunction => list_versions(state, at, request),
        Operation::ListAliases => {
            let function = found(state, at)?;
            let rows = function
                .aliases
                .iter()
                .map(|(name, alias)| (name.clone(), alias_json(at, name, alias)));
            page(request, rows.collect(), "Aliases")
        }
        Operation::CreateAlias => create_alias(state, at, request),
        Operation::UpdateAlias => update_alias(state, at, alias, request),
        Operation::DeleteAlias => {
            found(state, at)?.aliases.remove(alias);
            Ok(Answer::empty(204))
        }
        _ => {
            let held = found(state, at)?
                .aliases
                .get(alias)
                .ok_or_else(|| no_alias(at, alias))?;
            Ok(Answer::ok(&alias_json(at, alias, held)))
        }
    }
}

fn publish(state: &mut State, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let revision = state.identifier();
    let function = found(state, at)?;
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
    let version = unchanged.unwrap_or_else(|| {
        let mut frozen = Function {
            versions: Vec::new(),
            aliases: BTreeMap::new(),
            revision,
            ..function.clone()
        };
        if let Some(description) = text(&body, "Description") {
            description.clone_into(&mut frozen.description);
        }
        let number = function.versions.last().map_or(1, |last| last.number + 1);
        let version = Version {
            number,
            frozen: Box::new(frozen),
        };
        function.versions.push(version.clone());
        version
    });
    Ok(Answer::json(
        201,
        &version.frozen.configuration(&version.number.to_string()),
    ))
}

fn list_versions(state: &mut State, at: &Resource, request: &Request) -> Answered {
    let function = found(state, at)?;
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
    Refused::not_found(&format!("Cannot find alias arn: {}:{alias}", arn(&at.name)))
}

fn alias_json(at: &Resource, name: &str, alias: &Alias) -> Value {
    json!({
        "AliasArn": format!("{}:{name}", arn(&at.name)),
        "Name": name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    })
}

fn create_alias(state: &mut State, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let name = text(&body, "Name")
        .ok_or_else(|| Refused::invalid("Name must not be null"))?
        .to_owned();
    let to = text(&body, "FunctionVersion").unwrap_or_default().to_owned();
    version(
        state,
        &Resource {
            name: at.name.clone(),
            qualifier: Some(to.clone()),
        },
    )?;
    let revision = state.identifier();
    let function = found(state, at)?;
    if function.aliases.contains_key(&name) {
        return Err(Refused::conflict(format!(
            "Alias already exists: {}:{name}",
            arn(&at.name)
        )));
    }
    let description = text(&body, "Description").unwrap_or_default().to_owned();
    let alias = Alias {
        version: to,
        description,
        revision,
    };
    let answer = Answer::json(201, &alias_json(at, &name, &alias));
    function.aliases.insert(name, alias);
    Ok(answer)
}

fn update_alias(state: &mut State, at: &Resource, name: &str, request: &Request) -> Answered {
    let body = body(request)?;
    if let Some(to) = text(&body, "FunctionVersion") {
        version(
            state,
            &Resource {
                name: at.name.clone(),
                qualifier: Some(to.to_owned()),
            },
        )?;
    }
    let revision = state.identifier();
    let alias = found(state, at)?
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
    alias.revision = revision;
    Ok(Answer::ok(&alias_json(at, name, alias)))
}
