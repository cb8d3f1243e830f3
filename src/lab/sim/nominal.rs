//! What every service has to do at load 1, computed from the specification alone.
//!
//! In: an [`AppSpec`]. Out: [`Nominal`] per service, from visit counts and mean times, waiting left
//! out. It sizes generated applications and lets faults be as strong for a quiet service as for a
//! busy one. It also is where cycles and requests without end are found.

use super::check::check;
use super::error::SpecError;
use super::spec::{AppSpec, CallSpec, OpSpec, Step};

/// Mean calls one request may cause.
const HOPS_MAX: f64 = 20_000.0;

/// What one service has to do at load 1, all replicas together.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Nominal {
    /// Requests to it per second.
    pub requests_per_second: f64,
    /// Cores kept busy.
    pub cpu_cores: f64,
    /// Worker threads held, on average, when nothing has to wait.
    pub threads: f64,
    /// Outgoing calls under way, on average, when nothing has to wait.
    pub calls: f64,
}

impl Nominal {
    /// What one of `replicas` has to do.
    pub(super) fn shared_by(self, replicas: usize) -> Self {
        let share = 1.0 / replicas as f64;
        Self {
            requests_per_second: self.requests_per_second * share,
            cpu_cores: self.cpu_cores * share,
            threads: self.threads * share,
            calls: self.calls * share,
        }
    }
}

impl AppSpec {
    /// What each service has to do at load 1.
    ///
    /// # Errors
    /// What is wrong with the specification.
    pub fn nominal(&self) -> Result<Vec<Nominal>, SpecError> {
        check(self)?;
        let order = topological(self)?;
        let visits = visits(self, &order)?;
        let holds = hold_seconds(self, &order);
        let mut out = vec![Nominal::default(); self.services.len()];
        let first = self.first_ops();
        for (s, service) in self.services.iter().enumerate() {
            for (o, op) in service.ops.iter().enumerate() {
                let rate = self.base_rate * visits[first[s] + o];
                out[s].requests_per_second += rate;
                out[s].cpu_cores += rate * cpu_seconds(op);
                out[s].threads += rate * holds[first[s] + o];
                out[s].calls += rate * calling_seconds(self, op, &holds, &first);
            }
        }
        Ok(out)
    }
}

/// Operations by number, callers before callees.
fn topological(spec: &AppSpec) -> Result<Vec<usize>, SpecError> {
    let first = spec.first_ops();
    let ops: Vec<_> = spec.ops().collect();
    let mut callers = vec![0usize; ops.len()];
    for call in ops.iter().flat_map(|(_, op)| calls(op)) {
        callers[first[call.service] + call.op] += 1;
    }
    let mut order: Vec<usize> = (0..ops.len()).filter(|o| callers[*o] == 0).collect();
    let mut done = 0;
    while done < order.len() {
        for call in calls(ops[order[done]].1) {
            let callee = first[call.service] + call.op;
            callers[callee] -= 1;
            if callers[callee] == 0 {
                order.push(callee);
            }
        }
        done += 1;
    }
    match callers.iter().position(|c| *c > 0) {
        None => Ok(order),
        Some(o) => Err(SpecError::Cycle { place: format!("{} {}", ops[o].0.name, ops[o].1.name) }),
    }
}

/// Mean invocations of each operation per user request.
fn visits(spec: &AppSpec, order: &[usize]) -> Result<Vec<f64>, SpecError> {
    let first = spec.first_ops();
    let ops: Vec<_> = spec.ops().collect();
    let total: f64 = spec.entries.iter().map(|e| e.weight).sum();
    let mut visits = vec![0.0; ops.len()];
    for entry in &spec.entries {
        visits[first[entry.service] + entry.op] += entry.weight / total;
    }
    for o in order {
        for call in calls(ops[*o].1) {
            visits[first[call.service] + call.op] += visits[*o] * call.mean_times();
        }
    }
    let hops: f64 = visits.iter().sum();
    if hops <= HOPS_MAX {
        return Ok(visits);
    }
    Err(SpecError::TooManyHops { app: spec.name.clone(), hops, max: HOPS_MAX })
}

/// Mean time each operation holds its worker thread, seconds.
fn hold_seconds(spec: &AppSpec, order: &[usize]) -> Vec<f64> {
    let first = spec.first_ops();
    let ops: Vec<_> = spec.ops().collect();
    let mut holds = vec![0.0; ops.len()];
    for o in order.iter().rev() {
        let steps = &ops[*o].1.steps;
        holds[*o] = steps.iter().map(|step| step_seconds(spec, step, &holds, &first)).sum();
    }
    holds
}

fn step_seconds(spec: &AppSpec, step: &Step, holds: &[f64], first: &[usize]) -> f64 {
    match step {
        Step::Cpu { mean_us, .. } => mean_us / 1e6,
        Step::Disk { mean_us, probability, .. } => probability * mean_us / 1e6,
        Step::Publish(call) => call.probability * spec.network_us / 1e6,
        Step::Call(_) | Step::Parallel(_) => {
            let seconds = step.calls().iter().map(|c| call_seconds(spec, c, holds, first));
            seconds.fold(0.0, f64::max)
        }
    }
}

fn call_seconds(spec: &AppSpec, call: &CallSpec, holds: &[f64], first: &[usize]) -> f64 {
    let callee = holds[first[call.service] + call.op];
    call.mean_times() * (callee + 2.0 * spec.network_us / 1e6)
}

fn cpu_seconds(op: &OpSpec) -> f64 {
    let us = |step: &Step| if let Step::Cpu { mean_us, .. } = step { *mean_us } else { 0.0 };
    op.steps.iter().map(us).sum::<f64>() / 1e6
}

/// Mean time of all calls an operation waits for, seconds.
fn calling_seconds(spec: &AppSpec, op: &OpSpec, holds: &[f64], first: &[usize]) -> f64 {
    let waits = |step: &&Step| matches!(step, Step::Call(_) | Step::Parallel(_));
    let waited_for = op.steps.iter().filter(waits).flat_map(Step::calls);
    waited_for.map(|call| call_seconds(spec, call, holds, first)).sum()
}

fn calls(op: &OpSpec) -> impl Iterator<Item = &CallSpec> {
    op.steps.iter().flat_map(Step::calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::sim::{Entry, Kind, ServiceSpec};

    /// Services "a", "b", ... with one operation each.
    fn app(ops: Vec<Vec<Step>>) -> AppSpec {
        let service = |(i, steps): (usize, Vec<Step>)| ServiceSpec {
            name: char::from(b'a' + i as u8).to_string(),
            kind: Kind::Logic,
            replicas: 1,
            cores: 1,
            threads: 1,
            memory_bytes: 0,
            memory_limit_bytes: 1,
            instrumented: true,
            queue_in_span: true,
            ops: vec![OpSpec { name: "op".into(), steps }],
        };
        AppSpec {
            name: "app".into(),
            services: ops.into_iter().enumerate().map(service).collect(),
            entries: vec![Entry { service: 0, op: 0, weight: 2.0 }],
            base_rate: 10.0,
            qos_quantile: 0.99,
            nodes: 1,
            network_us: 500.0,
        }
    }

    fn cpu(mean_us: f64) -> Step {
        Step::Cpu { mean_us, cv: 1.0 }
    }

    fn call(service: usize, probability: f64, times: u32) -> CallSpec {
        CallSpec { service, op: 0, probability, times }
    }

    #[test]
    fn work_follows_from_probabilities_repeats_and_mean_times() {
        let disk = Step::Disk { mean_us: 4000.0, cv: 0.0, probability: 0.25 };
        let app = app(vec![
            vec![cpu(1000.0), Step::Parallel(vec![call(1, 1.0, 1), call(2, 0.5, 4)])],
            vec![cpu(3000.0), disk],
            vec![cpu(1000.0), Step::Publish(call(1, 1.0, 1))],
        ]);
        let nominal = app.nominal().unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(nominal[1].requests_per_second, 10.0 + 20.0);
        close(nominal[2].requests_per_second, 20.0);
        close(nominal[1].cpu_cores, 30.0 * 0.003);
        // The callees take 4 ms and 1.5 ms, and each call 1 ms of network.
        close(nominal[1].threads, 30.0 * 0.004);
        close(nominal[2].threads, 20.0 * 0.0015);
        close(nominal[0].threads, 10.0 * (0.001 + f64::max(0.005, 2.0 * 0.0025)));
        close(nominal[0].calls, 10.0 * (0.005 + 2.0 * 0.0025));
        close(nominal[2].calls, 0.0);
    }

    #[test]
    fn cycles_and_explosions_and_dangling_calls_are_refused() {
        let to = |service| vec![Step::Call(call(service, 1.0, 1))];
        let cycle = app(vec![to(1), to(2), to(1)]);
        assert_eq!(cycle.nominal(), Err(SpecError::Cycle { place: "b op".into() }));
        let many = |service| vec![Step::Call(call(service, 1.0, 1000))];
        let explosion = app(vec![many(1), many(2), vec![]]).nominal();
        assert!(matches!(explosion, Err(SpecError::TooManyHops { .. })), "{explosion:?}");
        let dangling = app(vec![to(1)]).nominal();
        let unknown = SpecError::UnknownCallee { place: "a op".into(), service: 1, op: 0 };
        assert_eq!(dangling, Err(unknown));
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        let refusal = |change: fn(&mut AppSpec)| {
            let mut app = app(vec![vec![cpu(1.0), Step::Call(call(1, 1.0, 1))], vec![]]);
            assert!(app.nominal().is_ok());
            change(&mut app);
            app.nominal().unwrap_err().to_string()
        };
        assert_eq!(refusal(|a| a.base_rate = f64::NAN), "app: base_rate = NaN is out of range");
        assert_eq!(refusal(|a| a.nodes = 0), "app: nodes = 0 is out of range");
        assert_eq!(refusal(|a| a.services[1].threads = 0), "b: threads = 0 is out of range");
        assert_eq!(
            refusal(|a| a.services[0].ops[0].steps[1] = Step::Call(call(1, 1.5, 1))),
            "a op: probability = 1.5 is out of range"
        );
        assert_eq!(
            refusal(|a| a.entries[0].weight = 0.0),
            "app: no entry has a service, an operation and a positive weight"
        );
    }
}
