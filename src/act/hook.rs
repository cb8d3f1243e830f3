//! The operator's command for more replicas and fewer. Runs on a thread that may block.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::config::Config;
use super::event::Order;

/// Pause between looks whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// A run of the command: `action` is `out` or `in`. What it is about is in its environment, so that no
/// name is ever part of a command line.
pub(super) fn scale(
    config: &Config,
    order: &Order,
    action: &'static str,
) -> impl FnOnce() -> Result<(), String> + Send + use<> {
    let (words, limit) = (config.scale_out_command.clone(), config.scale_out_timeout);
    let resource = order.resource.map(|r| r.to_string()).unwrap_or_default();
    let about = [
        ("SAGE_ACTION", action.to_string()),
        ("SAGE_SERVICE", order.service.clone()),
        ("SAGE_RESOURCE", resource),
        ("SAGE_FIX", order.fix.clone()),
        ("SAGE_DIAGNOSIS", order.diagnosis.clone()),
    ];
    move || {
        let [program, arguments @ ..] = words.as_slice() else {
            return Err("act.scale_out_command is empty".into());
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(about).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|e| format!("{program}: {e}"))?;
        wait(child, limit).map_err(|why| format!("{program}: {why}"))
    }
}

fn wait(mut child: Child, limit: Duration) -> Result<(), String> {
    let looks = limit.as_millis() / LOOK.as_millis();
    for _ in 0..=looks {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it says no: {status}")),
            Ok(None) => std::thread::sleep(LOOK),
            Err(e) => return Err(e.to_string()),
        }
    }
    // It may end by itself at this very moment; both are fine.
    drop(child.kill());
    drop(child.wait());
    Err(format!("it did not end within {limit:?}, and was killed"))
}
