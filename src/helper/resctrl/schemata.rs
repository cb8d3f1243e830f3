//! Lines of `schemata`, such as `    L3:0=fffff;1=fffff` or `MB:0=100;1= 50`. Pure.

use std::collections::BTreeMap;

/// What each domain (usually a socket) has of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domains(BTreeMap<u32, u64>);

impl Domains {
    /// Reads what stands behind the colon; masks are in base 16, shares in base 10.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn parse(text: &str, base: u32) -> Result<Self, String> {
        let strange = || format!("{text:?} is no list of domains like \"0=f;1=f\"");
        let mut domains = BTreeMap::new();
        for part in text.trim().split(';') {
            let (domain, value) = part.split_once('=').ok_or_else(strange)?;
            let domain = domain.trim().parse().map_err(|_| strange())?;
            let value = u64::from_str_radix(value.trim(), base).map_err(|_| strange())?;
            domains.insert(domain, value);
        }
        Ok(Self(domains))
    }

    /// The same without what the kernel pads it with.
    pub(crate) fn print(&self, base: u32) -> String {
        let parts = self.0.iter().map(|(domain, value)| match base {
            16 => format!("{domain}={value:x}"),
            _ => format!("{domain}={value}"),
        });
        parts.collect::<Vec<_>>().join(";")
    }

    /// The same domains, all with one value.
    pub(crate) fn all(&self, value: u64) -> Self {
        Self(self.0.keys().map(|domain| (*domain, value)).collect())
    }

    /// The bits that every domain has.
    pub(crate) fn common_bits(&self) -> u64 {
        self.0.values().fold(u64::MAX, |common, mask| common & mask)
    }

    /// The least value of any domain.
    pub(crate) fn least(&self) -> u64 {
        self.0.values().copied().min().unwrap_or(0)
    }

    /// The greatest value of any domain.
    pub(crate) fn greatest(&self) -> u64 {
        self.0.values().copied().max().unwrap_or(0)
    }
}

/// The lines of a `schemata` file: the name of a resource, and what stands behind the colon.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, rest)| (name.trim(), rest.trim()))
}

/// Whether the bits of `mask` lie side by side.
pub(crate) fn is_contiguous(mask: u64) -> bool {
    mask != 0 && {
        let run = mask >> mask.trailing_zeros();
        run & run.wrapping_add(1) == 0
    }
}

/// The lowest `ways` bits side by side that are all in `within`. The highest are often shared with devices.
pub(crate) fn contiguous_run(within: u64, ways: u32) -> Option<u64> {
    let run = if ways >= u64::BITS { return None } else { (1_u64 << ways) - 1 };
    (0..=u64::BITS - ways).map(|at| run << at).find(|mask| ways > 0 && mask & within == *mask)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_kernels_print_them() {
        let text = "    L3:0=0ffff;1=fffff\n    MB:0= 50;1=100\nL2:broken\nnothing\n";
        let all: Vec<_> = lines(text).collect();
        assert_eq!(all, [("L3", "0=0ffff;1=fffff"), ("MB", "0= 50;1=100"), ("L2", "broken")]);
        let masks = Domains::parse(all[0].1, 16).unwrap();
        assert_eq!(masks.print(16), "0=ffff;1=fffff");
        assert_eq!(masks.common_bits(), 0xffff);
        assert_eq!(masks.all(3).print(16), "0=3;1=3");
        let shares = Domains::parse(all[1].1, 10).unwrap();
        assert_eq!(
            (shares.print(10).as_str(), shares.least(), shares.greatest()),
            ("0=50;1=100", 50, 100)
        );
        for bad in ["", "broken", "0=", "=1", "0=f;", "0=-1", "x=1", "0=10000000000000000"] {
            assert!(Domains::parse(bad, 16).is_err(), "{bad}");
        }
    }

    #[test]
    fn bits_side_by_side_are_told_from_others() {
        for mask in [1, 2, 3, 0xf0, 0xfffff, 1 << 63, u64::MAX] {
            assert!(is_contiguous(mask), "{mask:x}");
        }
        for mask in [0, 5, 0xf0f, (1 << 63) | 1] {
            assert!(!is_contiguous(mask), "{mask:x}");
        }
        assert_eq!(contiguous_run(0xf0f, 4), Some(0xf));
        assert_eq!(contiguous_run(0xff3, 5), Some(0x1f0));
        assert_eq!(contiguous_run(0xf0f, 5), None);
        assert_eq!((contiguous_run(0xff, 0), contiguous_run(u64::MAX, 64)), (None, None));
    }

    proptest! {
        #[test]
        fn property_a_run_is_contiguous_within_what_there_is_and_as_long_as_asked(
            within: u64, ways in 0_u32..70
        ) {
            if let Some(run) = contiguous_run(within, ways) {
                prop_assert!(is_contiguous(run) && run & within == run && run.count_ones() == ways);
            }
        }

        #[test]
        fn property_no_text_is_a_panic(text: String) {
            for (_, rest) in lines(&text) {
                drop(Domains::parse(rest, 16));
            }
            if let Ok(domains) = Domains::parse(&text, 10) {
                prop_assert_eq!(Domains::parse(&domains.print(10), 10).unwrap(), domains);
            }
        }
    }
}
