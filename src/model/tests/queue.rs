//! Requests that wait for workers before the callee's span begins.

use super::town::{TROUBLE_MS, Town, chain, throttling, worlds};
use crate::data::{Frame, Percentiles, RpcKey, RpcWindow};
use crate::graph::{Delay, Hypothesis, Mechanism as _, Query, Restore, What};
use crate::model::{Config, Model};

const WAIT_MS: f32 = 300.0;
/// A frame in which the database is in trouble, and one in which it is not.
const TROUBLED: usize = 103;
const CALM: usize = 104;

fn list() -> RpcKey {
    RpcKey::new("front", "get", "cart", "list")
}

fn window<'a>(frame: &'a mut Frame, callee: &str) -> &'a mut RpcWindow {
    frame.rpcs.iter_mut().find(|w| &*w.key.callee == callee).unwrap()
}

/// Requests to cart take so long, level by level, before they begin.
fn wait(frame: &mut Frame, ms: [f32; 5]) {
    let add = |p: &mut Percentiles| p.0.iter_mut().zip(ms).for_each(|(v, ms)| *v += ms);
    add(&mut window(frame, "cart").request);
    add(&mut window(frame, "cart").client);
    add(&mut window(frame, "front").server);
    add(&mut window(frame, "front").client);
}

/// While the database is slow, all workers of cart wait for it, and whoever asks cart waits for a worker.
fn town(is_queued: bool) -> (Town, Model) {
    let mut town = chain(112, 43, throttling);
    let met = town.met.clone();
    for (frame, met) in town.frames.iter_mut().zip(met) {
        if !met && is_queued {
            wait(frame, [0.1, 0.4, 0.7, 0.9, 1.0].map(|share| share * WAIT_MS));
        }
    }
    let model = town.fit(&Config { steps: [80, 30], ..Config::default() }).unwrap();
    (town, model)
}

fn delay(model: &Model, seen: &Frame, normal: &Frame) -> Delay {
    let situation = model.abduct(seen, normal).situation();
    situation.delays[model.net().rpc(&list()).unwrap()].unwrap()
}

#[test]
fn a_queue_goes_away_with_what_holds_the_workers() {
    let (town, model) = town(true);
    let (seen, normal) = (&town.frames[TROUBLED], &town.frames[CALM]);
    let db = model.net().service("db").unwrap();
    let restore = vec![Restore { service: db, what: What::All, nets: Vec::new() }];
    let query = Query { restore, hypothesis: Hypothesis::Keep, draw: None };
    let i = model.net().rpc(&list()).unwrap();
    let was = seen.rpc(&list()).unwrap().client.0[4];
    let is = worlds(&model, seen, normal, &[query]).remove(0).client[i].0[4];
    assert!(was > WAIT_MS + TROUBLE_MS as f32 / 2.0, "{was}");
    assert!(is < WAIT_MS / 4.0, "{is} of {was} ms remain");
    let delay = delay(&model, seen, normal);
    assert!(delay.all < 5.0 && delay.link < 5.0, "cart's link is as always: {delay:?}");
}

#[test]
fn a_delay_that_has_nothing_to_do_with_work_in_flight_stays() {
    let (mut town, model) = town(false);
    let normal = town.frames[CALM].clone();
    wait(&mut town.frames[TROUBLED], [WAIT_MS; 5]);
    let db = model.net().service("db").unwrap();
    let restore = vec![Restore { service: db, what: What::All, nets: Vec::new() }];
    let query = Query { restore, hypothesis: Hypothesis::Keep, draw: None };
    let i = model.net().rpc(&list()).unwrap();
    let is = worlds(&model, &town.frames[TROUBLED], &normal, &[query]).remove(0).client[i].0[4];
    assert!(is > 0.7 * WAIT_MS, "{is}");
}

/// A constant delay is a link's; one that comes and goes on the way to the callee only is not.
#[test]
fn what_a_link_adds_is_told_from_waiting() {
    let (mut town, model) = town(false);
    let normal = town.frames[CALM].clone();
    let mut with = |ms: [f32; 5]| {
        let mut frame = town.frames[CALM + 1].clone();
        wait(&mut frame, ms);
        town.frames.push(frame);
        delay(&model, town.frames.last().unwrap(), &normal)
    };
    let constant = with([20.0, 22.0, 24.0, 26.0, 30.0]);
    assert!(constant.all > 5.0 && constant.link > 5.0, "{constant:?}");
    let waiting = with([0.0, 5.0, 20.0, 40.0, 60.0]);
    assert!(waiting.all > 5.0 && waiting.link < 5.0, "{waiting:?}");
    // What is lost now and then and sent again shows in the tail alone.
    let lost = with([0.0, 0.0, 0.0, 200.0, 400.0]);
    assert!(lost.all > 5.0, "{lost:?}");
}
