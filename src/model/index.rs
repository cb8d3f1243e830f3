//! The structure of a layout as constant tensors: who calls whom, who serves what, what is normal.
//!
//! In: a [`Layout`] and which [`Part`] of it. Out: [`Index`], which the networks of the GVAE are wired by. Absent on purpose:
//! anything that is learnt.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::dataset::{Aggregate, NO_CHILD, Tensors, aggregate};
use super::layout::{Kind, LEVEL_COUNT, Layout};
use super::part::Part;
use crate::data::RpcKind;

/// Constant index and incidence tensors of a layout.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) callee: Tensor<1, Int>,
    pub(super) caller: Tensor<1, Int>,
    pub(super) client_caller: Tensor<1, Int>,
    pub(super) paired_callee: Tensor<1, Int>,
    pub(super) paired_caller: Tensor<1, Int>,
    pub(super) edge_parent: Tensor<1, Int>,
    /// Incidence of edges on parents: `[1, rpc, edge]`
    pub(super) parents: Tensor<3>,
    /// Mean over the RPCs a service serves: `[1, service, rpc]`
    pub(super) served_mean: Tensor<3>,
    /// RPCs a service serves, padded by repetition: `[service * widest]`, and `widest`.
    pub(super) served_padded: (Tensor<1, Int>, usize),
    /// 1 where the service serves anything: `[service, 1, 1]`
    pub(super) serves: Tensor<3>,
    /// Mean over the client decoders of a service: `[1, service, client]`
    pub(super) invoked_mean: Tensor<3>,
    /// 1 where the callee sends no spans: `[rpc, 1, 1]`
    pub(super) dark: Tensor<3>,
    /// 1 where the RPC waits for others: `[rpc, 1, 1]`
    pub(super) waits: Tensor<3>,
    /// Children at their normal values: `[edge, level, 1]` and `[rpc, level, 1]`
    pub(super) normal_children: Tensor<3>,
    pub(super) normal_slowest: Tensor<3>,
    /// Parts of client latencies at normal values: `[client, 3 * level, 1]`
    pub(super) normal_parts: Tensor<3>,
    pub(super) ceiling: f32,
}

pub(super) fn at(nodes: &Tensor<3>, index: &Tensor<1, Int>) -> Tensor<3> {
    nodes.clone().select(0, index.clone())
}

/// Whether each RPC waits for any child.
pub(super) fn waits(layout: &Layout) -> Vec<bool> {
    let mut waits = vec![false; layout.callee.len()];
    for edge in &layout.edges {
        waits[edge.parent] = true;
    }
    waits
}

/// # Shapes
/// `[max(nodes, 1), width, 1]`
pub(super) fn constant(
    nodes: usize,
    width: usize,
    device: &Device,
    value: &dyn Fn(usize, usize) -> f32,
) -> Tensor<3> {
    let values: Vec<f32> = (0..nodes.max(1) * width)
        .map(|at| if at / width < nodes { value(at / width, at % width) } else { 0.0 })
        .collect();
    Tensor::from_data(TensorData::new(values, [nodes.max(1), width, 1]), device)
}

/// What decoders see when everything is normal.
struct Normals<'a> {
    layout: &'a Layout,
    children: Aggregate,
}

impl<'a> Normals<'a> {
    fn new(layout: &'a Layout) -> Self {
        let children = aggregate(layout, |k| layout.normal[Kind::Client as usize][k]);
        Self { layout, children }
    }

    /// Part `q / LEVEL_COUNT` of the client latency of RPC `i`.
    fn part(&self, i: usize, q: usize) -> f32 {
        if self.layout.kind[i] == RpcKind::Messaging {
            return NO_CHILD;
        }
        let kind = [Kind::Request, Kind::Response, Kind::Server][q / LEVEL_COUNT];
        self.layout.normal[kind as usize][i][q % LEVEL_COUNT]
    }
}

impl Index {
    /// Builds the constants of a part of `layout` on `device`.
    pub fn new(layout: &Layout, part: &Part, device: &Device) -> Self {
        let list = |values: Vec<usize>| {
            let values: Vec<i32> = if values.is_empty() {
                vec![0]
            } else {
                values.iter().map(|v| *v as i32).collect()
            };
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), device)
        };
        let (services, rpcs) = (&part.services, &part.rpcs);
        let (clients, paired) = (part.client_rpcs(layout), part.paired_rpcs(layout));
        let callees = |of: &[usize]| {
            list(of.iter().map(|i| part.service_place(Some(layout.callee[*i]))).collect())
        };
        let callers =
            |of: &[usize]| list(of.iter().map(|i| part.service_place(layout.caller[*i])).collect());
        let parents: Vec<usize> = part
            .edges
            .iter()
            .map(|e| rpcs.binary_search(&layout.edges[*e].parent).unwrap_or(0))
            .collect();
        let flag = |value: bool| f32::from(u8::from(value));
        let serves = |j: usize, i: usize| layout.callee[rpcs[i]] == services[j];
        let served = |j: usize| (0..rpcs.len()).filter(move |i| serves(j, *i));
        let widest = (0..services.len()).map(|j| served(j).count()).max().unwrap_or(1).max(1);
        let padded = (0..services.len()).flat_map(|j| {
            let served: Vec<usize> = served(j).collect();
            (0..widest).map(move |n| served.get(n).or_else(|| served.last()).copied().unwrap_or(0))
        });
        let waits = waits(layout);
        let normal = Normals::new(layout);
        Self {
            callee: callees(rpcs),
            caller: callers(rpcs),
            client_caller: callers(&clients),
            paired_callee: callees(&paired),
            paired_caller: callers(&paired),
            edge_parent: list(parents.clone()),
            parents: incidence(rpcs.len(), parents.len(), device, |i, e| flag(parents[e] == i)),
            served_mean: mean_of(services.len(), rpcs.len(), device, serves),
            served_padded: (list(padded.collect()), widest),
            serves: constant(services.len(), 1, device, &|j, _| flag(served(j).next().is_some())),
            invoked_mean: mean_of(services.len(), clients.len(), device, |j, c| {
                layout.caller[clients[c]] == Some(services[j])
            }),
            dark: constant(rpcs.len(), 1, device, &|i, _| {
                flag(layout.kind[rpcs[i]] == RpcKind::ClientOnly)
            }),
            waits: constant(rpcs.len(), 1, device, &|i, _| flag(waits[rpcs[i]])),
            normal_children: constant(part.edges.len(), LEVEL_COUNT, device, &|e, q| {
                normal.children.children[part.edges[e]][q]
            }),
            normal_slowest: constant(rpcs.len(), LEVEL_COUNT, device, &|i, q| {
                normal.children.slowest[rpcs[i]][q]
            }),
            normal_parts: constant(clients.len(), 3 * LEVEL_COUNT, device, &|c, q| {
                normal.part(clients[c], q)
            }),
            ceiling: layout.ceiling,
        }
    }

    /// X^net of each paired RPC: what both ends say about their network, and the callee's load.
    pub(super) fn net_inputs(&self, d: &Tensors) -> Vec<Tensor<3>> {
        vec![
            at(&d.net, &self.paired_callee),
            at(&d.net, &self.paired_caller),
            at(&d.load, &self.paired_callee),
        ]
    }

    /// Mean and maximum over the RPCs each service serves: `[rpc, level, batch]` ->
    /// `[service, level, batch]` twice.
    pub(super) fn served(&self, residual: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let [rpcs, levels, batch] = residual.dims();
        let services = self.served_mean.dims()[1];
        let flat = residual.clone().reshape([1, rpcs, levels * batch]);
        let mean = self.served_mean.clone().matmul(flat).reshape([services, levels, batch]);
        let (padded, widest) = &self.served_padded;
        let spread = residual.select(0, padded.clone());
        let most = spread.reshape([services, *widest, levels, batch]).max_dim(1);
        (mean, most.reshape([services, levels, batch]) * self.serves.clone())
    }

    pub(super) fn invoked(&self, residual: Tensor<3>) -> Tensor<3> {
        let [clients, levels, batch] = residual.dims();
        let services = self.invoked_mean.dims()[1];
        let flat = residual.reshape([1, clients, levels * batch]);
        self.invoked_mean.clone().matmul(flat).reshape([services, levels, batch])
    }

    /// The same constants on the device that tracks gradients.
    pub fn tracked(&self) -> Self {
        let int = |t: &Tensor<1, Int>| Tensor::from_inner(t.clone());
        let float = |t: &Tensor<3>| Tensor::from_inner(t.clone());
        Self {
            callee: int(&self.callee),
            caller: int(&self.caller),
            client_caller: int(&self.client_caller),
            paired_callee: int(&self.paired_callee),
            paired_caller: int(&self.paired_caller),
            edge_parent: int(&self.edge_parent),
            parents: float(&self.parents),
            served_mean: float(&self.served_mean),
            served_padded: (int(&self.served_padded.0), self.served_padded.1),
            serves: float(&self.serves),
            invoked_mean: float(&self.invoked_mean),
            dark: float(&self.dark),
            waits: float(&self.waits),
            normal_children: float(&self.normal_children),
            normal_slowest: float(&self.normal_slowest),
            normal_parts: float(&self.normal_parts),
            ceiling: self.ceiling,
        }
    }
}

/// # Shapes
/// `[1, rows, max(columns, 1)]`
fn incidence(
    rows: usize,
    columns: usize,
    device: &Device,
    value: impl Fn(usize, usize) -> f32,
) -> Tensor<3> {
    let width = columns.max(1);
    let values: Vec<f32> = (0..rows * width)
        .map(|at| if at % width < columns { value(at / width, at % width) } else { 0.0 })
        .collect();
    Tensor::from_data(TensorData::new(values, [1, rows, width]), device)
}

fn mean_of(
    rows: usize,
    columns: usize,
    device: &Device,
    member: impl Fn(usize, usize) -> bool,
) -> Tensor<3> {
    let size = |row: usize| (0..columns).filter(|c| member(row, *c)).count().max(1) as f32;
    let sizes: Vec<f32> = (0..rows).map(size).collect();
    incidence(rows, columns, device, |r, c| if member(r, c) { 1.0 / sizes[r] } else { 0.0 })
}
