mod blame;
mod schedule;
mod score;
mod support;
