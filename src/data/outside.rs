//! Changes that no node helper makes: to objects of what runs the containers.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runner {
    /// A Kubernetes API server.
    Kubernetes,
    /// A Docker engine, or a Swarm manager.
    Docker,
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Docker => "docker",
        })
    }
}

/// Some fields of one object, and where they are to go. It is on disk, old values and all, before
/// anything is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outside {
    /// Who is asked.
    pub runner: Runner,
    /// The path of the object in its API.
    pub object: String,
    /// What must hold for it to be the object that was planned for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<Fact>,
    /// What is changed.
    pub edits: Vec<Edit>,
}

/// A field that identifies an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Where, as a JSON pointer.
    pub at: String,
    /// What is there.
    pub is: Value,
}

/// A field that is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Where, as a JSON pointer.
    pub at: String,
    /// What was there when this was planned.
    pub from: Value,
    /// What it is set to.
    pub to: Value,
}
