//! Which tools are listed, and what they say of themselves, by what this server may change.

use rmcp::handler::server::tool::ToolRouter;

use crate::{
    LambdaOps,
    allow::{Allow, Deed, Refusal},
};

/// Tools that can do nothing at all without permission.
const NEED: [(&str, Deed); 2] = [
    ("invoke-function", Deed::Invoke),
    ("recover-updates", Deed::Write),
];
/// A tool that plans without permission.
const PLANS: &str = "update-function-runtime";
const CHANGES_ARE_OFF: &str = " CHANGES ARE OFF on this server (it was started without --allow write): only \
                               dryRun: true works, which plans and changes nothing.";

/// The tools, as far as they are listed.
pub(crate) fn router(allow: &Allow) -> ToolRouter<LambdaOps> {
    let mut router = LambdaOps::tool_router();
    for (name, _) in NEED {
        if listed(allow, name).is_err() {
            router.disable_route(name);
        }
    }
    if let Some(tool) = router.map.get_mut(PLANS).filter(|_| !allow.may_write()) {
        let description = tool.attr.description.take().unwrap_or_default();
        tool.attr.description = Some(format!("{description}{CHANGES_ARE_OFF}").into());
    }
    router
}

/// Whether a tool of this name may be called at all.
pub(super) fn listed(allow: &Allow, name: &str) -> Result<(), Refusal> {
    let need = NEED.iter().find(|(tool, _)| *tool == name);
    match need.map(|(_, deed)| *deed) {
        Some(Deed::Invoke) if !allow.may_invoke() => Err(Refusal::Off(Deed::Invoke)),
        Some(Deed::Write) if !allow.may_write() => Err(Refusal::Off(Deed::Write)),
        _ => Ok(()),
    }
}
