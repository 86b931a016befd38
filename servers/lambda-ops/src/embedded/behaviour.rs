//! What the embedded account's functions do when they run, and how they break on a runtime they were not made for.

use serde_json::{Value, json};

use super::function::Function;
use crate::runtimes::language;

/// What a function is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// The language it is written in; none for a container image.
    pub(super) language: Option<String>,
    pub(super) habit: Habit,
}

/// How it takes events and runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Answers any event, on any version of its language.
    Sound,
    /// Requires the AWS SDK for JavaScript v2, which Lambda left out from Node.js 18 on.
    NeedsBundledSdk,
    /// Answers through a callback, which Lambda does not take from Node.js 24 on.
    NeedsCallback,
    /// Imports distutils, which Python left out from 3.12 on.
    NeedsDistutils,
    /// Has a native extension built for one minor version of Python.
    NativeExtension { minor: u32 },
    /// Uses JAXB, which Java left out from 11 on.
    NeedsJaxb,
    /// A Go binary called `main`; runtimes of the family `provided` start one called `bootstrap`.
    NoBootstrap,
    /// Fails on every event.
    AlwaysRaises,
    /// Never ends in time.
    TimesOut,
}

impl Behaviour {
    /// A function that a client creates: its code is not run, so it works, unless its handler is called `fail`.
    pub(super) fn created(language: Option<&str>, handler: &str) -> Self {
        let habit = if handler.ends_with(".fail") {
            Habit::AlwaysRaises
        } else {
            Habit::Sound
        };
        Self {
            language: language.map(str::to_owned),
            habit,
        }
    }
}

/// What came of a run.
pub(super) struct Ran {
    pub(super) answer: Value,
    pub(super) failed: bool,
    pub(super) log: String,
}

/// Runs the function with an event.
pub(super) fn run(function: &Function, version: &str, event: &Value, request_id: &str) -> Ran {
    let broken = breaks(function, event, request_id);
    let failed = broken.is_some();
    let told = match &broken {
        Some(error) => format!("[ERROR] {error}\n"),
        None => format!(
            "{{\"level\":\"INFO\",\"message\":\"{} handled one event\"}}\n",
            function.name
        ),
    };
    let memory = function.memory;
    let log = format!(
        "START RequestId: {request_id} Version: {version}\n{told}END RequestId: {request_id}\n\
         REPORT RequestId: {request_id}\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: {memory} MB\t\
         Max Memory Used: {} MB\n",
        memory.min(74)
    );
    let answer = broken.unwrap_or_else(|| {
        let body = json!({ "function": function.name, "received": event }).to_string();
        json!({ "statusCode": 200, "headers": { "content-type": "application/json" }, "body": body })
    });
    Ran { answer, failed, log }
}

/// The error the function ends with, if it does.
fn breaks(function: &Function, event: &Value, request_id: &str) -> Option<Value> {
    let runtime = function.runtime_in_force().unwrap_or_default();
    let (major, minor) = version(runtime);
    let is = |name: &str| language(runtime) == name;
    match function.behaviour.habit {
        Habit::NeedsBundledSdk if is("nodejs") && major >= 18 => Some(error(
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'aws-sdk'\nRequire stack:\n- /var/task/index.js\n- /var/runtime/index.mjs",
        )),
        Habit::NeedsCallback if is("nodejs") && major >= 24 => Some(error(
            "Runtime.CallbackHandlerDeprecated",
            "AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You will \
             need to modify this function to use a supported handler signature to use Node.js 24 or later.",
        )),
        Habit::NeedsDistutils if is("python") && (major, minor) >= (3, 12) => Some(error(
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'distutils'",
        )),
        Habit::NativeExtension { minor: built } if is("python") && minor != built => Some(error(
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'pydantic_core._pydantic_core'",
        )),
        Habit::NeedsJaxb if is("java") && major >= 11 => Some(error(
            "java.lang.NoClassDefFoundError",
            "javax/xml/bind/JAXBException",
        )),
        Habit::NoBootstrap if is("provided") => Some(error(
            "Runtime.InvalidEntrypoint",
            &format!(
                "RequestId: {request_id} Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
            ),
        )),
        Habit::AlwaysRaises => {
            let keys = event.as_object().map_or(0, serde_json::Map::len);
            Some(error(
                "ValueError",
                &format!("missing required key 'orderId' in an event of {keys} keys"),
            ))
        }
        Habit::TimesOut => {
            let text = format!(
                "RequestId: {request_id} Error: Task timed out after {}.00 seconds",
                function.timeout
            );
            Some(error("Sandbox.Timedout", &text))
        }
        _ => foreign(function.behaviour.language.as_deref(), runtime, &function.handler),
    }
}

/// No function survives the runtime of another language. Go's binaries run on the families `go` and `provided`.
fn foreign(home: Option<&str>, runtime: &str, handler: &str) -> Option<Value> {
    let family = |language: &str| {
        if language == "provided" {
            "go".to_owned()
        } else {
            language.replace("core", "")
        }
    };
    let home = home?;
    if runtime.is_empty() || family(home) == family(language(runtime)) {
        return None;
    }
    let module = handler.split(['.', ':']).next().unwrap_or(handler);
    Some(error(
        "Runtime.ImportModuleError",
        &format!("Unable to import module '{module}': No such file or directory"),
    ))
}

fn error(kind: &str, message: &str) -> Value {
    json!({ "errorType": kind, "errorMessage": message, "trace": [] })
}

/// The numbers in a runtime's identifier: `(3, 12)` of `python3.12`, `(22, 0)` of `nodejs22.x`.
fn version(runtime: &str) -> (u32, u32) {
    let numbers = runtime.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let mut parts = numbers.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("python3.9"), (3, 9));
        assert!(version("python3.12") > version("python3.9"));
        assert_eq!(version("nodejs22.x"), (22, 0));
        assert_eq!(version("java8.al2"), (8, 0));
    }
}
