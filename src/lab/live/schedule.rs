//! Which faults there are, whom they strike, and which of them are asked for. Pure.

use std::str::FromStr;

use super::spec::{App, Service, Step};
use crate::data::Resource;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody sets the quota below what the service uses.
    Squeeze,
    /// Somebody sets the memory limit so low that the file the service looks things up in does not fit.
    Memory,
    /// Somebody else's work uses up the quota: stress-ng in the group of the service.
    Contention,
    /// Somebody throttles the reads of the service.
    Disk,
    /// Each request holds a lock for too long.
    Lock,
    /// The service has too few threads, and each stays with its connection for a while after an answer.
    Pool,
    /// Somebody lets less through to the service than is sent to it.
    Network,
}

/// Trouble of a service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// What.
    pub(super) kind: Kind,
    /// Whose.
    pub(super) service: String,
    /// 1 is meant to violate the target clearly; less is a nuisance.
    pub(super) strength: f64,
}

/// What can be had on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Able {
    /// A disk that can be throttled.
    pub(super) disk: bool,
    /// A network of its own for each service.
    pub(super) network: bool,
}

/// Requests of a service for each of a user, below which its tail is hardly that of users.
const BUSY: f64 = 0.25;

impl Kind {
    /// All, in the order of a run.
    pub(super) const ALL: [Self; 7] = [
        Self::Squeeze,
        Self::Memory,
        Self::Contention,
        Self::Disk,
        Self::Lock,
        Self::Pool,
        Self::Network,
    ];

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Squeeze => "quota squeezed",
            Self::Contention => "stress-ng in its group",
            Self::Memory => "memory squeezed",
            Self::Disk => "reads throttled",
            Self::Lock => "lock held",
            Self::Pool => "too few threads",
            Self::Network => "link squeezed",
        }
    }

    /// Its name on the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Squeeze => "quota",
            Self::Contention => "stress",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Lock => "lock",
            Self::Pool => "pool",
            Self::Network => "network",
        }
    }

    /// What a right diagnosis says.
    pub(super) fn resource(self) -> Option<Resource> {
        match self {
            Self::Squeeze | Self::Contention => Some(Resource::Cpu),
            Self::Memory => Some(Resource::Memory),
            Self::Disk => Some(Resource::Disk),
            Self::Network => Some(Resource::Network),
            Self::Lock | Self::Pool => None,
        }
    }

    /// Whether more of the resource on this node is something Sage can ask the helper for.
    pub(super) fn is_fixable(self) -> bool {
        matches!(self, Self::Squeeze | Self::Contention | Self::Memory)
    }

    /// Whether it can be had on this machine and with this service.
    fn suits(self, app: &App, service: &Service, able: Able) -> bool {
        match self {
            Self::Memory => able.disk && service.does(|s| matches!(s, Step::Pages(_))),
            Self::Disk => able.disk && service.does(|s| matches!(s, Step::Disk(_))),
            Self::Network => able.network && app.requests(&service.name) >= BUSY,
            Self::Pool => app.requests(&service.name) >= BUSY,
            Self::Squeeze | Self::Contention | Self::Lock => true,
        }
    }
}

/// The faults of a run: one of each kind, on services as far apart as there are.
pub(super) fn schedule(app: &App, able: Able) -> Vec<Fault> {
    use Kind::{Contention, Disk, Lock, Memory, Network, Pool, Squeeze};
    let mut taken: Vec<&str> = Vec::new();
    let mut faults = Vec::new();
    // Those with the fewest services to choose from come first, and the order of the run is another.
    for kind in [Disk, Memory, Squeeze, Contention, Lock, Pool, Network] {
        let suits = |s: &&Service| kind.suits(app, s, able) && s.name != app.entry();
        let times = |s: &&Service| taken.iter().filter(|t| **t == s.name).count();
        let Some(service) = app.logic().filter(suits).min_by_key(times) else { continue };
        taken.push(&service.name);
        faults.push(Fault { kind, service: service.name.clone(), strength: 1.0 });
    }
    faults.sort_by_key(|f| Kind::ALL.iter().position(|k| *k == f.kind));
    faults
}

/// Everything small that may happen while the model learns. A pool is none of it: what queues before a service is
/// there with locks.
pub(super) fn nuisances(app: &App, able: Able) -> Vec<Fault> {
    use Kind::{Contention, Disk, Lock, Memory, Network, Squeeze};
    let of = |kind: Kind| {
        let suits = app.logic().filter(move |s| kind.suits(app, s, able));
        suits.map(move |s| Fault { kind, service: s.name.clone(), strength: 0.5 })
    };
    [Squeeze, Contention, Memory, Disk, Lock, Network].into_iter().flat_map(of).collect()
}

/// Which faults are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen(Vec<Kind>);

impl Default for Chosen {
    fn default() -> Self {
        Self(Kind::ALL.to_vec())
    }
}

impl FromStr for Chosen {
    type Err = String;

    /// `all`, or names with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::default());
        }
        let kind = |word: &str| {
            let found = Kind::ALL.into_iter().find(|kind| kind.word() == word);
            found.ok_or_else(|| {
                let known = Kind::ALL.map(Kind::word).join(", ");
                format!("there is no fault called {word:?}; there are {known}")
            })
        };
        text.split(',').map(kind).collect::<Result<_, _>>().map(Self)
    }
}

impl Chosen {
    /// Those of a schedule. Each strikes whom it would strike among all.
    pub(super) fn of(&self, faults: Vec<Fault>) -> Vec<Fault> {
        faults.into_iter().filter(|f| self.0.contains(&f.kind)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::live::spec::{APPS, app};

    const ALL: Able = Able { disk: true, network: true };

    #[test]
    fn each_kind_has_a_victim_and_never_the_entry() {
        for name in APPS {
            let app = app(name).unwrap();
            let faults = schedule(&app, ALL);
            let kinds: Vec<Kind> = faults.iter().map(|f| f.kind).collect();
            assert_eq!(kinds, Kind::ALL, "{name}");
            assert!(faults.iter().all(|f| f.service != app.entry()), "{name}: {faults:?}");
        }
        let without = schedule(&app("chain").unwrap(), Able { disk: false, network: false });
        assert_eq!(without.len(), Kind::ALL.len() - 3);
    }

    /// Few would notice a fault of a service that few requests reach.
    #[test]
    fn the_pool_of_a_service_that_many_ask_is_too_small() {
        let app = app("social-network").unwrap();
        let faults = schedule(&app, ALL);
        let pool = faults.iter().find(|f| f.kind == Kind::Pool).unwrap();
        assert!(app.requests(&pool.service) >= BUSY, "{pool:?}");
    }

    #[test]
    fn faults_are_chosen_by_name_and_strike_whom_they_always_do() {
        let faults = schedule(&app("chain").unwrap(), ALL);
        let chosen: Chosen = "pool,quota".parse().unwrap();
        assert_eq!(chosen.of(faults.clone()), [faults[0].clone(), faults[5].clone()]);
        assert_eq!("all".parse::<Chosen>().unwrap().of(faults.clone()), faults);
        for wrong in ["", "quota,", "cpu", "5"] {
            let why = wrong.parse::<Chosen>().unwrap_err();
            assert!(why.contains("quota, memory, stress, disk, lock, pool, network"), "{why}");
        }
    }
}
