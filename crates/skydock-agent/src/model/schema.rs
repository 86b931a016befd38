//! Schemas of tools in one order, so that what a provider has in its cache is found again.

use serde_json::{Map, Value};

/// What is data in a schema: its order is somebody's choice.
const DATA: [&str; 5] = ["enum", "const", "default", "examples", "example"];

/// The schema with its keys sorted, and the names in `required` too: they are a set.
pub(super) fn sorted(schema: &Map<String, Value>) -> Value {
    let mut schema = Value::Object(schema.clone());
    sort_required(&mut schema);
    schema.sort_all_objects();
    schema
}

fn sort_required(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::Array(names) if key == "required" && names.iter().all(Value::is_string) => {
                        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                    }
                    value if !DATA.contains(&key.as_str()) => sort_required(value),
                    _ => {}
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(sort_required),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_sorted_and_a_list_is_not() {
        let schema = json!({
            "type": "object",
            "required": ["b", "a"],
            "properties": {
                "required": {"type": "array", "enum": [{"required": ["z", "y"]}]},
                "a": {"anyOf": [{"required": ["d", "c"]}], "enum": ["y", "x"]},
            },
        });
        let text = sorted(schema.as_object().unwrap()).to_string();
        let expected = r#"{"properties":{"a":{"anyOf":[{"required":["c","d"]}],"enum":["y","x"]},"required":{"enum":[{"required":["z","y"]}],"type":"array"}},"required":["a","b"],"type":"object"}"#;
        assert_eq!(text, expected);
    }
}
