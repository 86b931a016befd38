//! Undoes percent-encoding in the parts of paths and URIs.

/// The text as it was before it was encoded (RFC 3986, 2.1). What is no encoding stays as it is.
pub(crate) fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some(byte) = rest.bytes().next() {
        let code = rest
            .get(1..3)
            .filter(|_| byte == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(byte));
        // A byte that is no encoding may begin a longer character: those are copied byte by byte.
        let step = if code.is_some() {
            3
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        if code.is_none() && step > 1 {
            bytes.pop();
            bytes.extend_from_slice(rest.get(..step).unwrap_or_default().as_bytes());
        }
        rest = rest.get(step..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_in_a_path_is_decoded() {
        assert_eq!(decoded("arn%3Aaws%3Alambda"), "arn:aws:lambda");
        assert_eq!(decoded("100%-käse%2"), "100%-käse%2");
    }
}
