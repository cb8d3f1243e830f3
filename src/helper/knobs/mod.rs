//! One kernel interface each.

mod cpu;
mod file;
mod freeze;
mod frequency;
mod io;
mod memory;
mod network;
mod partition;

pub(super) use cpu::{CpuWeight, Cpuset, QuotaV1, QuotaV2, Shares};
pub(super) use freeze::{FREEZE, FREEZER};
pub(super) use frequency::{Governor, Khz};
pub(super) use io::{IO_WEIGHT_V1, IO_WEIGHT_V2, IoMax, Throttle};
pub(super) use memory::{MEMORY_HIGH, MEMORY_LIMIT_V1, MEMORY_MAX, MEMORY_SOFT_V1};
pub(super) use network::Tbf;
pub(super) use partition::{LLC_WAYS, MEMORY_BANDWIDTH};
