mod blame;
mod record;
mod schedule;
mod score;
mod support;
