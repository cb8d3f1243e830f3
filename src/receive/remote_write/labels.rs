//! Labels of one series: borrowed and checked.

use std::fmt;

use super::limits::Limits;

/// What is wrong with a series; said in words only when somebody will read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault<'a> {
    /// No `__name__`, or an empty one.
    Nameless,
    /// 2.0: half a label.
    Unpaired(usize),
    /// 2.0: a reference to nothing, and how many symbols there are.
    Reference(u32, usize),
    /// More labels of a metric than may be.
    Labels(&'a str, usize),
    /// A label of a metric that is there twice.
    Twice(&'a str, &'a str),
    /// A label of a metric without name or value.
    Empty(&'a str, &'a str),
    /// A label of a metric whose name or value is longer than may be.
    Long(&'a str, &'a str, usize),
    /// More samples of a metric than may be.
    Samples(&'a str, usize),
    /// 2.0: nothing in it.
    Nothing(&'a str),
    /// 2.0: two kinds in one.
    Mixed(&'a str),
    /// A native histogram that is none.
    Histogram(&'a str, &'static str),
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = shorten;
        match *self {
            Self::Nameless => write!(f, "a series without a metric name"),
            Self::Unpaired(n) => write!(f, "{n} label references: not pairs"),
            Self::Reference(to, of) => write!(f, "label reference {to} of {of} symbols"),
            Self::Labels(m, max) => {
                write!(f, "{}: more labels than receive.labels_max = {max}", short(m))
            }
            Self::Twice(m, l) => write!(f, "{}: label {:?} twice", short(m), short(l)),
            Self::Empty(m, l) => {
                write!(f, "{}: empty name or value of label {:?}", short(m), short(l))
            }
            Self::Long(m, l, max) => {
                let (m, l) = (short(m), short(l));
                write!(f, "{m}: label {l:?} exceeds receive.name_bytes_max = {max}")
            }
            Self::Samples(m, max) => {
                write!(f, "{}: more samples than receive.series_samples_max = {max}", short(m))
            }
            Self::Nothing(m) => write!(f, "{}: neither samples nor histograms", short(m)),
            Self::Mixed(m) => write!(f, "{}: samples and histograms in one series", short(m)),
            Self::Histogram(m, why) => write!(f, "{}: a native histogram with {why}", short(m)),
        }
    }
}

impl Fault<'_> {
    /// Whether it is only too much of it.
    pub(super) fn is_limit(&self) -> bool {
        matches!(self, Self::Labels(..) | Self::Long(..) | Self::Samples(..))
    }
}

/// At most 80 characters of foreign text, for an error message.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Sorts the labels of a series and checks them.
pub(super) fn check<'a>(
    metric: &'a str,
    labels: &mut [(&'a str, &'a str)],
    limits: &Limits,
) -> Result<(), Fault<'a>> {
    if labels.len() > limits.labels {
        return Err(Fault::Labels(metric, limits.labels));
    }
    // Senders sort; those that do not are forgiven.
    if !labels.is_sorted() {
        labels.sort_unstable();
    }
    for pair in labels.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(Fault::Twice(metric, pair[0].0));
        }
    }
    for (name, value) in &*labels {
        if name.is_empty() || value.is_empty() {
            return Err(Fault::Empty(metric, name));
        }
        if name.len().max(value.len()) > limits.name_bytes {
            return Err(Fault::Long(metric, name, limits.name_bytes));
        }
    }
    Ok(())
}
