//! Social Network (paper, Fig. 9; `DeathStarBench`): users read timelines and compose posts, which
//! are broadcast to their followers by message.

use super::draft::{Draft, Target, call, cpu, disk, maybe, parallel, publish};
use crate::lab::sim::spec::AppSpec;

/// Reads of home timelines 60 %, of user timelines 30 %, new posts 10 %.
pub fn social_network() -> AppSpec {
    let mut app = Draft::new();
    let posts = Posts::define(&mut app);
    let timelines = Timelines::define(&mut app, &posts);
    let compose = compose_post(&mut app, &posts, &timelines);

    let nginx = app.frontend("nginx-web-server", 2, 1);
    let read_home = app.op(
        nginx,
        "/wrk2-api/home-timeline/read",
        vec![cpu(1600.0), call(timelines.read_home), cpu(1000.0)],
    );
    let read_user = app.op(
        nginx,
        "/wrk2-api/user-timeline/read",
        vec![cpu(1600.0), call(timelines.read_user), cpu(1000.0)],
    );
    let compose =
        app.op(nginx, "/wrk2-api/post/compose", vec![cpu(2100.0), call(compose), cpu(700.0)]);
    app.entry(read_home, 0.6);
    app.entry(read_user, 0.3);
    app.entry(compose, 0.1);
    app.finish("social-network", 150.0, 5)
}

/// Operations of post-storage.
struct Posts {
    read: Target,
    store: Target,
}

impl Posts {
    fn define(app: &mut Draft) -> Self {
        let cached = app.cache("post-storage-memcached", "mget", 1200.0);
        let mongodb = app.database("post-storage-mongodb");
        let find = app.op(mongodb, "find", vec![cpu(2900.0), disk(0.5, 3500.0), cpu(1200.0)]);
        let insert = app.op(mongodb, "insert", vec![cpu(2000.0), disk(0.8, 2500.0)]);
        let service = app.logic("post-storage-service", 2, 1);
        let read = vec![cpu(2300.0), call(cached), maybe(0.25, find), cpu(1800.0)];
        Self {
            read: app.op(service, "ReadPosts", read),
            store: app.op(service, "StorePost", vec![cpu(1800.0), call(insert), cpu(600.0)]),
        }
    }
}

/// Operations of the timelines.
struct Timelines {
    read_home: Target,
    write_home: Target,
    read_user: Target,
    write_user: Target,
}

impl Timelines {
    fn define(app: &mut Draft, posts: &Posts) -> Self {
        let followers = followers(app);
        let redis = app.cache("home-timeline-redis", "zrevrange", 1800.0);
        let home = app.logic("home-timeline-service", 2, 1);
        let read_home = vec![cpu(2100.0), call(redis), call(posts.read), cpu(1800.0)];
        let write_home = vec![cpu(2500.0), call(followers), call(redis), cpu(800.0)];

        let user_redis = app.cache("user-timeline-redis", "zrevrange", 2500.0);
        let mongodb = app.database("user-timeline-mongodb");
        let find = app.op(mongodb, "find", vec![cpu(4100.0), disk(0.5, 3500.0), cpu(1600.0)]);
        let update = app.op(mongodb, "update", vec![cpu(2900.0), disk(0.8, 2500.0)]);
        let user = app.logic("user-timeline-service", 1, 1);
        let read_user =
            vec![cpu(2300.0), call(user_redis), maybe(0.3, find), call(posts.read), cpu(1800.0)];
        let write_user = vec![cpu(1800.0), call(update), call(user_redis), cpu(700.0)];
        Self {
            read_home: app.op(home, "ReadHomeTimeline", read_home),
            write_home: app.op(home, "WriteHomeTimeline", write_home),
            read_user: app.op(user, "ReadUserTimeline", read_user),
            write_user: app.op(user, "WriteUserTimeline", write_user),
        }
    }
}

fn followers(app: &mut Draft) -> Target {
    let redis = app.cache("social-graph-redis", "zrange", 2500.0);
    let mongodb = app.database("social-graph-mongodb");
    let find = app.op(mongodb, "find", vec![cpu(4900.0), disk(0.5, 3500.0)]);
    let service = app.logic("social-graph-service", 1, 1);
    app.op(service, "GetFollowers", vec![cpu(4100.0), call(redis), maybe(0.3, find), cpu(1600.0)])
}

/// A new post: its parts at once, then storage and timelines at once, then the broadcast.
fn compose_post(app: &mut Draft, posts: &Posts, timelines: &Timelines) -> Target {
    let unique_id = app.logic("unique-id-service", 1, 1);
    let unique_id = app.op(unique_id, "ComposeUniqueId", vec![cpu(2500.0)]);
    let media = app.database("media-mongodb");
    let media = app.op(media, "insert", vec![cpu(2500.0), disk(0.8, 2500.0)]);
    let media_service = app.logic("media-service", 1, 1);
    let media =
        app.op(media_service, "ComposeMedia", vec![cpu(2500.0), maybe(0.4, media), cpu(800.0)]);
    let (creator, mentions) = users(app);
    let text = compose_text(app, mentions);
    let service = app.logic("compose-post-service", 1, 1);
    let steps = vec![
        cpu(2500.0),
        parallel(&[text, creator, media, unique_id]),
        cpu(1600.0),
        parallel(&[posts.store, timelines.write_user]),
        publish(timelines.write_home),
        cpu(800.0),
    ];
    app.op(service, "ComposePost", steps)
}

/// The creator of a post, and the users it mentions.
fn users(app: &mut Draft) -> (Target, Target) {
    let cached = app.cache("user-memcached", "get", 2000.0);
    let mongodb = app.database("user-mongodb");
    let find = app.op(mongodb, "find", vec![cpu(4100.0), disk(0.5, 3000.0)]);
    let user = app.logic("user-service", 1, 1);
    let creator = vec![cpu(2900.0), call(cached), maybe(0.2, find), cpu(1200.0)];
    let mention = app.logic("user-mention-service", 1, 1);
    let mentions = vec![cpu(2500.0), call(cached), maybe(0.2, find), cpu(1200.0)];
    (
        app.op(user, "ComposeCreatorWithUserId", creator),
        app.op(mention, "ComposeUserMentions", mentions),
    )
}

fn compose_text(app: &mut Draft, mentions: Target) -> Target {
    let cached = app.cache("url-shorten-memcached", "get", 2000.0);
    let mongodb = app.database("url-shorten-mongodb");
    let insert = app.op(mongodb, "insert", vec![cpu(3300.0), disk(0.8, 2500.0)]);
    let urls = app.logic("url-shorten-service", 1, 1);
    let urls = app.op(
        urls,
        "ComposeUrls",
        vec![cpu(2500.0), call(cached), maybe(0.6, insert), cpu(1200.0)],
    );
    let text = app.logic("text-service", 1, 1);
    app.op(text, "ComposeText", vec![cpu(2900.0), parallel(&[urls, mentions]), cpu(1600.0)])
}
