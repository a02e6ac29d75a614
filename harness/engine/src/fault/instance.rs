//! A fault of one instance of the subject: it stops in its tracks, as in a long pause of its runtime or its machine.

use crate::environment::EnvironmentError;
use crate::instance::Instance;
use crate::poll::{Look, poll_until};
use crate::process_tree;
use crate::subject::SubjectError;
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::time::Duration;

/// A signal acts when the kernel next looks at the process.
const DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

/// An instance that stands still. Connections to it are accepted by the kernel, and nothing is answered.
#[derive(Debug)]
pub(super) struct FrozenInstance {
    instance: Arc<Instance>,
    bite: Option<String>,
}

impl FrozenInstance {
    /// Stops all its processes, and reads back that they are.
    pub(super) async fn inject(instance: Arc<Instance>) -> Result<Self, EnvironmentError> {
        let pid = instance.pid();
        process_tree::signal_tree(pid, Signal::SIGSTOP).map_err(SubjectError::Signal)?;
        let frozen = poll_until("the instance to stand still", DEADLINE, POLL, || async {
            if process_tree::is_frozen(pid) {
                return Look::Ready(());
            }
            Look::NotYet(format!("{:?}", process_tree::tree(pid)))
        });
        // Without a bite the verdict is unknown, which is what this is.
        let bite = frozen.await.ok();
        let processes = process_tree::tree(pid).len();
        let bite = bite.map(|()| format!("{processes} processes, read back, are stopped"));
        Ok(Self { instance, bite })
    }

    pub(super) fn bite(&self) -> Option<String> {
        self.bite.clone()
    }

    /// Lets it go on.
    pub(super) fn heal(&self) -> Result<(), EnvironmentError> {
        let thawed = process_tree::signal_tree(self.instance.pid(), Signal::SIGCONT);
        Ok(thawed.map_err(SubjectError::Signal)?)
    }

    pub(super) fn target(&self) -> String {
        format!("instance {}", self.instance.wiring.index)
    }
}
