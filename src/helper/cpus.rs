//! Lists of CPUs as the kernel writes them: `"0-3,8"`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// More CPUs than any machine has; a bound for what a list can make us allocate.
const CPU_MAX: u32 = 16_384;

/// A set of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpus(BTreeSet<u32>);

impl Cpus {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether all of them are in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a list of CPUs like \"0-3,8\"");
        let number = |part: &str| -> Result<u32, String> {
            let is_plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let cpu = if is_plain { part.parse().ok() } else { None };
            cpu.filter(|c| *c < CPU_MAX).ok_or_else(wrong)
        };
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
            match part.split_once('-') {
                None => drop(cpus.insert(number(part)?)),
                Some((from, to)) => {
                    let (from, to) = (number(from)?, number(to)?);
                    if from > to {
                        return Err(wrong());
                    }
                    cpus.extend(from..=to);
                }
            }
        }
        Ok(Self(cpus))
    }
}

/// As the kernel prints it: sorted, runs joined.
impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(from) = rest.next() {
            let mut to = from;
            while rest.next_if_eq(&(to + 1)).is_some() {
                to += 1;
            }
            if from == to {
                write!(f, "{comma}{from}")?;
            } else {
                write!(f, "{comma}{from}-{to}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl TryFrom<String> for Cpus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Cpus> for String {
    fn from(cpus: Cpus) -> Self {
        cpus.to_string()
    }
}
