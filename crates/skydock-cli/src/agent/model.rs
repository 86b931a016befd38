//! The model that a name on the command line means.

use std::sync::Arc;

use skydock_agent::{
    client::tell,
    model::{
        Bedrock, Model, OpenAi, Scripted,
        bedrock::{Family, Guardrail},
        openai::Key,
    },
};

/// How models are named.
pub(super) const MODELS: &str = "write bedrock:ID, openai:URL#NAME or scripted:FILE";
const OPTIONS: &str = "write stream=off, cache=on, cache=off, family=FAMILY or guardrail=ID:VERSION";

/// The model of this name; `key` says where its key is kept.
///
/// # Errors
/// What is wrong with the name or the key, and what helps.
pub(crate) async fn model(text: &str, key: Option<&str>) -> Result<Arc<dyn Model>, String> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    if rest.is_empty() || !matches!(kind, "bedrock" | "openai" | "scripted") {
        return Err(format!("--model {text:?} is no model; {MODELS}"));
    }
    if let (Some(_), "bedrock" | "scripted") = (key, kind) {
        return Err(format!(
            "--model-key is for openai: models; {text:?} takes {}",
            if kind == "bedrock" {
                "the AWS credentials"
            } else {
                "none"
            }
        ));
    }
    let model: Result<Arc<dyn Model>, String> = match kind {
        "bedrock" => bedrock(rest).await.map(|model| Arc::new(model) as _),
        "openai" => openai(rest, key).map(|model| Arc::new(model) as _),
        _ => Scripted::open(rest.as_ref())
            .map(|model| Arc::new(model) as _)
            .map_err(|error| tell(&error)),
    };
    model.map_err(|fault| format!("--model {text:?}: {fault}"))
}

/// `ID[?OPTION&…]`.
async fn bedrock(text: &str) -> Result<Bedrock, String> {
    let (id, options) = text.split_once('?').unwrap_or((text, ""));
    let mut model = Bedrock::from_settings(id)
        .await
        .map_err(|error| error.to_string())?;
    // the family says what is cached, unless something else is said, whatever stands first
    let mut options: Vec<_> = options.split('&').filter(|option| !option.is_empty()).collect();
    options.sort_by_key(|option| !option.starts_with("family="));
    for option in options {
        model = match option.split_once('=') {
            Some(("stream", "on")) => model,
            Some(("stream", "off")) => model.without_streaming(),
            Some(("cache", "on")) => model.with_caching(true),
            Some(("cache", "off")) => model.with_caching(false),
            Some(("family", family)) => {
                let family: Family = family.parse().map_err(|error| format!("{error}"))?;
                model.with_family(family)
            }
            Some(("guardrail", guardrail)) => model.with_guardrail(guarded(guardrail)?),
            _ => return Err(format!("{option:?} is no option; {OPTIONS}")),
        };
    }
    Ok(model)
}

/// `ID:VERSION`; an ARN has colons itself.
fn guarded(text: &str) -> Result<Guardrail, String> {
    let is_version = |version: &str| {
        version == "DRAFT" || (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match text.rsplit_once(':') {
        Some((id, version)) if !id.is_empty() && is_version(version) => Ok(Guardrail {
            id: id.to_owned(),
            version: version.to_owned(),
        }),
        _ => Err(format!(
            "{text:?} is no guardrail; write its id and its version, such as abc123:1 or abc123:DRAFT"
        )),
    }
}

/// `URL#NAME`.
fn openai(text: &str, key: Option<&str>) -> Result<OpenAi, String> {
    let (url, name) = text.split_once('#').unwrap_or((text, ""));
    let model = OpenAi::new(url, name).map_err(|error| tell(&error))?;
    match key {
        Some(key) => {
            let key = Key::read(key).map_err(|error| format!("--model-key: {}", tell(&error)))?;
            Ok(model.with_key(key))
        }
        None => Ok(model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/x";

    #[tokio::test]
    async fn names_lead_to_models() {
        for (text, name, provider) in [
            ("openai:http://127.0.0.1:11434/v1#qwen3:8b", "qwen3:8b", "openai"),
            (
                &*format!("bedrock:{ARN}?family=claude&guardrail=g:1&stream=off"),
                ARN,
                "aws.bedrock",
            ),
        ] {
            let model = model(text, None).await.unwrap();
            assert_eq!((model.name(), model.provider()), (name, provider));
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_with_what_helps() {
        let arn = format!("bedrock:{ARN}?");
        for (text, key, parts) in [
            ("gpt", None, ["\"gpt\"", "bedrock:ID"]),
            ("bedrock:", None, ["\"bedrock:\"", "openai:URL#NAME"]),
            (
                "openai:http://127.0.0.1/v1",
                None,
                ["no model is named", "#qwen3"],
            ),
            ("openai:127.0.0.1#x", None, ["127.0.0.1", "http://"]),
            (
                "openai:http://127.0.0.1#x",
                Some("/no/key"),
                ["--model-key", "/no/key"],
            ),
            ("scripted:/no/script", None, ["--model", "/no/script"]),
            ("scripted:x", Some("env:A"), ["--model-key", "openai:"]),
            (&*format!("{arn}cache=maybe"), None, ["cache=maybe", "cache=off"]),
            (&*format!("{arn}family=llama"), None, ["llama", "nova"]),
            (&*format!("{arn}guardrail=g:x"), None, ["g:x", "DRAFT"]),
        ] {
            let fault = model(text, key).await.unwrap_err();
            for part in parts {
                assert!(fault.contains(part), "{text}: {fault}");
            }
        }
    }
}
