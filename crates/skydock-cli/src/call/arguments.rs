//! A tool's arguments, from the words on the command line and held against its schema before anything is sent.

use std::io::Read;

use serde_json::{Map, Value};

use super::suggest;
use crate::schema::{self, Parameter};

/// What a tool, or a prompt, takes.
#[derive(Debug)]
pub(super) struct Signature {
    /// Its name.
    pub(super) name: String,
    /// What it knows by name.
    pub(super) parameters: Vec<Parameter>,
    /// Whether it takes names that it does not know.
    pub(super) open: bool,
}

impl Signature {
    /// Of a tool.
    pub(super) fn of_tool(tool: &rmcp::model::Tool) -> Self {
        let declared = tool.input_schema.get("properties").is_some();
        let open = match tool.input_schema.get("additionalProperties") {
            None => !declared,
            Some(Value::Bool(open)) => *open,
            Some(_) => true,
        };
        Self {
            name: tool.name.to_string(),
            parameters: schema::parameters(&tool.input_schema),
            open,
        }
    }

    /// Of a prompt, whose arguments are all strings.
    pub(super) fn of_prompt(prompt: &rmcp::model::Prompt) -> Self {
        let text = serde_json::json!({"type": "string"});
        let mut properties = Map::new();
        let mut required = Vec::new();
        for argument in prompt.arguments.iter().flatten() {
            let mut property = text.clone();
            if let (Some(map), Some(description)) = (property.as_object_mut(), &argument.description) {
                map.insert("description".into(), description.clone().into());
            }
            properties.insert(argument.name.clone(), property);
            if argument.required == Some(true) {
                required.push(Value::String(argument.name.clone()));
            }
        }
        let object = Map::from_iter([
            ("properties".to_owned(), Value::Object(properties)),
            ("required".to_owned(), Value::Array(required)),
        ]);
        Self {
            name: prompt.name.clone(),
            parameters: schema::parameters(&object),
            open: false,
        }
    }

    /// Reads `key=value` words.
    pub(super) fn read(&self, words: &[String], faults: &mut Vec<String>) -> Map<String, Value> {
        let mut given: Vec<(&str, Vec<String>)> = Vec::new();
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                faults.push(format!("{word:?} is not of the form key=value"));
                continue;
            };
            match given.iter_mut().find(|(known, _)| *known == key) {
                Some((_, values)) => values.push(value.to_owned()),
                None => given.push((key, vec![value.to_owned()])),
            }
        }
        let mut arguments = Map::new();
        for (key, values) in given {
            let kind = self
                .parameters
                .iter()
                .find(|parameter| parameter.name == key)
                .map(|known| &known.kind);
            match kind.cloned().unwrap_or_default().read(&values) {
                Ok(value) => drop(arguments.insert(key.to_owned(), value)),
                Err(fault) => {
                    // it is there, if wrong: then it is not also missing
                    arguments.insert(key.to_owned(), Value::Null);
                    faults.push(format!("{key} {fault}"));
                }
            }
        }
        arguments
    }

    /// Names what is missing and what is not known.
    pub(super) fn check(&self, arguments: &Map<String, Value>, faults: &mut Vec<String>) {
        let names = || self.parameters.iter().map(|parameter| parameter.name.as_str());
        for key in arguments
            .keys()
            .filter(|key| !self.open && names().all(|name| name != *key))
        {
            let hint = match suggest::nearest(key, names()) {
                Some(near) => format!("did you mean {near}?"),
                None if self.parameters.is_empty() => "it takes none".to_owned(),
                None => format!("it takes {}", names().collect::<Vec<_>>().join(", ")),
            };
            faults.push(format!("{} has no argument {key:?}; {hint}", self.name));
        }
        for missing in self
            .parameters
            .iter()
            .filter(|it| it.required && !arguments.contains_key(&it.name))
        {
            let what = missing
                .description
                .as_deref()
                .and_then(|text| text.lines().next())
                .map(|text| text.trim_end_matches('.'));
            let what = what.map(|text| format!(": {text}")).unwrap_or_default();
            let (name, kind) = (&missing.name, missing.kind.describe());
            faults.push(format!("{} needs {name}{what}; add {name}=… ({kind})", self.name));
        }
    }
}

/// Reads the value of `--json`: an object, `@file` or `-` for stdin.
pub(super) fn read_json(source: &str) -> Result<Map<String, Value>, String> {
    let text = match source.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?
        }
        None if source == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| format!("cannot read the arguments from stdin: {error}"))?;
            text
        }
        None => source.to_owned(),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err("--json must be an object such as {\"key\": \"value\"}".to_owned()),
        Err(error) => Err(format!("--json is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signature(schema: &Value) -> Signature {
        let object = schema.as_object().cloned().unwrap();
        Signature::of_tool(&rmcp::model::Tool::new("order", "orders", object))
    }

    fn faults(signature: &Signature, words: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let arguments = signature.read(&words, &mut faults);
        signature.check(&arguments, &mut faults);
        faults
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let order = signature(
            &json!({"type": "object", "required": ["size", "name"], "properties": {
            "size": {"type": "integer"}, "name": {"type": "string", "description": "Who it is for"},
            "toppings": {"type": "array", "items": {"type": "string"}}}}),
        );
        assert_eq!(
            faults(&order, &["size=big", "topings=ham", "loose"]),
            [
                "\"loose\" is not of the form key=value",
                "size must be an integer, not \"big\"",
                "order has no argument \"topings\"; did you mean toppings?",
                "order needs name: Who it is for; add name=… (string)",
            ]
        );
        assert!(faults(&order, &["size=3", "name=a=b", "toppings=x", "toppings=y"]).is_empty());
    }

    #[test]
    fn a_tool_without_declared_properties_takes_anything() {
        assert!(faults(&signature(&json!({"type": "object"})), &["x=1"]).is_empty());
        let none = signature(&json!({"type": "object", "properties": {}}));
        assert_eq!(
            faults(&none, &["x=1"]),
            ["order has no argument \"x\"; it takes none"]
        );
    }
}
