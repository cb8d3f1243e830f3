//! `sage lab live`: the paper's applications as real processes on this machine, with real users, real faults, and
//! everything real that watches them and puts them right.
//!
//! In: an application ([`spec`]), the programs that are installed ([`needs`]). Out: what happened to each fault
//! ([`episode`]), and files ([`report`]). Nothing is installed; nothing is left behind: all processes are in
//! cgroups of one name ([`groups`]), which are swept at the end, and by a watchman when there is no end.

mod autoscale;
mod clean;
mod door;
mod episode;
mod exporter;
mod failure;
mod faults;
mod groups;
mod helper;
mod load;
mod needs;
mod net;
mod pass;
mod procs;
mod report;
mod run;
mod schedule;
mod service;
mod settings;
mod spec;
mod stage;
mod timeline;
mod watchers;

pub use clean::{clean, watch};
pub use door::{Door, enter};
pub use failure::Failure;
pub use needs::{Needs, Places, find_all};
pub use report::{table, verdict, write};
pub use run::{Options, Outcome, Watcher, run};
pub use schedule::Chosen;
pub use service::run as run_service;
pub use spec::{APPS, App, app};
pub use stage::Stage;
