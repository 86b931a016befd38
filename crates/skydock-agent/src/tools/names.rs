//! Names of tools that every model takes: `^[a-zA-Z0-9_-]{1,64}$`.

use sha2::{Digest as _, Sha256};

/// The longest name.
const LONGEST: usize = 64;
/// How much of a name's hash tells long names apart.
const HASH: usize = 8;

/// The name for a model: the prefix and the tool's own name, with what is not allowed in it replaced, and shortened
/// when it is too long. The same names always give the same.
pub(super) fn safe(prefix: Option<&str>, name: &str) -> String {
    let whole = match prefix {
        Some(prefix) => format!("{prefix}__{name}"),
        None => name.to_owned(),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let tame: String = whole.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if tame.len() <= LONGEST && !tame.is_empty() {
        return tame;
    }
    let hash: String = Sha256::digest(whole.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let head: String = tame.chars().take(LONGEST - HASH - 1).collect();
    let tail: String = hash.chars().take(HASH).collect();
    format!("{head}_{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_take_stays_as_it_is() {
        assert_eq!(safe(None, "book-car"), "book-car");
        assert_eq!(safe(Some("travel"), "book-car"), "travel__book-car");
    }

    #[test]
    fn what_they_do_not_take_is_replaced_and_shortened_the_same_way_each_time() {
        assert_eq!(safe(None, "files/read.all"), "files_read_all");
        let long = "a".repeat(70);
        let short = safe(None, &long);
        assert_eq!(short.len(), LONGEST);
        assert_eq!(short, safe(None, &long));
        assert_ne!(short, safe(None, &"a".repeat(71)));
        assert_eq!(safe(None, "").len(), 1 + HASH);
    }
}
