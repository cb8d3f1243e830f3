//! Clients of the node helpers: one task each, one request at a time, in order.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::config::Config;
use super::dial::{Pipe, dial};
use super::metrics::{Metrics, NodeLabels};
use super::nodes::{Helper, Tls};
use crate::wire::{Answer, Refusal, Request, line, parse_answer};

/// Requests that may wait for one helper. Renewals come a few times a lease, so more means that it hangs.
const WAITING_MAX: usize = 256;
/// Longest answer. A list of a thousand fixes is below that.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Why there is no answer of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The helper says no.
    #[error("the helper of {node} refuses: {refusal}")]
    Refused {
        /// Which.
        node: String,
        /// Its words.
        refusal: Refusal,
    },
    /// The helper says nothing.
    #[error("no answer from the helper of {node}: {why}; is sage-helper running there?")]
    Unreachable {
        /// Which.
        node: String,
        /// Why.
        why: String,
    },
}

type Reply = oneshot::Sender<Result<Answer, Error>>;

/// All helpers, by node.
#[derive(Clone)]
pub(super) struct Helpers(BTreeMap<String, mpsc::Sender<(Request, Reply)>>);

impl fmt::Debug for Helpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Helpers {
    /// Starts a task for each helper. They end when the last clone is dropped.
    pub(super) fn start(config: &Config, metrics: &Metrics) -> Self {
        let start = |helper: &Helper| {
            let (tx, rx) = mpsc::channel(WAITING_MAX);
            let line = Line {
                helper: helper.clone(),
                tls: config.tls.clone(),
                timeout: config.timeout,
                stream: None,
            };
            tokio::spawn(serve(line, rx, metrics.clone()));
            (helper.node.clone(), tx)
        };
        Self(config.helpers.iter().map(start).collect())
    }

    /// Nodes with a helper.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Asks the helper of `node`.
    ///
    /// # Errors
    /// A refusal, or that nobody answers.
    pub(super) async fn ask(&self, node: &str, request: Request) -> Result<Answer, Error> {
        let unreachable = |why: &str| Error::Unreachable { node: node.into(), why: why.into() };
        let line =
            self.0.get(node).ok_or_else(|| unreachable("there is no [[act.helpers]] for it"))?;
        let (tx, rx) = oneshot::channel();
        line.try_send((request, tx)).map_err(|_| unreachable("too many requests wait for it"))?;
        rx.await.map_err(|_| unreachable("the sidecar is stopping"))?
    }
}

async fn serve(mut line: Line, mut requests: mpsc::Receiver<(Request, Reply)>, metrics: Metrics) {
    let labels = NodeLabels { node: line.helper.node.clone() };
    while let Some((request, reply)) = requests.recv().await {
        let answer = line.ask(&request).await;
        let is_up = !matches!(answer, Err(Error::Unreachable { .. }));
        metrics.helper_up.get_or_create(&labels).set(i64::from(is_up));
        // Whoever asked may have stopped waiting; the helper has done it all the same.
        drop(reply.send(answer));
    }
}

/// A connection that is made when it is needed.
struct Line {
    helper: Helper,
    tls: Option<Tls>,
    timeout: Duration,
    stream: Option<BufReader<Pipe>>,
}

impl Line {
    async fn ask(&mut self, request: &Request) -> Result<Answer, Error> {
        let text = line(request);
        let was_open = self.stream.is_some();
        let mut answer = self.try_ask(&text).await;
        // A helper closes connections that were idle. Asking twice is harmless: everything that can be
        // asked is safe to repeat.
        if answer.is_err() && was_open {
            answer = self.try_ask(&text).await;
        }
        let node = self.helper.node.clone();
        match answer {
            Ok(Answer::Refused(refusal)) => Err(Error::Refused { node, refusal }),
            Ok(answer) => Ok(answer),
            Err(why) => Err(Error::Unreachable { node, why }),
        }
    }

    async fn try_ask(&mut self, text: &str) -> Result<Answer, String> {
        // Taken out: after a failure or a time-out half of an answer may be on its way.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let exchange = async {
            stream.write_all(text.as_bytes()).await.map_err(|e| e.to_string())?;
            stream.flush().await.map_err(|e| e.to_string())?;
            let mut bytes = Vec::new();
            let mut bounded = (&mut stream).take(ANSWER_BYTES_MAX);
            bounded.read_until(b'\n', &mut bytes).await.map_err(|e| e.to_string())?;
            match bytes.last() {
                Some(b'\n') => parse_answer(&bytes),
                Some(_) => Err("it ends in the middle of an answer".into()),
                None => Err("it closed the connection".into()),
            }
        };
        let late = |_| format!("not within {:?}", self.timeout);
        let answer = timeout(self.timeout, exchange).await.map_err(late)??;
        self.stream = Some(stream);
        Ok(answer)
    }

    async fn connect(&self) -> Result<BufReader<Pipe>, String> {
        match timeout(self.timeout, dial(&self.helper, self.tls.as_ref())).await {
            Ok(pipe) => Ok(BufReader::new(pipe?)),
            Err(_) => Err(format!("{}: it does not accept connections", self.helper.shown())),
        }
    }
}
