//! What stands around the routes in `/openapi.json`. They describe themselves, where they are written.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

const ABOUT: &str = "Invites, and what a relay says of itself. Everything else goes over the WebSocket at /sync, \
    in a protocol of its own: docs/PROTOCOL.md.";

pub(super) fn about() -> OpenApi {
    let license =
        LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Sync Relay")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    let bearer = || SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new()
        .security_scheme("revoke_token", bearer())
        .security_scheme("metrics_token", bearer())
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}
