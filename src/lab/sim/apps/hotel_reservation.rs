//! Hotel Reservation (paper, Fig. 11; `DeathStarBench`): users search for hotels, get
//! recommendations and book.

use super::draft::{Draft, Target, call, cpu, disk, maybe};
use crate::lab::sim::spec::AppSpec;

/// Searches 60 %, recommendations 28 %, bookings 7 %, logins 5 %.
pub fn hotel_reservation() -> AppSpec {
    let mut app = Draft::new();
    let search = search(&mut app);
    let recommend = recommendation(&mut app);
    let profiles = profiles(&mut app);
    let (available, book) = reservation(&mut app);
    let login = user(&mut app);

    let frontend = app.frontend("frontend", 2, 1);
    let searching = vec![cpu(1100.0), call(search), call(available), call(profiles), cpu(1100.0)];
    let searching = app.op(frontend, "/hotels", searching);
    let recommending = vec![cpu(1100.0), call(recommend), call(profiles), cpu(1100.0)];
    let recommending = app.op(frontend, "/recommendations", recommending);
    let booking = vec![cpu(1500.0), call(login), call(book), cpu(700.0)];
    let booking = app.op(frontend, "/reservation", booking);
    let logging_in = app.op(frontend, "/user", vec![cpu(1100.0), call(login), cpu(600.0)]);
    app.entry(searching, 0.6);
    app.entry(recommending, 0.28);
    app.entry(booking, 0.07);
    app.entry(logging_in, 0.05);
    app.finish("hotel-reservation", 170.0, 5)
}

/// Hotels near a place, with their rates.
fn search(app: &mut Draft) -> Target {
    let geo_mongodb = app.database("mongodb-geo");
    let points = app.op(geo_mongodb, "find", vec![cpu(3700.0), disk(0.4, 3000.0)]);
    let geo = app.logic("geo", 1, 1);
    let near = app.op(geo, "Nearby", vec![cpu(2800.0), maybe(0.1, points)]);

    let rate_cached = app.cache("memcached-rate", "get_multi", 1300.0);
    let rate_mongodb = app.database("mongodb-rate");
    let rates = app.op(rate_mongodb, "find", vec![cpu(3300.0), disk(0.5, 3500.0), cpu(1100.0)]);
    let rate = app.logic("rate", 1, 1);
    let steps = vec![cpu(1800.0), call(rate_cached), maybe(0.25, rates), cpu(1200.0)];
    let rates = app.op(rate, "GetRates", steps);

    let search = app.logic("search", 2, 1);
    app.op(search, "Nearby", vec![cpu(1700.0), call(near), call(rates), cpu(1000.0)])
}

fn recommendation(app: &mut Draft) -> Target {
    let mongodb = app.database("mongodb-recommendation");
    let find = app.op(mongodb, "find", vec![cpu(4500.0), disk(0.4, 3000.0)]);
    let service = app.logic("recommendation", 1, 1);
    app.op(service, "GetRecommendations", vec![cpu(4800.0), maybe(0.3, find), cpu(1100.0)])
}

/// What hotels look like.
fn profiles(app: &mut Draft) -> Target {
    let cached = app.cache("memcached-profile", "get_multi", 1300.0);
    let mongodb = app.database("mongodb-profile");
    let find = app.op(mongodb, "find", vec![cpu(3000.0), disk(0.5, 3500.0), cpu(700.0)]);
    let service = app.logic("profile", 1, 2);
    let steps = vec![cpu(2200.0), call(cached), maybe(0.2, find), cpu(1500.0)];
    app.op(service, "GetProfiles", steps)
}

/// Whether rooms are free, and taking one.
fn reservation(app: &mut Draft) -> (Target, Target) {
    let cached = app.cache("memcached-reserve", "get_multi", 1700.0);
    let mongodb = app.database("mongodb-reservation");
    let find = app.op(mongodb, "find", vec![cpu(3300.0), disk(0.5, 3500.0)]);
    let insert = app.op(mongodb, "insert", vec![cpu(3000.0), disk(0.9, 3000.0)]);
    let service = app.logic("reservation", 1, 1);
    let check = vec![cpu(2000.0), call(cached), maybe(0.2, find), cpu(1000.0)];
    let make = vec![cpu(2200.0), call(cached), call(insert), cpu(1100.0)];
    (app.op(service, "CheckAvailability", check), app.op(service, "MakeReservation", make))
}

fn user(app: &mut Draft) -> Target {
    let mongodb = app.database("mongodb-user");
    let find = app.op(mongodb, "find", vec![cpu(3700.0), disk(0.3, 3000.0)]);
    let service = app.logic("user", 1, 1);
    app.op(service, "CheckUser", vec![cpu(4500.0), maybe(0.5, find)])
}
