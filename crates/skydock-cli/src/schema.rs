//! What a JSON Schema says about named values, and how words that a person types become such values.

use reqwest::Url;
use serde_json::{Map, Number, Value};

/// How deep references are followed before a schema counts as untyped.
const DEPTH: usize = 8;

/// One property of an object schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its key.
    pub name: String,
    /// Its title, for people.
    pub title: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it must be there.
    pub required: bool,
    /// What the server takes when it is not.
    pub default: Option<Value>,
    /// What it may be.
    pub kind: Kind,
}

/// What a value may be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kind {
    /// JSON Schema type names; empty means any.
    types: Vec<String>,
    /// The only values allowed; empty means no such limit.
    choices: Vec<Choice>,
    /// What the items of an array may be.
    items: Option<Box<Self>>,
    format: Option<String>,
    /// Bounds of a number.
    range: (Option<f64>, Option<f64>),
    /// Bounds of a text's length, or of an array's.
    length: (Option<u64>, Option<u64>),
}

/// One of the values allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The value.
    pub value: Value,
    /// Its title, for people.
    pub title: Option<String>,
}

/// The properties of an object schema, those that are required first.
#[must_use]
pub fn parameters(schema: &Map<String, Value>) -> Vec<Parameter> {
    let root = Value::Object(schema.clone());
    let names = |key: &str| {
        schema
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let required = names("required");
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut parameters: Vec<_> = properties
        .iter()
        .map(|(name, property)| {
            let resolved = resolve(&root, property, DEPTH);
            let text = |key: &str| {
                let own = property.get(key).or_else(|| resolved.get(key));
                own.and_then(Value::as_str).map(str::to_owned)
            };
            Parameter {
                name: name.clone(),
                title: text("title"),
                description: text("description"),
                required: required.iter().any(|key| key == name),
                default: property
                    .get("default")
                    .or_else(|| resolved.get("default"))
                    .cloned(),
                kind: Kind::of(&root, property, DEPTH),
            }
        })
        .collect();
    parameters.sort_by_key(|parameter| !parameter.required);
    parameters
}

/// Follows `$ref` inside the document; references to the network are left alone (SEP-2106).
fn resolve<'a>(root: &'a Value, schema: &'a Value, depth: usize) -> &'a Value {
    let pointer = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix('#'));
    match pointer.and_then(|pointer| root.pointer(pointer)) {
        Some(found) if depth > 0 => resolve(root, found, depth - 1),
        _ => schema,
    }
}

impl Kind {
    fn of(root: &Value, schema: &Value, depth: usize) -> Self {
        let schema = resolve(root, schema, depth);
        let Some(depth) = depth.checked_sub(1) else {
            return Self::default();
        };
        let mut kind = Self::plain(root, schema, depth);
        for key in ["anyOf", "oneOf", "allOf"] {
            for variant in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                kind.absorb(Self::of(root, variant, depth));
            }
        }
        kind
    }

    fn plain(root: &Value, schema: &Value, depth: usize) -> Self {
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count = |keys: [&str; 2]| keys.iter().find_map(|key| schema.get(*key)?.as_u64());
        let types = match schema.get("type") {
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        Self {
            types,
            choices: choices(schema),
            items: schema
                .get("items")
                .map(|items| Box::new(Self::of(root, items, depth))),
            format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
            range: (number("minimum"), number("maximum")),
            length: (count(["minLength", "minItems"]), count(["maxLength", "maxItems"])),
        }
    }

    /// Takes in an alternative: what either allows is allowed.
    fn absorb(&mut self, other: Self) {
        self.types.extend(
            other
                .types
                .into_iter()
                .filter(|name| !self.types.contains(name))
                .collect::<Vec<_>>(),
        );
        self.choices.extend(other.choices);
        self.items = self.items.take().or(other.items);
        self.format = self.format.take().or(other.format);
        self.range = (self.range.0.or(other.range.0), self.range.1.or(other.range.1));
        self.length = (self.length.0.or(other.length.0), self.length.1.or(other.length.1));
    }

    fn allows(&self, name: &str) -> bool {
        self.types.iter().any(|known| known == name)
    }

    /// Whether several words make one value.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.allows("array")
    }

    /// The only values allowed, of an array's items too.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        match &self.items {
            Some(items) if self.choices.is_empty() => items.choices(),
            _ => &self.choices,
        }
    }

    /// The kind in a few words: `integer`, `array of string`, `a | b`.
    #[must_use]
    pub fn describe(&self) -> String {
        if !self.choices.is_empty() {
            return self
                .choices
                .iter()
                .map(|choice| word(&choice.value))
                .collect::<Vec<_>>()
                .join(" | ");
        }
        let names: Vec<_> = self
            .types
            .iter()
            .filter(|name| *name != "null")
            .map(String::as_str)
            .collect();
        match (names.as_slice(), &self.items, &self.format) {
            ([], _, _) => "any".to_owned(),
            (["array"], Some(items), _) => format!("array of {}", items.describe()),
            (["string"], _, Some(format)) => format!("string ({format})"),
            (names, _, _) => names.join(" | "),
        }
    }

    fn wanted(&self) -> String {
        match self.describe().as_str() {
            "boolean" => "true or false".to_owned(),
            noun if noun.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {noun}"),
            noun => format!("a {noun}"),
        }
    }

    /// Reads one value from the words given for it.
    ///
    /// # Errors
    /// What was wanted instead, as the end of a sentence that starts with the name.
    pub fn read(&self, words: &[String]) -> Result<Value, String> {
        let value = match words {
            [single] if !self.is_list() || single.trim_start().starts_with('[') => self.read_word(single)?,
            words if self.is_list() => {
                let item = self.items.as_deref().cloned().unwrap_or_default();
                words
                    .iter()
                    .map(|word| item.read_word(word))
                    .collect::<Result<Vec<_>, _>>()
                    .map(Value::Array)?
            }
            words => return Err(format!("takes one value, and {} are given", words.len())),
        };
        self.check(&value)?;
        Ok(value)
    }

    fn read_word(&self, word: &str) -> Result<Value, String> {
        if !self.choices.is_empty() {
            return self.choose(word);
        }
        if self.types.is_empty() {
            return Ok(serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.to_owned())));
        }
        let read = self
            .types
            .iter()
            .filter(|name| *name != "string")
            .find_map(|name| convert(name, word));
        let value = match read {
            Some(value) => value,
            None if self.allows("string") => Value::String(word.to_owned()),
            None => return Err(format!("must be {}, not {word:?}", self.wanted())),
        };
        self.check(&value)?;
        Ok(value)
    }

    fn choose(&self, text: &str) -> Result<Value, String> {
        let chosen = self.choices.iter().find(|choice| {
            word(&choice.value) == text
                || choice
                    .title
                    .as_deref()
                    .is_some_and(|title| title.eq_ignore_ascii_case(text))
        });
        chosen.map(|choice| choice.value.clone()).ok_or_else(|| {
            format!(
                "must be one of {}, not {text:?}",
                self.describe().replace(" | ", ", ")
            )
        })
    }

    /// Holds a value against the limits that words can break.
    ///
    /// # Errors
    /// As [`Kind::read`].
    fn check(&self, value: &Value) -> Result<(), String> {
        let length = match value {
            Value::String(text) => {
                self.check_format(text)?;
                Some((text.chars().count(), "characters"))
            }
            Value::Array(items) => Some((items.len(), "values")),
            _ => None,
        };
        if let Some((length, unit)) = length {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            match self.length {
                (Some(least), _) if length < least => return Err(format!("needs at least {least} {unit}")),
                (_, Some(most)) if length > most => return Err(format!("takes at most {most} {unit}")),
                _ => {}
            }
        }
        match (value.as_f64(), self.range) {
            (Some(number), (Some(least), _)) if number < least => Err(format!("must be at least {least}")),
            (Some(number), (_, Some(most))) if number > most => Err(format!("must be at most {most}")),
            _ => Ok(()),
        }
    }

    fn check_format(&self, text: &str) -> Result<(), String> {
        let (fits, example) = match self.format.as_deref() {
            Some("email") => {
                let fits = text
                    .split_once('@')
                    .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
                (fits, "an e-mail address such as me@example.com")
            }
            Some("uri") => (Url::parse(text).is_ok(), "a URI such as https://example.com"),
            Some("date") => (
                text.parse::<jiff::civil::Date>().is_ok(),
                "a date such as 2026-07-28",
            ),
            Some("date-time") => (
                text.parse::<jiff::Timestamp>().is_ok(),
                "a time such as 2026-07-28T09:30:00Z",
            ),
            _ => (true, ""),
        };
        if fits {
            Ok(())
        } else {
            Err(format!("must be {example}, not {text:?}"))
        }
    }
}

/// A value as a person would type it.
#[must_use]
pub fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn convert(name: &str, word: &str) -> Option<Value> {
    match name {
        "boolean" => match word {
            "true" | "yes" | "y" => Some(Value::Bool(true)),
            "false" | "no" | "n" => Some(Value::Bool(false)),
            _ => None,
        },
        "integer" => word
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| word.parse::<u64>().map(Value::from))
            .ok(),
        "number" => convert("integer", word)
            .or_else(|| word.parse().ok().and_then(Number::from_f64).map(Value::Number)),
        "null" => (word == "null").then_some(Value::Null),
        "object" => serde_json::from_str(word).ok().filter(Value::is_object),
        "array" => serde_json::from_str(word).ok().filter(Value::is_array),
        _ => None,
    }
}

fn choices(schema: &Value) -> Vec<Choice> {
    let titles = schema.get("enumNames").and_then(Value::as_array);
    let title = |index: usize| titles?.get(index)?.as_str().map(str::to_owned);
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let choice = |(index, value): (usize, &Value)| Choice {
            value: value.clone(),
            title: title(index),
        };
        return values.iter().enumerate().map(choice).collect();
    }
    let title = schema.get("title").and_then(Value::as_str).map(str::to_owned);
    schema
        .get("const")
        .map(|value| Choice {
            value: value.clone(),
            title,
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(schema: &Value) -> Kind {
        let object = json!({"type": "object", "properties": {"x": schema}, "$defs": {
            "Size": {"oneOf": [{"const": "S", "title": "small"}, {"const": "L"}]}}});
        parameters(object.as_object().unwrap()).remove(0).kind
    }

    fn read(schema: &Value, words: &[&str]) -> Result<Value, String> {
        kind(schema).read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_become_what_the_schema_says() {
        assert_eq!(read(&json!({"type": "string"}), &["42"]), Ok(json!("42")));
        assert_eq!(read(&json!({"type": "integer"}), &["42"]), Ok(json!(42)));
        assert_eq!(
            read(&json!({"type": ["number", "null"]}), &["0.5"]),
            Ok(json!(0.5))
        );
        assert_eq!(
            read(&json!({"type": ["integer", "null"]}), &["null"]),
            Ok(Value::Null)
        );
        assert_eq!(read(&json!({"type": "boolean"}), &["yes"]), Ok(json!(true)));
        assert_eq!(
            read(&json!({"type": "object"}), &[r#"{"a":1}"#]),
            Ok(json!({"a": 1}))
        );
        assert_eq!(read(&json!({}), &["[1]"]), Ok(json!([1])));
        assert_eq!(read(&json!({}), &["plain"]), Ok(json!("plain")));
    }

    #[test]
    fn an_array_takes_one_word_several_words_or_json() {
        let schema = json!({"type": "array", "items": {"type": "integer"}});
        assert_eq!(read(&schema, &["1"]), Ok(json!([1])));
        assert_eq!(read(&schema, &["1", "2"]), Ok(json!([1, 2])));
        assert_eq!(read(&schema, &["[1, 2]"]), Ok(json!([1, 2])));
        assert_eq!(
            read(&schema, &["one"]).unwrap_err(),
            "must be an integer, not \"one\""
        );
    }

    #[test]
    fn references_and_choices_are_resolved() {
        let size = kind(&json!({"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}]}));
        assert_eq!(size.describe(), "S | L");
        assert_eq!(size.read(&["small".into()]), Ok(json!("S")));
        assert_eq!(
            size.read(&["M".into()]).unwrap_err(),
            "must be one of S, L, not \"M\""
        );
        assert_eq!(
            kind(&json!({"$ref": "https://example.com/x.json"})).describe(),
            "any"
        );
    }

    #[test]
    fn limits_are_named() {
        let fault = |schema: Value, word| read(&schema, &[word]).unwrap_err();
        assert_eq!(
            fault(json!({"type": "integer", "minimum": 1}), "0"),
            "must be at least 1"
        );
        assert_eq!(
            fault(json!({"type": "string", "minLength": 3}), "ab"),
            "needs at least 3 characters"
        );
        assert!(fault(json!({"type": "string", "format": "email"}), "me").starts_with("must be an e-mail"));
        assert!(
            fault(json!({"type": "string", "format": "date"}), "2026-13-01").starts_with("must be a date")
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}});
        assert_eq!(parameters(schema.as_object().unwrap())[0].kind.describe(), "any");
    }
}
