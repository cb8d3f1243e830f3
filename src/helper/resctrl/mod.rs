//! Resource groups of the kernel (resctrl): who may use how much of the last-level cache and of the memory
//! bandwidth. What knobs are in them is in `knobs/partition.rs`.

mod group;
mod schemata;
mod tree;

pub(crate) use group::{Groups, Partition};
pub(crate) use schemata::{Domains, contiguous_run, is_contiguous};
pub(crate) use tree::Mounted;
#[cfg(test)]
pub(crate) use tree::Tree;
