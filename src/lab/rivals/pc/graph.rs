//! A graph with directed and undirected edges.

/// A completed partially directed acyclic graph over variables 0, 1, ...
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lab::rivals) struct Graph {
    size: usize,
    /// Whether `x -> y` is possible, at `x * size + y`; both ways where the direction is unknown.
    possible: Vec<bool>,
}

impl Graph {
    /// Every variable with every other, without direction.
    pub(super) fn complete(size: usize) -> Self {
        let possible = (0..size * size).map(|i| i / size != i % size).collect();
        Self { size, possible }
    }

    /// Variables.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether there is an edge.
    pub(super) fn is_adjacent(&self, x: usize, y: usize) -> bool {
        self.may(x, y) || self.may(y, x)
    }

    /// Whether `x` may be a cause of `y`.
    pub(super) fn may(&self, x: usize, y: usize) -> bool {
        self.possible[x * self.size + y]
    }

    /// Whether the edge is `x -> y` for certain.
    pub(super) fn is_directed(&self, x: usize, y: usize) -> bool {
        self.may(x, y) && !self.may(y, x)
    }

    /// Whether there is an edge of unknown direction.
    pub(super) fn is_undirected(&self, x: usize, y: usize) -> bool {
        self.may(x, y) && self.may(y, x)
    }

    /// Variables with an edge to `x`.
    pub(super) fn neighbours(&self, x: usize) -> Vec<usize> {
        (0..self.size).filter(|y| self.is_adjacent(x, *y)).collect()
    }

    /// Direct causes of `y`, and neighbours that may be.
    pub(in crate::lab::rivals) fn causes(&self, y: usize) -> Vec<usize> {
        (0..self.size).filter(|x| self.may(*x, y)).collect()
    }

    pub(super) fn remove(&mut self, x: usize, y: usize) {
        self.possible[x * self.size + y] = false;
        self.possible[y * self.size + x] = false;
    }

    /// Gives an undirected edge the direction `x -> y`; leaves others alone. Whether it did.
    pub(super) fn direct(&mut self, x: usize, y: usize) -> bool {
        let is_undirected = self.is_undirected(x, y);
        if is_undirected {
            self.possible[y * self.size + x] = false;
        }
        is_undirected
    }
}
