//! Media Service (paper, Fig. 10; `DeathStarBench`): users browse films and review them.

use super::draft::{Draft, Target, call, cpu, disk, maybe, parallel};
use crate::lab::sim::spec::AppSpec;

/// Film pages 60 %, reviews of a user 25 %, new reviews 15 %.
pub fn media_service() -> AppSpec {
    let mut app = Draft::new();
    let reviews = Reviews::define(&mut app);
    let page = film_page(&mut app, reviews.read_of_film);
    let compose = compose_review(&mut app, &reviews);

    let nginx = app.frontend("nginx-web-server", 2, 1);
    let read_page =
        app.op(nginx, "/wrk2-api/movie/read", vec![cpu(1800.0), call(page), cpu(1100.0)]);
    let read_user = app.op(
        nginx,
        "/wrk2-api/user-review/read",
        vec![cpu(1600.0), call(reviews.read_of_user), cpu(800.0)],
    );
    let write =
        app.op(nginx, "/wrk2-api/review/compose", vec![cpu(2100.0), call(compose), cpu(700.0)]);
    app.entry(read_page, 0.6);
    app.entry(read_user, 0.25);
    app.entry(write, 0.15);
    app.finish("media-service", 130.0, 5)
}

/// A cache in front of a database, behind a service with one operation.
fn stored(app: &mut Draft, name: &str, op: &str, cpu_us: f64, miss: f64) -> Target {
    let cached = app.cache(&format!("{name}-memcached"), "get", 0.5 * cpu_us);
    let mongodb = app.database(&format!("{name}-mongodb"));
    let find = app.op(mongodb, "find", vec![cpu(cpu_us), disk(0.5, 3000.0)]);
    let service = app.logic(&format!("{name}-service"), 1, 1);
    let steps = vec![cpu(0.6 * cpu_us), call(cached), maybe(miss, find), cpu(0.4 * cpu_us)];
    app.op(service, op, steps)
}

/// Operations on stored reviews, by film and by user.
struct Reviews {
    store: Target,
    read_of_film: Target,
    add_to_film: Target,
    read_of_user: Target,
    add_to_user: Target,
}

impl Reviews {
    fn define(app: &mut Draft) -> Self {
        let cached = app.cache("review-storage-memcached", "mget", 1500.0);
        let mongodb = app.database("review-storage-mongodb");
        let find = app.op(mongodb, "find", vec![cpu(3300.0), disk(0.5, 3500.0), cpu(1200.0)]);
        let insert = app.op(mongodb, "insert", vec![cpu(2500.0), disk(0.8, 2500.0)]);
        let storage = app.logic("review-storage-service", 2, 1);
        let read = vec![cpu(2100.0), call(cached), maybe(0.25, find), cpu(1600.0)];
        let read = app.op(storage, "ReadReviews", read);
        let store = vec![cpu(1800.0), call(insert), cpu(700.0)];
        let store = app.op(storage, "StoreReview", store);
        let (read_of_film, add_to_film) = Self::index(app, "movie-review", "Movie", 1600.0, read);
        let (read_of_user, add_to_user) = Self::index(app, "user-review", "User", 2300.0, read);
        Self { store, read_of_film, add_to_film, read_of_user, add_to_user }
    }

    /// Which reviews belong to a film or a user: reading and adding.
    fn index(app: &mut Draft, name: &str, of: &str, cpu_us: f64, read: Target) -> (Target, Target) {
        let redis = app.cache(&format!("{name}-redis"), "zrevrange", 0.8 * cpu_us);
        let mongodb = app.database(&format!("{name}-mongodb"));
        let find = app.op(mongodb, "find", vec![cpu(2.0 * cpu_us), disk(0.5, 3500.0)]);
        let update = app.op(mongodb, "update", vec![cpu(1.5 * cpu_us), disk(0.8, 2500.0)]);
        let service = app.logic(&format!("{name}-service"), 1, 1);
        let reading =
            vec![cpu(1.1 * cpu_us), call(redis), maybe(0.25, find), call(read), cpu(0.9 * cpu_us)];
        let adding = vec![cpu(cpu_us), call(update), call(redis), cpu(0.4 * cpu_us)];
        (
            app.op(service, &format!("Read{of}Reviews"), reading),
            app.op(service, &format!("Upload{of}Review"), adding),
        )
    }
}

/// Everything a film's page shows, fetched at once; the plot hangs on what the film is.
fn film_page(app: &mut Draft, reviews: Target) -> Target {
    let cast = stored(app, "cast-info", "ReadCastInfo", 3000.0, 0.2);
    let plot = stored(app, "plot", "ReadPlot", 2600.0, 0.2);
    let info = stored(app, "movie-info", "ReadMovieInfo", 2800.0, 0.2);
    let page = app.logic("page-service", 2, 1);
    let steps = vec![
        cpu(2000.0),
        parallel(&[info, reviews]),
        cpu(1000.0),
        parallel(&[cast, plot]),
        cpu(1100.0),
    ];
    app.op(page, "ReadPage", steps)
}

/// A new review: its parts at once, gathered by compose-review, then stored and indexed at once.
fn compose_review(app: &mut Draft, reviews: &Reviews) -> Target {
    let unique_id = app.logic("unique-id-service", 1, 1);
    let unique_id = app.op(unique_id, "UploadUniqueId", vec![cpu(2500.0)]);
    let text = app.logic("text-service", 1, 1);
    let text = app.op(text, "UploadText", vec![cpu(3300.0)]);
    let redis = app.cache("rating-redis", "incr", 2000.0);
    let rating = app.logic("rating-service", 1, 1);
    let rating = app.op(rating, "UploadRating", vec![cpu(2000.0), call(redis), cpu(800.0)]);
    let movie_id = stored(app, "movie-id", "UploadMovieId", 4100.0, 0.2);
    let user = stored(app, "user", "UploadUser", 4100.0, 0.2);
    let parts = app.cache("compose-review-memcached", "get", 2000.0);
    let service = app.logic("compose-review-service", 1, 1);
    let steps = vec![
        cpu(2000.0),
        parallel(&[unique_id, text, rating, movie_id, user]),
        call(parts),
        cpu(1600.0),
        parallel(&[reviews.store, reviews.add_to_film, reviews.add_to_user]),
        cpu(800.0),
    ];
    app.op(service, "ComposeReview", steps)
}
