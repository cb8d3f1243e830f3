//! Who asks.

use std::fmt;

/// A client that is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A user of this node, by the kernel's word.
    User(u32),
    /// A sidecar of another node, by the name in its certificate.
    Remote(String),
}

impl Asker {
    /// The user, if it is one.
    pub(crate) fn uid(&self) -> Option<u32> {
        match self {
            Self::User(uid) => Some(*uid),
            Self::Remote(_) => None,
        }
    }

    /// The name, if it is of another node.
    pub(crate) fn peer(&self) -> Option<String> {
        match self {
            Self::User(_) => None,
            Self::Remote(name) => Some(name.clone()),
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "user {uid}"),
            Self::Remote(name) => write!(f, "{name}"),
        }
    }
}
