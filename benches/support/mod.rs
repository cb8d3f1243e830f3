//! Simulated frames to learn from and to diagnose.

#![allow(dead_code, reason = "every bench uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sage::data::{EventTime, Frame, QosTarget};
use sage::diagnose::met_all;
use sage::graph::{CausalNet, RpcGraph};
use sage::lab::sim::{AppSpec, Fault, SimConfig, Simulator};
use sage::lab::{Feed, Minute, Schedule, Weather};
use sage::model::{Config, Lesson, Model, fit};

const INTERVAL: Duration = Duration::from_secs(10);
/// Calm frames from which the target is taken.
const CALM: usize = 10;

/// An application that was watched for a while.
pub(crate) struct Watched {
    pub(crate) frames: Vec<Arc<Frame>>,
    pub(crate) target: QosTarget,
}

impl Watched {
    /// Frames of `app`, a few calm ones and then `disturbed` ones.
    pub(crate) fn new(app: &AppSpec, disturbed: usize) -> Self {
        Self::of(app, CALM + disturbed, |n, schedule| match n < CALM {
            true => Minute { load: schedule.load(), faults: Vec::new() },
            false => schedule.next_minute(),
        })
    }

    /// Frames of `app`, a few calm ones and then `struck` ones in which `faults` hold.
    pub(crate) fn struck(app: &AppSpec, faults: &[Fault], struck: usize) -> Self {
        Self::of(app, CALM + struck, |n, schedule| {
            let faults = if n < CALM { Vec::new() } else { faults.to_vec() };
            Minute { load: schedule.load(), faults }
        })
    }

    fn of(app: &AppSpec, count: usize, minute: impl Fn(usize, &mut Schedule) -> Minute) -> Self {
        let mut simulator = Simulator::new(app, SimConfig::default(), 7, 1_785_578_400_000)
            .expect("applications of the proving ground make sense");
        let mut schedule = Schedule::new(app, Weather::default(), 8);
        let mut feed = Feed::new(INTERVAL);
        let mut frames = Vec::new();
        for n in 0..count {
            let minute = minute(n, &mut schedule);
            frames.extend(feed.push(simulator.run(INTERVAL, minute.load, &minute.faults)));
        }
        let service = app.services[app.entries[0].service].name.clone();
        let any = QosTarget { service, quantile: 0.99, target_ms: f64::INFINITY };
        let calm = frames[..CALM - 1].iter().filter_map(|f| any.observed_ms(f));
        let slowest = calm.fold(1.0, f64::max);
        Self { frames, target: QosTarget { target_ms: 1.2 * slowest, ..any } }
    }

    /// The same with a past of `count` calm frames: those it began with, again and again.
    pub(crate) fn with_past(mut self, count: usize) -> Self {
        let again = |n: usize| {
            let mut frame = Frame::clone(&self.frames[n % (CALM - 1)]);
            let first = self.frames[0].interval;
            let length = first.end.0 - first.start.0;
            frame.interval.start = EventTime(first.start.0 - length * (n as i64 + 1));
            frame.interval.end = EventTime(frame.interval.start.0 + length);
            Arc::new(frame)
        };
        let past: Vec<Arc<Frame>> = (0..count).rev().map(again).collect();
        self.frames.splice(0..0, past);
        self
    }

    /// A model that was trained for so many steps with shared weights, and with own ones.
    pub(crate) fn train(&self, steps: [usize; 2]) -> Model {
        let frames: Vec<&Frame> = self.frames.iter().map(|f| &**f).collect();
        let graph = RpcGraph::learn(frames.iter().copied(), &Default::default());
        let net = CausalNet::new(&graph);
        let met = met_all(&frames, std::slice::from_ref(&self.target));
        let lesson = Lesson { frames: &frames, met: &met, net: &net };
        let config = Config { steps, ..Config::default() };
        fit(&lesson, &config, &|_| {}, &AtomicBool::new(false)).expect("there are frames enough")
    }
}
