//! Which regions a report looks in.

use super::Fault;

/// The regions that every commercial account has without opting in (AWS Account Management guide, "Enable or disable AWS
/// Regions").
pub(crate) const BY_DEFAULT: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// More than AWS has.
pub(super) const MOST: usize = 50;

/// The regions asked for, each once, in the order given.
pub(crate) fn chosen(asked: Option<&[String]>, own: &str) -> Result<Vec<String>, Fault> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(vec![own.to_owned()]);
    };
    if asked.len() > MOST {
        return Err(Fault::Regions(asked.len()));
    }
    let mut regions: Vec<String> = Vec::new();
    for region in asked {
        let these: &[&str] = if region == "all" { &BY_DEFAULT } else { &[region] };
        for region in these {
            // the name becomes a part of a host's name
            if !is_name(region) {
                return Err(Fault::Region(region.chars().take(40).collect()));
            }
            if !regions.iter().any(|chosen| chosen == region) {
                regions.push((*region).to_owned());
            }
        }
    }
    Ok(regions)
}

/// True of names such as `eu-central-1` and `us-gov-west-1`.
fn is_name(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    let is_word =
        |word: &&str| (1..=12).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (2..=3).contains(&words.len())
        && words.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_regions_are_told_from_anything_else() {
        for name in BY_DEFAULT
            .iter()
            .chain(&["us-gov-west-1", "mx-central-1", "cn-northwest-1"])
        {
            assert!(is_name(name), "{name}");
        }
        for other in [
            "",
            "eu",
            "eu-1",
            "eu-central",
            "EU-CENTRAL-1",
            "evil.example/-a-1",
            "a-b-c-d-1",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn a_region_is_looked_at_once() {
        let asked = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let own = chosen(None, "eu-west-1").expect("its own");
        assert_eq!(own, ["eu-west-1"]);
        let twice = chosen(Some(&asked(&["us-east-1", "us-east-1"])), "eu-west-1").expect("one");
        assert_eq!(twice, ["us-east-1"]);
        let more = chosen(Some(&asked(&["me-south-1", "all", "us-east-1"])), "eu-west-1");
        assert_eq!(more.expect("those and one more").len(), BY_DEFAULT.len() + 1);
    }
}
