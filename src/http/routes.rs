//! The whole route table.

use crate::http::admin::{
    campaigns, changes, events, identity, objects, probe, profiles, secrets, sessions, state,
    stream,
};
use crate::http::problem::Problem;
use crate::http::shared::{Faces, Http};
use crate::http::{auth, collect, health, openapi, tracker};
use actix_web::middleware::from_fn;
use actix_web::web::{ServiceConfig, delete, get, post, put};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use std::sync::LazyLock;

/// The methods and paths beside `/collect`, as `openapi.json` lists them.
pub const ADMIN: [(&str, &str); 68] = [
    ("get", "/api/v1/profiles"),
    ("get", "/api/v1/profiles/{id}"),
    ("get", "/api/v1/profiles/{id}/events"),
    ("get", "/api/v1/profiles/{id}/merges"),
    ("get", "/api/v1/profiles/{id}/export"),
    ("get", "/api/v1/events"),
    ("get", "/api/v1/events/stream"),
    ("get", "/api/v1/events/{id}"),
    ("get", "/api/v1/sessions/{id}"),
    ("get", "/api/v1/sources"),
    ("get", "/api/v1/sources/{id}"),
    ("put", "/api/v1/sources/{id}"),
    ("delete", "/api/v1/sources/{id}"),
    ("post", "/api/v1/sources/{id}/test"),
    ("get", "/api/v1/sources/{id}/health"),
    ("get", "/api/v1/identification-points"),
    ("get", "/api/v1/identification-points/{id}"),
    ("put", "/api/v1/identification-points/{id}"),
    ("delete", "/api/v1/identification-points/{id}"),
    ("get", "/api/v1/identity/blocked"),
    ("get", "/api/v1/identity/types"),
    ("get", "/api/v1/identity/types/{type}"),
    ("put", "/api/v1/identity/types/{type}"),
    ("delete", "/api/v1/identity/types/{type}"),
    ("get", "/api/v1/traits"),
    ("get", "/api/v1/traits/{name}"),
    ("put", "/api/v1/traits/{name}"),
    ("delete", "/api/v1/traits/{name}"),
    ("post", "/api/v1/identity/preview"),
    ("post", "/api/v1/identity/links"),
    ("get", "/api/v1/identity/links"),
    ("get", "/api/v1/identity/links/{id}"),
    ("delete", "/api/v1/identity/links/{id}"),
    ("get", "/api/v1/identity/explain"),
    ("post", "/api/v1/profiles/{id}/unmerge"),
    ("delete", "/api/v1/profiles/{id}/identifiers/{identifier}"),
    ("post", "/api/v1/events/reprocess"),
    ("post", "/api/v1/erasures"),
    ("get", "/api/v1/erasures/{id}"),
    ("delete", "/api/v1/suppressions"),
    ("get", "/api/v1/campaigns"),
    ("get", "/api/v1/campaigns/{id}"),
    ("put", "/api/v1/campaigns/{id}"),
    ("delete", "/api/v1/campaigns/{id}"),
    ("get", "/api/v1/campaigns/{id}/runs"),
    ("get", "/api/v1/campaigns/{id}/explain"),
    ("post", "/api/v1/campaigns/{id}/preview"),
    ("post", "/api/v1/campaigns/{id}/test"),
    ("post", "/api/v1/campaigns/{id}/backtest"),
    ("post", "/api/v1/campaigns/{id}/enable"),
    ("get", "/api/v1/deliveries"),
    ("post", "/api/v1/deliveries/replay"),
    ("get", "/api/v1/deliveries/{id}"),
    ("post", "/api/v1/deliveries/{id}/replay"),
    ("get", "/api/v1/secrets"),
    ("get", "/api/v1/secrets/{name}"),
    ("put", "/api/v1/secrets/{name}"),
    ("delete", "/api/v1/secrets/{name}"),
    ("get", "/api/v1/changes"),
    ("get", "/api/v1/state/digest"),
    ("get", "/api/v1/state/resolution"),
    ("post", "/api/v1/snapshots"),
    ("post", "/api/v1/reload"),
    ("get", "/livez"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/tracker.js"),
];

/// Whether a listener with these faces has a page at that path.
pub fn is_known(path: &str, faces: Faces) -> bool {
    let fits = |known: &str| {
        let mut parts = path.split('/');
        known.split('/').all(|own| match parts.next() {
            Some(part) => own == part || (own.starts_with('{') && !part.is_empty()),
            None => false,
        }) && parts.next().is_none()
    };
    let is_served = |known: &str| match faces {
        Faces::Collect => matches!(known, "/livez" | "/readyz" | "/tracker.js"),
        Faces::Admin => known != "/tracker.js",
        Faces::Both => true,
    };
    ADMIN.iter().any(|(_, known)| is_served(known) && fits(known))
}

/// Puts the routes of a listener's faces in place.
pub fn install(app: &mut ServiceConfig, http: &Http, faces: Faces) {
    app.app_data(web::PayloadConfig::new(http.limits.body.bytes()));
    app.app_data(
        web::QueryConfig::default()
            .error_handler(|_, _| Problem::invalid("the query cannot be read").into()),
    );
    if faces != Faces::Admin {
        // Everything below it is taken apart by hand, so that every mistake has its own answer.
        app.service(web::scope("/collect").default_service(web::to(collect::collect)));
        app.service(resource("/tracker.js").route(get().to(tracker::script)));
    }
    if faces != Faces::Collect {
        // Written once: it is long, and anybody may ask for it again and again.
        static DOCUMENT: LazyLock<web::Data<health::Document>> = LazyLock::new(|| {
            let text = serde_json::to_vec(openapi::document()).unwrap_or_default();
            web::Data::new(health::Document(text.into()))
        });
        app.app_data(DOCUMENT.clone());
        admin(app);
    }
    app.service(resource("/livez").route(get().to(health::live)))
        .service(resource("/readyz").route(get().to(health::ready)))
        .default_service(match faces {
            Faces::Admin => web::to(not_found),
            Faces::Both | Faces::Collect => web::to(other),
        });
}

/// A path with slashes too many in front is one of senders, too.
async fn other(
    http: web::Data<Http>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    match collect::is_collect(request.path()) {
        true => Ok(collect::collect(http, request, payload).await),
        false => not_found().await,
    }
}

fn admin(app: &mut ServiceConfig) {
    let scope = web::scope("/api/v1")
        .service(resource("/profiles").route(get().to(profiles::by_identifier)))
        .service(resource("/profiles/{id}").route(get().to(profiles::by_id)))
        .service(resource("/profiles/{id}/events").route(get().to(profiles::events)))
        .service(resource("/profiles/{id}/merges").route(get().to(profiles::merges)))
        .service(resource("/profiles/{id}/export").route(get().to(profiles::export)))
        .service(resource("/profiles/{id}/unmerge").route(post().to(identity::unmerge)))
        .service(
            resource("/profiles/{id}/identifiers/{identifier}")
                .route(delete().to(identity::withdraw)),
        )
        .service(resource("/identity/blocked").route(get().to(identity::blocked)))
        .service(resource("/identity/types").route(get().to(identity::list_types)))
        .service(
            resource("/identity/types/{type}")
                .route(get().to(identity::get_type))
                .route(put().to(identity::put_type))
                .route(delete().to(identity::delete_type)),
        )
        .service(resource("/traits").route(get().to(identity::list_traits)))
        .service(
            resource("/traits/{name}")
                .route(get().to(identity::get_trait))
                .route(put().to(identity::put_trait))
                .route(delete().to(identity::delete_trait)),
        )
        .service(resource("/identity/preview").route(post().to(identity::preview)))
        .service(
            resource("/identity/links")
                .route(get().to(identity::links))
                .route(post().to(identity::lay)),
        )
        .service(
            resource("/identity/links/{id}")
                .route(get().to(identity::link))
                .route(delete().to(identity::lift)),
        )
        .service(resource("/identity/explain").route(get().to(identity::explain)))
        .service(resource("/erasures").route(post().to(identity::erase)))
        .service(resource("/erasures/{id}").route(get().to(identity::erasure)))
        .service(resource("/suppressions").route(delete().to(identity::allow)))
        .service(resource("/events/reprocess").route(post().to(identity::reprocess)))
        .service(resource("/events").route(get().to(events::list)))
        .service(resource("/events/stream").route(get().to(stream::stream)))
        .service(resource("/events/{id}").route(get().to(events::by_id)))
        .service(resource("/sessions/{id}").route(get().to(sessions::by_id)))
        .service(resource("/sources").route(get().to(objects::list_sources)))
        .service(
            resource("/sources/{id}")
                .route(get().to(objects::get_source))
                .route(put().to(objects::put_source))
                .route(delete().to(objects::delete_source)),
        )
        .service(resource("/sources/{id}/test").route(post().to(probe::probe)))
        .service(resource("/sources/{id}/health").route(get().to(objects::source_health)))
        .service(resource("/identification-points").route(get().to(objects::list_points)))
        .service(
            resource("/identification-points/{id}")
                .route(get().to(objects::get_point))
                .route(put().to(objects::put_point))
                .route(delete().to(objects::delete_point)),
        )
        .service(resource("/campaigns").route(get().to(campaigns::list)))
        .service(
            resource("/campaigns/{id}")
                .route(get().to(campaigns::get))
                .route(put().to(campaigns::set))
                .route(delete().to(campaigns::remove)),
        )
        .service(resource("/campaigns/{id}/runs").route(get().to(campaigns::runs)))
        .service(resource("/campaigns/{id}/explain").route(get().to(campaigns::explain)))
        .service(resource("/campaigns/{id}/preview").route(post().to(campaigns::preview)))
        .service(resource("/campaigns/{id}/test").route(post().to(campaigns::test)))
        .service(resource("/campaigns/{id}/backtest").route(post().to(campaigns::backtest)))
        .service(resource("/campaigns/{id}/enable").route(post().to(campaigns::enable)))
        .service(resource("/deliveries").route(get().to(campaigns::deliveries)))
        .service(resource("/deliveries/replay").route(post().to(campaigns::replay_all)))
        .service(resource("/deliveries/{id}").route(get().to(campaigns::delivery)))
        .service(resource("/deliveries/{id}/replay").route(post().to(campaigns::replay)))
        .service(resource("/secrets").route(get().to(secrets::list)))
        .service(
            resource("/secrets/{name}")
                .route(get().to(secrets::get))
                .route(put().to(secrets::set))
                .route(delete().to(secrets::remove)),
        )
        .service(resource("/changes").route(get().to(changes::list)))
        .service(resource("/state/digest").route(get().to(state::digest)))
        .service(resource("/state/resolution").route(get().to(state::resolution)))
        .service(resource("/snapshots").route(post().to(state::snapshot)))
        .service(resource("/reload").route(post().to(state::reload)))
        .default_service(web::to(not_found))
        .wrap(from_fn(auth::frame));
    app.service(scope);
    // Without a token, but for no web page of another origin either.
    let open = || from_fn(auth::open);
    app.service(resource("/metrics").route(get().to(health::metrics)).wrap(open()));
    app.service(resource("/openapi.json").route(get().to(health::openapi)).wrap(open()));
}

/// A resource whose other methods answer 405.
fn resource(path: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move {
        let suffix = |full: &str| full.strip_prefix("/api/v1").unwrap_or(full) == path;
        let allowed = ADMIN.iter().filter(|(_, full)| suffix(full));
        let methods: Vec<String> = allowed.map(|(method, _)| method.to_uppercase()).collect();
        Err::<HttpResponse, _>(Problem::method(methods.join(", ")))
    }))
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("page"))
}
