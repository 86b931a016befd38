//! Where a path of a door leads: stages, base paths and trailing slashes stand before and behind what the service knows.

/// The last segments that the service knows.
const KNOWN: [&str; 4] = ["mcp", "livez", "readyz", "ping"];

/// The path of the service that `path` means: its last segment when that is one of ours, whatever stands before it.
///
/// Metadata of the origin (RFC 8615) is public where the rest is guarded, so a path through `.well-known` never becomes
/// another one; nor does one with anything in it that two readers could read differently.
pub(super) fn find(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if let Some(at) = trimmed.find("/.well-known/") {
        return trimmed.split_at(at).1.to_owned();
    }
    let plain = |segment: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.$@+!*'(),:&=".contains(&byte);
        !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(allowed)
    };
    let mut segments = trimmed.split('/');
    if segments.next() == Some("")
        && segments.all(plain)
        && let Some((_before, last)) = trimmed.rsplit_once('/')
        && KNOWN.contains(&last)
    {
        return format!("/{last}");
    }
    if trimmed.is_empty() {
        "/".to_owned()
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn mcp_is_found_behind_stages_base_paths_and_slashes() {
        for path in [
            "/mcp",
            "/mcp/",
            "/prod/mcp",
            "/team-a/v1/mcp/",
            "/$default/mcp",
            "/echo/mcp",
            "/+!*'(),:&=/mcp",
        ] {
            assert_eq!(find(path), "/mcp", "{path}");
        }
        assert_eq!(find("/prod/readyz"), "/readyz");
        assert_eq!(find(""), "/");
        assert_eq!(find("/"), "/");
    }

    #[test]
    fn public_metadata_is_no_way_round_a_guarded_path() {
        assert_eq!(
            find("/prod/.well-known/oauth-protected-resource/mcp"),
            "/.well-known/oauth-protected-resource/mcp"
        );
        for path in [
            "/.well-known/mcp",
            "/.well-known/x/mcp",
            "/.well-known//mcp",
            "/.well%2Dknown/mcp",
            "/a/../mcp",
            "//mcp",
            "/a%2fmcp",
        ] {
            assert_ne!(find(path), "/mcp", "{path}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_left_alone() {
        for path in ["/mcpx", "/x-mcp", "/mcp/x", "mcp", "/MCP"] {
            assert_eq!(find(path), path, "{path}");
        }
    }
}
