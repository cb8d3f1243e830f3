//! What many frames measured, put side by side: for every RPC, service and feature the windows of all frames
//! that have it.
//!
//! Frames are sorted alike, mostly hold the same names, and names are mostly the same memory. So lists are
//! walked in step and addresses are compared before texts: nothing is looked up by name.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::data::{FeatureWindow, Frame, Name, RpcWindow, ServiceWindow};

/// One thing in all frames that have it: number of the frame, and its window there. Never empty.
pub(super) type Column<'a, T> = Vec<(usize, &'a T)>;

/// All RPCs, sorted by key.
pub(super) fn rpcs<'a>(frames: &[&'a Frame]) -> Vec<Column<'a, RpcWindow>> {
    side_by_side(frames.iter().map(|f| &f.rpcs[..]), |a, b| {
        let (a, b) = (&a.key, &b.key);
        compare(&a.caller, &b.caller)
            .then_with(|| compare(&a.caller_op, &b.caller_op))
            .then_with(|| compare(&a.callee, &b.callee))
            .then_with(|| compare(&a.op, &b.op))
    })
}

/// All services with samples, sorted by name.
pub(super) fn services<'a>(frames: &[&'a Frame]) -> Vec<Column<'a, ServiceWindow>> {
    side_by_side(frames.iter().map(|f| &f.services[..]), |a, b| compare(&a.service, &b.service))
}

/// The features of one service, sorted by name.
pub(super) fn features<'a>(
    service: &[(usize, &'a ServiceWindow)],
) -> Vec<Column<'a, FeatureWindow>> {
    let mut columns: Vec<Column<'a, FeatureWindow>> = Vec::new();
    for (t, window) in service {
        for (place, feature) in window.features.iter().enumerate() {
            let is_it =
                |c: &Column<'_, FeatureWindow>| compare(&newest(c).name, &feature.name).is_eq();
            // Nearly always where it was before.
            let at = match columns.get(place) {
                Some(column) if is_it(column) => Some(place),
                _ => columns.iter().position(is_it),
            };
            match at {
                Some(at) => columns[at].push((*t, feature)),
                None => columns.push(begun(service.len(), *t, feature)),
            }
        }
    }
    columns.sort_by(|a, b| newest(a).name.cmp(&newest(b).name));
    columns
}

/// Puts sorted lists side by side.
fn side_by_side<'a, T>(
    lists: impl ExactSizeIterator<Item = &'a [T]>,
    order: impl Fn(&T, &T) -> Ordering,
) -> Vec<Column<'a, T>> {
    let mut columns: Vec<Column<'a, T>> = Vec::new();
    let count = lists.len();
    for (t, list) in lists.enumerate() {
        let (mut at, mut new) = (0, Vec::new());
        for item in list {
            let next = columns[at..].iter().position(|c| order(newest(c), item).is_ge());
            at += next.unwrap_or(columns.len() - at);
            match columns.get_mut(at) {
                Some(column) if order(newest(column), item).is_eq() => {
                    column.push((t, item));
                    at += 1;
                }
                _ => new.push(begun(count, t, item)),
            }
        }
        if !new.is_empty() {
            columns.append(&mut new);
            columns.sort_by(|a, b| order(newest(a), newest(b)));
        }
    }
    columns
}

fn begun<T>(frames: usize, t: usize, item: &T) -> Column<'_, T> {
    let mut column = Vec::with_capacity(frames - t.min(frames));
    column.push((t, item));
    column
}

/// The newest window of a column: its names are the likeliest to be those of the next one's memory.
fn newest<'a, T>(column: &[(usize, &'a T)]) -> &'a T {
    column[column.len() - 1].1
}

fn compare(a: &Name, b: &Name) -> Ordering {
    if Arc::ptr_eq(a, b) { Ordering::Equal } else { a.cmp(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(lists: &[&[&str]]) -> Vec<Vec<(usize, String)>> {
        let lists: Vec<Vec<Name>> =
            lists.iter().map(|l| l.iter().map(|s| Name::from(*s)).collect()).collect();
        let all = side_by_side(lists.iter().map(|l| &l[..]), compare);
        let text = |c: Column<'_, Name>| c.into_iter().map(|(t, s)| (t, s.to_string())).collect();
        all.into_iter().map(text).collect()
    }

    #[test]
    fn what_only_some_frames_have_stands_in_its_place() {
        let all = columns(&[&["b", "d"], &[], &["a", "b", "c", "d", "e"], &["a", "d"]]);
        let of = |s: &str, frames: &[usize]| {
            frames.iter().map(|t| (*t, s.to_string())).collect::<Vec<_>>()
        };
        let expected =
            [of("a", &[2, 3]), of("b", &[0, 2]), of("c", &[2]), of("d", &[0, 2, 3]), of("e", &[2])];
        assert_eq!(all, expected);
    }

    #[test]
    fn the_columns_of_nothing_are_none() {
        assert!(columns(&[]).is_empty() && columns(&[&[], &[]]).is_empty());
        assert!(features(&[]).is_empty());
    }
}
