//! `process_*` metrics in the names Prometheus client libraries share, read from /proc.

use procfs::process::Process;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads the state of this process at every scrape.
#[derive(Debug)]
pub struct ProcessCollector;

struct Reading {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    open_fds: i64,
    threads: i64,
    start_seconds: f64,
}

impl Reading {
    fn take() -> procfs::ProcResult<Self> {
        use procfs::{CurrentSI, WithCurrentSystemInfo};
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let boot = procfs::KernelStats::current()?.btime as f64;
        let signed = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: signed(stat.rss_bytes().get()),
            virtual_bytes: signed(stat.vsize),
            open_fds: i64::try_from(process.fd_count()?).unwrap_or(i64::MAX),
            threads: stat.num_threads,
            start_seconds: boot + stat.starttime as f64 / ticks,
        })
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        // A kernel without /proc costs us these metrics, never the scrape.
        let Ok(r) = Reading::take() else { return Ok(()) };
        let mut put = |name: &str, help: &str, metric: &dyn ErasedMetric| {
            metric.encode_as(&mut encoder, name, help)
        };
        put("process_cpu_seconds", "Processor time used", &ConstCounter::new(r.cpu_seconds))?;
        put(
            "process_resident_memory_bytes",
            "Resident memory",
            &ConstGauge::new(r.resident_bytes),
        )?;
        put("process_virtual_memory_bytes", "Virtual memory", &ConstGauge::new(r.virtual_bytes))?;
        put("process_open_fds", "Open file descriptors", &ConstGauge::new(r.open_fds))?;
        put("process_threads", "Threads", &ConstGauge::new(r.threads))?;
        put(
            "process_start_time_seconds",
            "Start of the process, seconds since the epoch",
            &ConstGauge::new(r.start_seconds),
        )
    }
}

/// [`EncodeMetric`] made usable behind a reference.
trait ErasedMetric {
    fn encode_as(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
    ) -> Result<(), std::fmt::Error>;
}

impl<M: EncodeMetric> ErasedMetric for M {
    fn encode_as(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
    ) -> Result<(), std::fmt::Error> {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}
