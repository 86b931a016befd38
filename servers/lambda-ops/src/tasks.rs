//! Work that outlives the call that began it: tasks, as the MCP extension of that name has them (SEP-2663).

use std::fmt;

use rmcp::task_manager::TaskManager;

/// The tasks of this process. Whoever knows an id may look at the task: ids are random UUIDs.
#[derive(Clone, Default)]
pub(crate) struct Tasks(pub(crate) TaskManager);

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({} running)", self.0.running_task_count())
    }
}
