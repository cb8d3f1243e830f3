//! Frames as tensors in net order. Split by time: whole blocks are held back, never single frames.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::Array3;

use super::features::{FeatureModel, Inputs, NET_INPUTS, SERVER_INPUTS};
use super::layout::{Kind, LEVEL_COUNT, Layout, Observed, mean_ms};
use super::part::Part;
use crate::data::Frame;
use crate::graph::CausalNet;

/// Frames in a row that are held back or trained on together.
const BLOCK: i64 = 8;
/// One block in this many is held back.
const HELD_BACK: i64 = 7;

/// Everything the networks see, feature-major with frames last: `[node, feature, frame]`.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// X^s: `[service, SERVER_INPUTS, T]`
    pub server: Tensor<3>,
    /// X^net: `[service, NET_INPUTS, T]`
    pub net: Tensor<3>,
    /// Load: `[service, 1, T]`
    pub load: Tensor<3>,
    /// Y^s: `[rpc, level, T]`
    pub latency_server: Tensor<3>,
    /// Y^c of RPCs with a client decoder: `[client, level, T]`
    pub latency_client: Tensor<3>,
    /// Y^req and Y^resp of paired RPCs: `[paired, 2 * level, T]`
    pub delays: Tensor<3>,
    /// The three parts of a client latency (request, response, server): `[client, 3 * level, T]`
    pub parts: Tensor<3>,
    /// Thinned child latency less the largest among the siblings: `[edge, level, T]`
    pub children: Tensor<3>,
    /// That largest one: `[rpc, level, T]`
    pub slowest: Tensor<3>,
    /// Occupancy of the worker pool: `[rpc, 1, T]`
    pub occupancy: Tensor<3>,
    /// 1 where the RPC was seen: `[rpc, 1, T]`
    pub seen: Tensor<3>,
    /// The same for client decoders and paired RPCs.
    pub seen_client: Tensor<3>,
    /// `[paired, 1, T]`
    pub seen_paired: Tensor<3>,
}

/// Children aggregated as the server decoders want them, of one frame.
pub(super) struct Aggregate {
    /// `[edge][level]` relative to `slowest`.
    pub children: Vec<[f32; LEVEL_COUNT]>,
    /// `[rpc][level]`
    pub slowest: Vec<[f32; LEVEL_COUNT]>,
}

/// Numbers in all tensors together per interval, when every RPC has every network and one parent.
pub(super) fn columns_per_interval(services: usize, rpcs: usize) -> usize {
    let service = SERVER_INPUTS + NET_INPUTS + 1;
    let server = 2 * LEVEL_COUNT + 2;
    let (client, paired, edge) = (4 * LEVEL_COUNT + 1, 2 * LEVEL_COUNT + 1, LEVEL_COUNT);
    services * service + rpcs * (server + client + paired + edge)
}

/// Log latency that stands for "waits for nobody".
pub(super) const NO_CHILD: f32 = -20.0;

/// Thinned child latencies of every edge and their maximum per parent.
pub(super) fn aggregate(
    layout: &Layout,
    client: impl Fn(usize) -> [f32; LEVEL_COUNT],
) -> Aggregate {
    let mut children: Vec<_> =
        layout.edges.iter().map(|e| e.thinning().of(&client(e.child))).collect();
    let mut slowest = vec![[NO_CHILD; LEVEL_COUNT]; layout.callee.len()];
    for (edge, child) in layout.edges.iter().zip(&children) {
        for (most, value) in slowest[edge.parent].iter_mut().zip(child) {
            *most = most.max(*value);
        }
    }
    for (edge, child) in layout.edges.iter().zip(&mut children) {
        for (value, most) in child.iter_mut().zip(&slowest[edge.parent]) {
            *value -= most;
        }
    }
    Aggregate { children, slowest }
}

impl Tensors {
    /// Encodes frames.
    pub fn new(
        frames: &[&Frame],
        net: &CausalNet,
        layout: &Layout,
        features: &FeatureModel,
        device: &Device,
    ) -> Self {
        let seen: Vec<(Inputs, Observed)> =
            frames.iter().map(|f| (features.inputs(f, net), layout.observe(f, net))).collect();
        Self::of(&seen, layout, &Part::whole(layout), device)
    }

    /// The columns that the nodes of `part` need, of frames that were encoded one by one.
    pub(super) fn of(
        frames: &[(Inputs, Observed)],
        layout: &Layout,
        part: &Part,
        device: &Device,
    ) -> Self {
        let aggregates: Vec<Aggregate> =
            frames.iter().map(|(_, o)| aggregate(layout, |k| levels(o, Kind::Client, k))).collect();
        let build = Builder { count: frames.len(), device };
        let (services, rpcs, edges) = (&part.services, &part.rpcs, &part.edges);
        let (clients, paired) = (part.client_rpcs(layout), part.paired_rpcs(layout));
        let of =
            |kind: Kind, i: usize, q: usize, t: usize| frames[t].1.latency[[kind as usize, i, q]];
        let seen = |i: usize, t: usize| f32::from(u8::from(frames[t].1.seen[i]));
        Self {
            server: build.tensor(services.len(), SERVER_INPUTS, |j, f, t| {
                frames[t].0.server[[services[j], f]]
            }),
            net: build
                .tensor(services.len(), NET_INPUTS, |j, f, t| frames[t].0.net[[services[j], f]]),
            load: build.tensor(services.len(), 1, |j, _, t| frames[t].0.load[services[j]]),
            latency_server: build
                .tensor(rpcs.len(), LEVEL_COUNT, |i, q, t| of(Kind::Server, rpcs[i], q, t)),
            latency_client: build
                .tensor(clients.len(), LEVEL_COUNT, |c, q, t| of(Kind::Client, clients[c], q, t)),
            delays: build.tensor(paired.len(), 2 * LEVEL_COUNT, |p, q, t| {
                let kind = if q < LEVEL_COUNT { Kind::Request } else { Kind::Response };
                of(kind, paired[p], q % LEVEL_COUNT, t)
            }),
            parts: build.tensor(clients.len(), 3 * LEVEL_COUNT, |c, q, t| {
                part_of(layout, &frames[t].1, clients[c], q)
            }),
            children: build
                .tensor(edges.len(), LEVEL_COUNT, |e, q, t| aggregates[t].children[edges[e]][q]),
            slowest: build
                .tensor(rpcs.len(), LEVEL_COUNT, |i, q, t| aggregates[t].slowest[rpcs[i]][q]),
            occupancy: build.tensor(rpcs.len(), 1, |i, _, t| {
                let normal = |k: usize| mean_ms(&layout.normal[Kind::Client as usize][k]);
                let now = |k| mean_ms(&levels(&frames[t].1, Kind::Client, k));
                let pool_ms = |mean: &dyn Fn(usize) -> f32| layout.pool_ms(rpcs[i], mean);
                layout.occupancy(rpcs[i], pool_ms(&now), pool_ms(&normal))
            }),
            seen: build.tensor(rpcs.len(), 1, |i, _, t| seen(rpcs[i], t)),
            seen_client: build.tensor(clients.len(), 1, |c, _, t| seen(clients[c], t)),
            seen_paired: build.tensor(paired.len(), 1, |p, _, t| seen(paired[p], t)),
        }
    }

    /// The frames at `indices`.
    pub fn select(&self, indices: &[i32], device: &Device) -> Self {
        let at =
            Tensor::<1, Int>::from_data(TensorData::new(indices.to_vec(), [indices.len()]), device);
        let pick = |t: &Tensor<3>| t.clone().select(2, at.clone());
        self.map(pick)
    }

    /// The same tensors on the device that tracks gradients.
    pub fn tracked(&self) -> Self {
        self.map(|t| Tensor::from_inner(t.clone()))
    }

    fn map(&self, f: impl Fn(&Tensor<3>) -> Tensor<3>) -> Self {
        Self {
            server: f(&self.server),
            net: f(&self.net),
            load: f(&self.load),
            latency_server: f(&self.latency_server),
            latency_client: f(&self.latency_client),
            delays: f(&self.delays),
            parts: f(&self.parts),
            children: f(&self.children),
            slowest: f(&self.slowest),
            occupancy: f(&self.occupancy),
            seen: f(&self.seen),
            seen_client: f(&self.seen_client),
            seen_paired: f(&self.seen_paired),
        }
    }
}

/// Log latencies of one RPC.
pub(super) fn levels(observed: &Observed, kind: Kind, i: usize) -> [f32; LEVEL_COUNT] {
    std::array::from_fn(|q| observed.latency[[kind as usize, i, q]])
}

/// Part `q / LEVEL_COUNT` (request, response, server) of a client latency. A producer waits for
/// none of them.
fn part_of(layout: &Layout, observed: &Observed, i: usize, q: usize) -> f32 {
    if layout.kind[i] == crate::data::RpcKind::Messaging {
        return NO_CHILD;
    }
    let kind = [Kind::Request, Kind::Response, Kind::Server][q / LEVEL_COUNT];
    observed.latency[[kind as usize, i, q % LEVEL_COUNT]]
}

struct Builder<'a> {
    count: usize,
    device: &'a Device,
}

impl Builder<'_> {
    /// # Shapes
    /// `[max(nodes, 1), width, frames]`; a net without such nodes gets one of zeros, so that no
    /// tensor is empty.
    fn tensor(
        &self,
        nodes: usize,
        width: usize,
        value: impl Fn(usize, usize, usize) -> f32,
    ) -> Tensor<3> {
        let shape = (nodes.max(1), width, self.count);
        let array =
            Array3::from_shape_fn(shape, |(n, f, t)| if n < nodes { value(n, f, t) } else { 0.0 });
        let data = TensorData::new(array.into_raw_vec_and_offset().0, [shape.0, shape.1, shape.2]);
        Tensor::from_data(data, self.device)
    }
}

/// Indices to train on and indices held back, in blocks of consecutive intervals. Which blocks, event
/// time decides: the same frames are held back from every model, so models can be compared on them.
pub(super) fn split(frames: &[&Frame]) -> (Vec<usize>, Vec<usize>) {
    let is_held_back = |t: &usize| {
        let interval = &frames[*t].interval;
        let block = (interval.end.0 - interval.start.0).max(1) * BLOCK;
        interval.start.0.div_euclid(block).rem_euclid(HELD_BACK) == HELD_BACK - 1
    };
    let count = frames.len();
    let (held_back, train): (Vec<_>, Vec<_>) = (0..count).partition(is_held_back);
    if held_back.is_empty() || train.is_empty() {
        // Too few frames for a whole block: the newest fifth.
        let from = count - (count / 5).max(1).min(count);
        return ((0..from).collect(), (from..count).collect());
    }
    (train, held_back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, Interval};

    #[test]
    fn the_split_holds_back_the_same_moments_whatever_the_history_begins_with() {
        let frames: Vec<Frame> = (0..160).map(at).collect();
        let all: Vec<&Frame> = frames.iter().collect();
        let (train, held_back) = split(&all);
        assert_eq!((train.len(), held_back.len()), (144, 16));
        // Forty intervals later the history has moved on, the held-back moments have not.
        let later: Vec<usize> = split(&all[40..]).1.iter().map(|t| t + 40).collect();
        assert_eq!(later, held_back.into_iter().filter(|t| *t >= 40).collect::<Vec<_>>());
    }

    #[test]
    fn the_split_of_few_frames_holds_back_the_newest() {
        let frames: Vec<Frame> = (0..10).map(at).collect();
        let all: Vec<&Frame> = frames.iter().collect();
        assert_eq!(split(&all).1, [8, 9]);
        assert_eq!(split(&all[..1]), (vec![], vec![0]));
        assert_eq!(split(&[]), (vec![], vec![]));
    }

    fn at(n: i64) -> Frame {
        let start = EventTime(n * 1000);
        let interval = Interval { start, end: EventTime(start.0 + 1000) };
        Frame { interval, rpcs: vec![], services: vec![], completeness: 1.0, replicas: vec![] }
    }
}
