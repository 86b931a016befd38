//! How the CDK writes the names of runtimes: constants of the class `Runtime` in `aws-cdk-lib/aws-lambda`.

/// The constant of a runtime, such as `NODEJS_22_X` for `nodejs22.x`. It is the same in TypeScript, Python, Java and C#.
pub(super) fn constant(runtime: &str) -> String {
    // those that do not follow the rule
    match runtime {
        "java8.al2" => return "JAVA_8_CORRETTO".to_owned(),
        "dotnetcore1.0" => return "DOTNET_CORE_1".to_owned(),
        "dotnetcore2.0" => return "DOTNET_CORE_2".to_owned(),
        _ => {}
    }
    if let Some(system) = runtime.strip_prefix("provided.") {
        return format!("PROVIDED_{}", system.to_uppercase());
    }
    let digit = runtime.find(|c: char| c.is_ascii_digit());
    let (family, version) = runtime.split_at(digit.unwrap_or(runtime.len()));
    let family = family.replace("dotnetcore", "dotnet_core").to_uppercase();
    if version.is_empty() {
        return family;
    }
    format!("{family}_{}", version.replace('.', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_those_of_the_cdk() {
        for (runtime, wanted) in [
            ("nodejs22.x", "NODEJS_22_X"),
            ("python3.13", "PYTHON_3_13"),
            ("python2.7", "PYTHON_2_7"),
            ("java21", "JAVA_21"),
            ("java8", "JAVA_8"),
            ("java8.al2", "JAVA_8_CORRETTO"),
            ("dotnet8", "DOTNET_8"),
            ("dotnetcore3.1", "DOTNET_CORE_3_1"),
            ("dotnetcore2.1", "DOTNET_CORE_2_1"),
            ("ruby3.3", "RUBY_3_3"),
            ("go1.x", "GO_1_X"),
            ("provided", "PROVIDED"),
            ("provided.al2", "PROVIDED_AL2"),
            ("provided.al2023", "PROVIDED_AL2023"),
        ] {
            assert_eq!(constant(runtime), wanted, "{runtime}");
        }
    }
}
