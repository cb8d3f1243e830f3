//! The random variables of a causal Bayesian network (paper 3.3.1).

/// A variable; numbers are indices of services or RPCs in the net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    /// X^s: server-related metrics of a service.
    ServerMetric(usize),
    /// X^net: network-related metrics of an RPC.
    NetMetric(usize),
    /// Y^req: request delay of an RPC.
    Request(usize),
    /// Y^resp: response delay of an RPC.
    Response(usize),
    /// Y^s: server-side latency of an RPC.
    Server(usize),
    /// Y^c: client-side latency of an RPC.
    Client(usize),
    /// Z^s: what is unobserved about a service.
    ServerLatent(usize),
    /// Z^net: what is unobserved about the network of an RPC.
    NetLatent(usize),
}

impl Variable {
    /// Whether it is one of the latency nodes Y.
    pub fn is_latency(&self) -> bool {
        matches!(self, Self::Request(_) | Self::Response(_) | Self::Server(_) | Self::Client(_))
    }

    /// Whether it is one of the latent nodes Z.
    pub fn is_latent(&self) -> bool {
        matches!(self, Self::ServerLatent(_) | Self::NetLatent(_))
    }

    /// The paper's symbol.
    pub fn symbol(&self) -> &'static str {
        match self {
            Self::ServerMetric(_) => "X^s",
            Self::NetMetric(_) => "X^net",
            Self::Request(_) => "Y^req",
            Self::Response(_) => "Y^resp",
            Self::Server(_) => "Y^s",
            Self::Client(_) => "Y^c",
            Self::ServerLatent(_) => "Z^s",
            Self::NetLatent(_) => "Z^net",
        }
    }
}
