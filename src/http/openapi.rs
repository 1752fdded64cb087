//! The OpenAPI document, made from the handlers' own descriptions.

use super::admin::{
    campaigns, changes, events, identity, objects, probe, profiles, sessions, state, stream,
};
use super::health;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Selfsame",
        description = "Webhooks from any system become one profile per person"
    ),
    paths(
        deliver::post,
        deliver::get,
        deliver::post_in_session,
        deliver::get_in_session,
        profiles::by_identifier,
        profiles::by_id,
        profiles::events,
        profiles::merges,
        profiles::export,
        identity::unmerge,
        identity::withdraw,
        identity::list_types,
        identity::get_type,
        identity::put_type,
        identity::delete_type,
        identity::list_traits,
        identity::get_trait,
        identity::put_trait,
        identity::delete_trait,
        identity::preview,
        identity::lay,
        identity::links,
        identity::lift,
        identity::explain,
        identity::reprocess,
        identity::erase,
        identity::erasure,
        identity::allow,
        events::list,
        events::by_id,
        stream::stream,
        sessions::by_id,
        objects::list_sources,
        objects::get_source,
        objects::put_source,
        objects::delete_source,
        probe::probe,
        objects::list_points,
        objects::get_point,
        objects::put_point,
        objects::delete_point,
        campaigns::list,
        campaigns::get,
        campaigns::set,
        campaigns::remove,
        campaigns::runs,
        campaigns::preview,
        campaigns::test,
        campaigns::backtest,
        campaigns::enable,
        campaigns::deliveries,
        campaigns::delivery,
        campaigns::replay,
        campaigns::replay_all,
        changes::list,
        state::digest,
        state::resolution,
        state::snapshot,
        state::reload,
        health::live,
        health::ready,
        health::metrics,
        health::openapi,
    )
)]
struct Document;

/// Descriptions of `/collect`, which is taken apart by hand and so has no handler of its own for
/// each method and path.
mod deliver {
    macro_rules! describe {
        ($name:ident, $method:ident, $path:literal) => {
            #[utoipa::path($method, path = $path, tag = "collect",
                description = "Delivers an event, or a batch; answers when it is durable",
                responses(
                    (status = 200, description = "Durable"),
                    (status = "4XX", description = "Do not send the same again"),
                    (status = 429, description = "Send again after Retry-After"),
                    (status = 503, description = "Send again after Retry-After")))]
            #[expect(dead_code, reason = "only its description is used")]
            pub fn $name() {}
        };
    }
    describe!(post, post, "/collect/{event_type}/{source_id}");
    describe!(get, get, "/collect/{event_type}/{source_id}");
    describe!(post_in_session, post, "/collect/{event_type}/{source_id}/{session_id}");
    describe!(get_in_session, get, "/collect/{event_type}/{source_id}/{session_id}");
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use crate::http::routes::ADMIN;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_lists_the_very_routes_that_there_are() {
        let document = serde_json::to_value(super::document()).unwrap();
        let mut listed = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                listed.insert(format!("{method} {path}"));
            }
        }
        let collect = ["{event_type}/{source_id}", "{event_type}/{source_id}/{session_id}"];
        let mut routes: BTreeSet<String> =
            ADMIN.iter().map(|(method, path)| format!("{method} {path}")).collect();
        for path in collect {
            routes.extend(["get", "post"].map(|method| format!("{method} /collect/{path}")));
        }
        assert_eq!(listed, routes);
    }
}
