//! What each operation takes and gives, by the names of `components.json`.

/// An operation, the schema of its body, and that of its answer. `Thing[]` is a page of things; an
/// empty name is nothing.
pub(super) type Row = (&'static str, &'static str, &'static str);

/// All operations whose bodies are JSON.
pub(super) const BODIES: &[Row] = &[
    ("get /api/v1/profiles", "", "Profile"),
    ("get /api/v1/profiles/{id}", "", "Profile"),
    ("get /api/v1/profiles/{id}/events", "", "Event[]"),
    ("get /api/v1/profiles/{id}/merges", "", "Change[]"),
    ("get /api/v1/profiles/{id}/export", "", "Export"),
    ("post /api/v1/profiles/{id}/unmerge", "Unmerge", "Unmerged"),
    ("get /api/v1/events", "", "Event[]"),
    ("get /api/v1/events/{id}", "", "Event"),
    ("post /api/v1/events/reprocess", "Reprocess", "Reprocessed"),
    ("get /api/v1/sessions/{id}", "", "Session"),
    ("get /api/v1/sources", "", "Source[]"),
    ("get /api/v1/sources/{id}", "", "Source"),
    ("put /api/v1/sources/{id}", "Source", "Source"),
    ("post /api/v1/sources/{id}/test", "SourceTest", "SourceTested"),
    ("get /api/v1/identification-points", "", "IdentificationPoint[]"),
    ("get /api/v1/identification-points/{id}", "", "IdentificationPoint"),
    ("put /api/v1/identification-points/{id}", "IdentificationPoint", "IdentificationPoint"),
    ("get /api/v1/identity/types", "", "ListedIdentityType[]"),
    ("get /api/v1/identity/types/{type}", "", "IdentityType"),
    ("put /api/v1/identity/types/{type}", "IdentityType", "IdentityType"),
    ("get /api/v1/traits", "", "ListedTrait[]"),
    ("get /api/v1/traits/{name}", "", "Trait"),
    ("put /api/v1/traits/{name}", "Trait", "Trait"),
    ("post /api/v1/identity/preview", "RulesPreview", "RulesPreviewed"),
    ("get /api/v1/identity/blocked", "", "BuiltinBlocked"),
    ("get /api/v1/identity/links", "", "Link[]"),
    ("get /api/v1/identity/links/{id}", "", "Link"),
    ("post /api/v1/identity/links", "NewLink", "Link"),
    ("get /api/v1/identity/explain", "", "Explanation"),
    ("post /api/v1/erasures", "NewErasure", "ErasureReceipt"),
    ("get /api/v1/erasures/{id}", "", "ErasureReceipt"),
    ("get /api/v1/campaigns", "", "ShownCampaign[]"),
    ("get /api/v1/campaigns/{id}", "", "ShownCampaign"),
    ("put /api/v1/campaigns/{id}", "Campaign", "ShownCampaign"),
    ("get /api/v1/campaigns/{id}/runs", "", "Run[]"),
    ("get /api/v1/campaigns/{id}/explain", "", "CampaignExplained"),
    ("post /api/v1/campaigns/{id}/preview", "Trial", "CampaignPreview"),
    ("post /api/v1/campaigns/{id}/test", "Trial", "CampaignTested"),
    ("post /api/v1/campaigns/{id}/backtest", "Backtest", "Backtested"),
    ("post /api/v1/campaigns/{id}/enable", "", "Enabled"),
    ("get /api/v1/deliveries", "", "Delivery[]"),
    ("get /api/v1/deliveries/{id}", "", "Delivery"),
    ("post /api/v1/deliveries/{id}/replay", "", "Replayed"),
    ("post /api/v1/deliveries/replay", "BulkReplay", "BulkReplayed"),
    ("get /api/v1/changes", "", "Changes"),
    ("get /api/v1/state/digest", "", "Digest"),
    ("get /api/v1/state/resolution", "", "Resolution"),
    ("post /api/v1/snapshots", "", "Snapshot"),
    ("post /api/v1/reload", "", "Reloaded"),
    ("get /livez", "", "Alive"),
    ("get /readyz", "", "Readiness"),
    ("get /openapi.json", "", "Any"),
];

/// Bodies that may be left out: nothing is read as `{}`.
pub(super) const OPTIONAL: [&str; 4] = ["Reprocess", "RulesPreview", "Backtest", "BulkReplay"];

/// The schemas of parameters, by the beginning of the path and the name; the first that fits. Any
/// other is a text.
pub(super) const PARAMETERS: &[Row] = &[
    ("/collect/", "event_type", "EventType"),
    ("/collect/", "source_id", "Name"),
    ("/collect/", "session_id", "SessionId"),
    ("/api/v1/sources/", "id", "Name"),
    ("/api/v1/identification-points/", "id", "Name"),
    ("/api/v1/campaigns/", "id", "Name"),
    ("/api/v1/identity/types/", "type", "Name"),
    ("/api/v1/traits/", "name", "TraitName"),
    ("/api/v1/events", "profile", "NoProfile"),
    ("/api/v1/events", "status", "LooseStatus"),
    ("/api/v1/deliveries", "state", "DeliveryState"),
    ("/api/v1/changes", "from", "Sequence"),
    ("/", "limit", "Limit"),
    ("/", "cursor", "Cursor"),
    ("/", "since", "Moment"),
    ("/", "until", "Moment"),
    ("/", "all", "Flag"),
    ("/", "identifier", "IdentifierText"),
    ("/", "a", "IdentifierText"),
    ("/", "b", "IdentifierText"),
];
