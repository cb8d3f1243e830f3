//! Behaviour of the helper on nodes made of plain files.

mod checks;
mod crashes;
mod groups;
mod interface;
mod kernel;
mod leases;
mod lookup;
mod node;
mod partition;
mod policies;
