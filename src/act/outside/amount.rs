//! CPU and memory as Kubernetes and Docker write them, and how much more of it. Pure.

use serde_json::{Value, json};

use crate::data::{Edit, Fact, Outside, Resource, Runner};

/// A step that changes less than this is none.
const LEAST_STEP: f64 = 1.02;
const MEBIBYTE: f64 = 1_048_576.0;

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// `"1500m"`: cores.
    MilliCores,
    /// `"768Mi"`: bytes.
    Mebibytes,
    /// `1500000000`: cores.
    NanoCores,
    /// `150000` of a period of so many microseconds: cores.
    Quota(f64),
    /// `805306368`.
    Bytes,
}

impl Unit {
    fn write(self, amount: f64) -> Value {
        // Sizes of machines, far below 2^53.
        let whole = |x: f64| json!(x.round() as i64);
        match self {
            Self::MilliCores => json!(format!("{}m", (amount * 1000.0).round() as i64)),
            Self::Mebibytes => json!(format!("{}Mi", (amount / MEBIBYTE).round() as i64)),
            Self::NanoCores => whole(amount * 1e9),
            Self::Quota(period) => whole(amount * period),
            Self::Bytes => whole(amount),
        }
    }
}

/// A quantity of Kubernetes as a number: `"1500m"`, `"1.5"`, `"768Mi"`, `"1e3"`.
pub(super) fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", MEBIBYTE),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let number = digits.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0)?;
    Some(number * factor)
}

/// Whether two values mean the same. An API server writes quantities in a form of its own.
pub(super) fn means_same(a: &Value, b: &Value) -> bool {
    match (a.as_str().and_then(quantity), b.as_str().and_then(quantity)) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

/// One field that grows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// Where, as a JSON pointer.
    pub(super) at: String,
    /// What is there.
    pub(super) from: Value,
    /// The same as a number.
    pub(super) now: f64,
    pub(super) unit: Unit,
}

/// A replica that can be given more in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Resizable {
    /// For people.
    pub(super) name: String,
    pub(super) resource: Resource,
    pub(super) runner: Runner,
    pub(super) object: String,
    pub(super) same: Vec<Fact>,
    /// The limit, and what must grow with it by as much.
    pub(super) fields: Vec<Field>,
    /// The most it may have.
    pub(super) max: f64,
}

impl Resizable {
    /// What gives it `factor` times as much, and in words.
    ///
    /// # Errors
    /// Why it cannot have more.
    pub fn grow(&self, factor: f64) -> Result<(Outside, String), String> {
        let Self { name, resource, runner, .. } = self;
        let Some(limit) = self.fields.first() else {
            return Err(format!("{resource} of {name}: it has no limit that could be raised"));
        };
        let to = (limit.now * factor).min(self.max);
        if to < limit.now * LEAST_STEP {
            return Err(format!(
                "{resource} of {name}: it is as far up as [[act.workloads]] allows"
            ));
        }
        let more = to - limit.now;
        let edit = |field: &Field| Edit {
            at: field.at.clone(),
            from: field.from.clone(),
            to: field.unit.write(field.now + more),
        };
        let edits: Vec<Edit> = self.fields.iter().map(edit).collect();
        let (from, to) = (&edits[0].from, &edits[0].to);
        let what = format!("{resource} limit of {name} by {runner} from {from} to {to}");
        let (object, same) = (self.object.clone(), self.same.clone());
        Ok((Outside { runner: *runner, object, same, edits }, what))
    }
}

/// One more replica.
pub(super) fn one_more(
    runner: Runner,
    object: String,
    same: Vec<Fact>,
    at: &str,
    (from, to): (u64, u64),
) -> Outside {
    let edit = Edit { at: at.into(), from: json!(from), to: json!(to) };
    Outside { runner, object, same, edits: vec![edit] }
}
