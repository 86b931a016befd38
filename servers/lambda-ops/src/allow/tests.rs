//! What is within reach, and how a refusal says why not.

use super::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn allow(deeds: &[&str], functions: &[&str], tags: &[&str]) -> Allow {
    Allow::read(&strings(deeds), &strings(functions), &strings(tags)).expect("nothing is wrong")
}

fn faults(deeds: &[&str], functions: &[&str], tags: &[&str]) -> String {
    Allow::read(&strings(deeds), &strings(functions), &strings(tags))
        .expect_err("something is wrong")
        .to_string()
}

fn identity() -> Identity {
    Identity {
        account: "123456789012".into(),
        arn: "arn:aws:iam::123456789012:user/x".into(),
        region: "eu-central-1".into(),
    }
}

fn tags(tags: &[(&str, &str)]) -> Tags {
    tags.iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

fn write(allow: &Allow, name: &str, given: &[(&str, &str)]) -> Result<(), Refusal> {
    let name = FunctionName::parse(name).expect("a name");
    allow.write(&name, &tags(given), &identity())
}

#[test]
fn nothing_is_permitted_by_default_and_each_by_its_own_word() {
    let orders = FunctionName::parse("orders-api").expect("a name");
    let may = |allow: &Allow| {
        [
            allow.invoke(&orders, &Tags::new(), &identity()).is_ok(),
            allow.write(&orders, &Tags::new(), &identity()).is_ok(),
        ]
    };
    assert_eq!(may(&Allow::nothing()), [false, false]);
    assert_eq!(may(&allow(&[], &[], &[])), [false, false]);
    assert_eq!(may(&allow(&["invoke"], &[], &[])), [true, false]);
    assert_eq!(may(&allow(&["write"], &[], &[])), [false, true]);
    assert_eq!(may(&Allow::everything()), [true, true]);
    let refusal = write(&Allow::nothing(), "orders-api", &[]).expect_err("it is off");
    assert!(refusal.to_string().contains("without --allow write"), "{refusal}");
}

#[test]
fn a_name_must_fit_a_pattern_and_a_tag_must_fit_a_rule() {
    let limited = allow(
        &["write"],
        &["shop-*", "orders-?pi"],
        &["team=shop", "lambda-ops"],
    );
    assert!(limited.needs_tags());
    for (name, given, fits) in [
        ("shop-cart", &[("team", "shop")][..], true),
        ("orders-api", &[("lambda-ops", "")], true),
        ("shop-cart", &[("team", "payments")], false),
        ("shop-cart", &[], false),
        ("my-shop-cart", &[("team", "shop")], false),
        ("Shop-cart", &[("team", "shop")], false),
        ("orders-aapi", &[("team", "shop")], false),
    ] {
        assert_eq!(write(&limited, name, given).is_ok(), fits, "{name} {given:?}");
    }
    let by_name = write(&limited, "other", &[])
        .expect_err("it fits none")
        .to_string();
    assert!(
        by_name.contains("\"other\"") && by_name.contains("shop-*, orders-?pi"),
        "{by_name}"
    );
    let by_tag = write(&limited, "shop-cart", &[])
        .expect_err("it has none")
        .to_string();
    assert!(by_tag.contains("team=shop or lambda-ops"), "{by_tag}");
}

#[test]
fn an_arn_counts_by_its_name_and_only_at_home() {
    let limited = allow(&["write"], &["shop-*"], &[]);
    assert_eq!(
        write(
            &limited,
            "arn:aws:lambda:eu-central-1:123456789012:function:shop-cart",
            &[]
        ),
        Ok(())
    );
    assert_eq!(write(&limited, "123456789012:shop-cart:live", &[]), Ok(()));
    let by_name = write(
        &limited,
        "arn:aws:lambda:eu-central-1:123456789012:function:other:shop-1",
        &[],
    );
    assert!(matches!(by_name, Err(Refusal::Name { .. })), "{by_name:?}");
    for elsewhere in [
        "arn:aws:lambda:us-east-1:123456789012:function:shop-cart",
        "arn:aws:lambda:eu-central-1:999999999999:function:shop-cart",
        "999999999999:function:shop-cart",
        "999999999999:shop-cart",
        "us-east-1:123456789012:shop-cart",
    ] {
        let refused = write(&limited, elsewhere, &[]);
        assert!(
            matches!(refused, Err(Refusal::Elsewhere { .. })),
            "{elsewhere}: {refused:?}"
        );
    }
}

#[test]
fn limits_of_nothing_are_faults() {
    let text = faults(&[], &["shop-*"], &["team"]);
    assert!(
        text.contains("--allow-function (SKYDOCK_ALLOW_FUNCTION) is \"shop-*\""),
        "{text}"
    );
    assert!(
        text.contains("--allow-tag (SKYDOCK_ALLOW_TAG) is \"team\""),
        "{text}"
    );
}

#[test]
fn every_wrong_value_is_named_at_once() {
    let text = faults(&["writ", "read"], &["shop-[", "arn:aws:lambda:*"], &["=shop"]);
    for value in [
        "\"writ\"",
        "\"read\"",
        "\"shop-[\"",
        "\"arn:aws:lambda:*\"",
        "\"=shop\"",
    ] {
        assert!(text.contains(value), "{value}: {text}");
    }
}
