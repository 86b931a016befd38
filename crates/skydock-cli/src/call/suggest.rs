//! Did you mean …?

/// How alike two words must be to be a likely slip of the finger.
const ALIKE: f64 = 0.8;

/// The name that was probably meant.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| {
            (
                strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

/// The fault of a name that is not there.
pub(super) fn unknown(what: &str, word: &str, names: &[&str]) -> String {
    let hint = match nearest(word, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => match names {
            [] => format!("the server has no {what}"),
            names => format!("the server has {}", names.join(", ")),
        },
    };
    format!("there is no {what} {word:?}; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_nonsense_is_not() {
        let names = ["list-functions", "get-function"];
        assert_eq!(
            nearest("list-function", names.into_iter()),
            Some("list-functions")
        );
        assert_eq!(
            nearest("LIST-FUNCTIONS", names.into_iter()),
            Some("list-functions")
        );
        assert_eq!(nearest("pizza", names.into_iter()), None);
        assert!(unknown("tool", "pizza", &names).ends_with("has list-functions, get-function"));
    }
}
