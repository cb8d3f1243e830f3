mod blame;
mod record;
mod schedule;
mod score;
mod service_graph;
mod support;
