//! The node helper against this machine's kernel: cgroups and an interface that the tests make themselves.

mod asked;
mod cgroup;
mod groups;
mod interfaces;
mod link;
