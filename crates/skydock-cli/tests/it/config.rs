//! `skydock config`.

use serde_json::json;

use crate::program::skydock;

#[tokio::test]
async fn stdout_is_json_for_every_client_and_stderr_says_where_it_belongs() {
    for (client, root, place) in [
        ("claude", "mcpServers", "claude_desktop_config.json"),
        ("amazon-q", "mcpServers", ".aws/amazonq/mcp.json"),
        ("cursor", "mcpServers", ".cursor/mcp.json"),
        ("vscode", "servers", ".vscode/mcp.json"),
    ] {
        for way in [
            &[][..],
            &["--url", "https://ops.example.com/mcp"],
            &["--", "lambda-ops", "--account", "embedded"],
        ] {
            let ran = skydock(&[&["config", "lambda-ops", "--client", client], way].concat())
                .await
                .ended(0);
            assert!(ran.json()[root]["lambda-ops"].is_object(), "{ran:?}");
            assert!(ran.stderr.contains(place), "{ran:?}");
            let environment = ran.stderr.contains("AWS_PROFILE and AWS_REGION");
            assert_eq!(environment, way.is_empty(), "{ran:?}");
        }
    }
}

#[tokio::test]
async fn a_command_is_kept_as_it_was_given() {
    let ran = skydock(&[
        "config",
        "git",
        "--client",
        "cursor",
        "--",
        "uvx",
        "mcp-server-git",
        "--repository",
        ".",
    ])
    .await;
    let wanted = json!({"command": "uvx", "args": ["mcp-server-git", "--repository", "."]});
    assert_eq!(ran.ended(0).json()["mcpServers"]["git"], wanted);
}

#[tokio::test]
async fn an_unknown_server_and_a_wrong_url_are_faults() {
    let ran = skydock(&["config", "git"]).await.ended(2);
    assert!(
        ran.stderr.contains("--url URL or -- COMMAND") && ran.stdout.is_empty(),
        "{ran:?}"
    );
    let ran = skydock(&["config", "git", "--url", "ops.example.com"])
        .await
        .ended(2);
    assert!(ran.stderr.contains("is not a URL such as"), "{ran:?}");
}
