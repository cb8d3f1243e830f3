//! What every knob can do, and which kernel interface a knob has in which tree.

use std::io;
use std::path::PathBuf;

use super::amount::Amount;
use super::host::{Base, Controller};
use super::knobs;
use super::resctrl::Partition;
use super::root::Dir;
use crate::data::{Knob, Value};

/// An opened place of one knob.
#[derive(Debug)]
pub(crate) struct Spot {
    /// The cgroup, the cpufreq policy or the interface.
    pub(crate) dir: Dir,
    /// The device, for knobs of one.
    pub(crate) device: Option<String>,
    /// The `tc` program.
    pub(crate) tc: PathBuf,
    /// The resource group of the target, which need not be there.
    pub(crate) partition: Partition,
}

impl Spot {
    /// The device; checked to be there before a spot is made.
    pub(crate) fn device(&self) -> &str {
        self.device.as_deref().unwrap_or_default()
    }
}

/// Why a knob could not be read or turned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The kernel has no such knob here.
    #[error("{0} is not there")]
    Absent(String),
    /// The kernel said no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Somebody else's queueing discipline.
    #[error("{0}")]
    Foreign(String),
    /// A thread of the target is in a resource group of somebody else.
    #[error("{0}")]
    Claimed(String),
    /// The processor has no more classes of service.
    #[error("{0}")]
    NoGroupLeft(String),
    /// What the kernel shows cannot be understood.
    #[error("{0}")]
    Strange(String),
    /// The target would not survive it now.
    #[error("{0}")]
    Deadly(String),
}

/// One kernel interface. All of it in texts as the kernel has them, so that what is put back is what
/// was there.
pub(crate) trait Interface: Sync {
    /// What it is at.
    fn read(&self, spot: &Spot) -> Result<String, Fault>;

    /// Sets it to what [`read`](Self::read) or [`encode`](Self::encode) gave.
    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault>;

    /// What a requested value looks like here, exactly as it will be read afterwards.
    ///
    /// # Errors
    /// Why it is no value for this knob.
    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String>;

    /// What a text of this interface means.
    ///
    /// # Errors
    /// Why it means nothing.
    fn amount(&self, spot: &Spot, text: &str) -> Result<Amount, String>;

    /// Why the kernel or the target would suffer from `text`, if so.
    fn danger(&self, _spot: &Spot, _text: &str) -> Option<String> {
        None
    }

    /// Sees to what has come to the target since it was written.
    fn refresh(&self, _spot: &Spot) -> Result<(), Fault> {
        Ok(())
    }

    /// Why `text`, which was there before, must not be put back yet, if so.
    ///
    /// # Errors
    /// When that cannot be found out: then it must not, either.
    fn obstacle(&self, _spot: &Spot, _text: &str) -> Result<Option<String>, Fault> {
        Ok(None)
    }
}

/// The interface of `knob` in `base`.
pub(crate) fn interface(base: Base, knob: Knob) -> Option<&'static dyn Interface> {
    use Base::{Frequency, Network, V1, V2};
    Some(match (base, knob) {
        (V1(Controller::Cpu), Knob::CpuQuota) => &knobs::QuotaV1,
        (V2, Knob::CpuQuota) => &knobs::QuotaV2,
        (V1(Controller::Cpu), Knob::CpuWeight) => &knobs::Shares,
        (V2, Knob::CpuWeight) => &knobs::CpuWeight,
        (V1(Controller::Cpuset) | V2, Knob::Cpuset) => &knobs::Cpuset,
        (V1(Controller::Memory), Knob::MemoryMax) => &knobs::MEMORY_LIMIT_V1,
        (V2, Knob::MemoryMax) => &knobs::MEMORY_MAX,
        (V1(Controller::Memory), Knob::MemoryHigh) => &knobs::MEMORY_SOFT_V1,
        (V2, Knob::MemoryHigh) => &knobs::MEMORY_HIGH,
        (V1(Controller::Blkio), Knob::IoReadBytes) => &knobs::Throttle("read_bps_device"),
        (V1(Controller::Blkio), Knob::IoWriteBytes) => &knobs::Throttle("write_bps_device"),
        (V1(Controller::Blkio), Knob::IoReadOps) => &knobs::Throttle("read_iops_device"),
        (V1(Controller::Blkio), Knob::IoWriteOps) => &knobs::Throttle("write_iops_device"),
        (V2, Knob::IoReadBytes) => &knobs::IoMax("rbps"),
        (V2, Knob::IoWriteBytes) => &knobs::IoMax("wbps"),
        (V2, Knob::IoReadOps) => &knobs::IoMax("riops"),
        (V2, Knob::IoWriteOps) => &knobs::IoMax("wiops"),
        (V1(Controller::Blkio), Knob::IoWeight) => &knobs::IO_WEIGHT_V1,
        (V2, Knob::IoWeight) => &knobs::IO_WEIGHT_V2,
        (V1(Controller::Freezer), Knob::Freeze) => &knobs::FREEZER,
        (V2, Knob::Freeze) => &knobs::FREEZE,
        (V1(_) | V2, Knob::LlcWays) => &knobs::LLC_WAYS,
        (V1(_) | V2, Knob::MemoryBandwidth) => &knobs::MEMORY_BANDWIDTH,
        (Frequency, Knob::FrequencyMax) => &knobs::Khz("scaling_max_freq"),
        (Frequency, Knob::FrequencyMin) => &knobs::Khz("scaling_min_freq"),
        (Frequency, Knob::Governor) => &knobs::Governor,
        (Network, Knob::NetworkRate) => &knobs::Tbf,
        _ => return None,
    })
}
