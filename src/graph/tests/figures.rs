//! The nets the paper draws, variable by variable.

use super::support::{names, paired, table, tabulate};
use crate::graph::Variable;

/// Figure 3: five services, four RPCs; C calls D and E in parallel.
const FIGURE_3: [&str; 4] = ["a>b.rpc0", "b.rpc0>c.rpc1", "c.rpc1>d.rpc2", "c.rpc1>e.rpc3"];
/// Figure 5: a chain of three services.
const FIGURE_5: [&str; 2] = ["s1>s2.rpc0", "s2.rpc0>s3.rpc1"];

#[test]
fn causes_in_figure_3_are_de_deps_of_equation_2() {
    let net = paired(&FIGURE_3);
    let expected = table(
        "
        X^s(a):
        X^s(b):
        X^s(c):
        X^s(d):
        X^s(e):
        X^net(rpc0):
        X^net(rpc1):
        X^net(rpc2):
        X^net(rpc3):
        Z^s(a): X^s(a)
        Z^s(b): X^s(b)
        Z^s(c): X^s(c)
        Z^s(d): X^s(d)
        Z^s(e): X^s(e)
        Z^net(rpc0): X^net(rpc0)
        Z^net(rpc1): X^net(rpc1)
        Z^net(rpc2): X^net(rpc2)
        Z^net(rpc3): X^net(rpc3)
        Y^req(rpc0): X^net(rpc0) Z^net(rpc0)
        Y^req(rpc1): X^net(rpc1) Z^net(rpc1)
        Y^req(rpc2): X^net(rpc2) Z^net(rpc2)
        Y^req(rpc3): X^net(rpc3) Z^net(rpc3)
        Y^resp(rpc0): X^net(rpc0) Z^net(rpc0)
        Y^resp(rpc1): X^net(rpc1) Z^net(rpc1)
        Y^resp(rpc2): X^net(rpc2) Z^net(rpc2)
        Y^resp(rpc3): X^net(rpc3) Z^net(rpc3)
        Y^s(rpc0): Y^c(rpc1) X^s(b) Z^s(b)
        Y^s(rpc1): Y^c(rpc2) Y^c(rpc3) X^s(c) Z^s(c)
        Y^s(rpc2): X^s(d) Z^s(d)
        Y^s(rpc3): X^s(e) Z^s(e)
        Y^c(rpc0): Y^req(rpc0) Y^resp(rpc0) Y^s(rpc0) X^s(a) Z^s(a)
        Y^c(rpc1): Y^req(rpc1) Y^resp(rpc1) Y^s(rpc1) X^s(b) Z^s(b)
        Y^c(rpc2): Y^req(rpc2) Y^resp(rpc2) Y^s(rpc2) X^s(c) Z^s(c)
        Y^c(rpc3): Y^req(rpc3) Y^resp(rpc3) Y^s(rpc3) X^s(c) Z^s(c)
        ",
    );
    assert_eq!(tabulate(&net, |_| true, |v| net.causes(v)), expected);
}

#[test]
fn evidence_in_figure_3_is_en_deps_of_equation_5_with_its_v_structures() {
    let net = paired(&FIGURE_3);
    // Beside its metrics, what a service serves and what it invokes: everything else that acts on
    // those. Parallel calls of C are both seen, and so is what acts on each of them.
    let expected = table(
        "
        Z^s(a): X^s(a) Y^c(rpc0) Y^req(rpc0) Y^resp(rpc0) Y^s(rpc0)
        Z^s(b): X^s(b) Y^s(rpc0) Y^c(rpc1) Y^req(rpc1) Y^resp(rpc1) Y^s(rpc1)
        Z^s(c): X^s(c) Y^s(rpc1) Y^c(rpc2) Y^req(rpc2) Y^resp(rpc2) Y^s(rpc2) \
            Y^c(rpc3) Y^req(rpc3) Y^resp(rpc3) Y^s(rpc3)
        Z^s(d): X^s(d) Y^s(rpc2)
        Z^s(e): X^s(e) Y^s(rpc3)
        Z^net(rpc0): X^net(rpc0) Y^req(rpc0) Y^resp(rpc0)
        Z^net(rpc1): X^net(rpc1) Y^req(rpc1) Y^resp(rpc1)
        Z^net(rpc2): X^net(rpc2) Y^req(rpc2) Y^resp(rpc2)
        Z^net(rpc3): X^net(rpc3) Y^req(rpc3) Y^resp(rpc3)
        ",
    );
    assert_eq!(tabulate(&net, Variable::is_latent, |v| net.evidence(v)), expected);
}

#[test]
fn every_encoder_and_decoder_of_figure_5_reads_what_the_figure_shows() {
    let net = paired(&FIGURE_5);
    let decoders = table(
        "
        Y^req(rpc0): X^net(rpc0) Z^net(rpc0)
        Y^resp(rpc0): X^net(rpc0) Z^net(rpc0)
        Y^req(rpc1): X^net(rpc1) Z^net(rpc1)
        Y^resp(rpc1): X^net(rpc1) Z^net(rpc1)
        Y^s(rpc1): X^s(s3) Z^s(s3)
        Y^c(rpc1): Y^req(rpc1) Y^resp(rpc1) Y^s(rpc1) X^s(s2) Z^s(s2)
        Y^s(rpc0): Y^c(rpc1) X^s(s2) Z^s(s2)
        Y^c(rpc0): Y^req(rpc0) Y^resp(rpc0) Y^s(rpc0) X^s(s1) Z^s(s1)
        ",
    );
    assert_eq!(tabulate(&net, Variable::is_latency, |v| net.causes(v)), decoders);
    let priors = table(
        "
        Z^s(s1): X^s(s1)
        Z^s(s2): X^s(s2)
        Z^s(s3): X^s(s3)
        Z^net(rpc0): X^net(rpc0)
        Z^net(rpc1): X^net(rpc1)
        ",
    );
    assert_eq!(tabulate(&net, Variable::is_latent, |v| net.causes(v)), priors);
    let encoders = table(
        "
        Z^s(s1): X^s(s1) Y^c(rpc0) Y^req(rpc0) Y^resp(rpc0) Y^s(rpc0)
        Z^s(s2): X^s(s2) Y^s(rpc0) Y^c(rpc1) Y^req(rpc1) Y^resp(rpc1) Y^s(rpc1)
        Z^s(s3): X^s(s3) Y^s(rpc1)
        Z^net(rpc0): X^net(rpc0) Y^req(rpc0) Y^resp(rpc0)
        Z^net(rpc1): X^net(rpc1) Y^req(rpc1) Y^resp(rpc1)
        ",
    );
    assert_eq!(tabulate(&net, Variable::is_latent, |v| net.evidence(v)), encoders);
}

/// Paper 3.2.2: the latency of RPC0 is independent of RPC2 and RPC3, given that of RPC1.
#[test]
fn what_is_known_of_a_child_cuts_off_its_own_children() {
    let net = paired(&FIGURE_3);
    let given = Variable::Client(1);
    let mut ancestors = vec![Variable::Server(0)];
    let mut next = 0;
    while let Some(v) = ancestors.get(next).copied() {
        next += 1;
        for cause in net.causes(v).into_iter().filter(|c| *c != given) {
            if !ancestors.contains(&cause) {
                ancestors.push(cause);
            }
        }
    }
    let expected = ["Y^s(rpc0)", "X^s(b)", "Z^s(b)"].map(String::from).into();
    assert_eq!(names(&net, ancestors), expected);
}
