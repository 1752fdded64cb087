//! What is said at start: where the program listens, who may steer it, and lines to paste.

use crate::config::Config;
use std::net::SocketAddr;

/// The words, for stderr.
pub fn text(config: &Config, address: SocketAddr, admin: SocketAddr) -> String {
    let mut text = format!("selfsame listens on http://{address}");
    if admin != address {
        text += &format!(", its admin API on http://{admin}");
    }
    let token = if config.admin.token.is_some() {
        " -H \"Authorization: Bearer $SELFSAME_ADMIN_TOKEN\""
    } else {
        text +=
            "\nno admin.token is set: whoever reaches this machine's loopback may read and steer";
        ""
    };
    let sources = &config.settings.sources;
    if sources.contains_key("demo-chat") && sources.contains_key("demo-shop") {
        text += &format!(
            "\n\ntry it: two systems' events that meet on an e-mail\n\n  \
             curl http://{address}/collect/member-joined/demo-chat --json \
             '{{\"user\":{{\"id\":\"U1\",\"name\":\"Ann\",\"email\":\"Ann@Example.com\"}}}}'\n  \
             curl http://{address}/collect/order/demo-shop --json \
             '{{\"customer\":{{\"id\":77,\"email\":\"ann@example.com\"}},\"total\":12.5}}'\n  \
             curl{token} 'http://{admin}/api/v1/profiles?identifier=demo-shop:77'\n"
        );
    } else if let Some(id) = sources.keys().next() {
        text += &format!(
            "\n\ntry it:\n\n  curl http://{address}/collect/test/{id} --json '{{}}'\n  \
             curl{token} http://{admin}/api/v1/events\n"
        );
    } else {
        text += "\nno source is configured yet: put a [[source]] into the config folder";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    #[test]
    fn the_default_configuration_comes_with_lines_to_paste() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
        let inputs = Inputs { folder: Some(folder.into()), ..Inputs::default() };
        let config = Config::load(&inputs).unwrap();
        let address = config.server.address;
        let text = text(&config, address, address);
        assert_eq!(text.matches("curl http://127.0.0.1:7676/collect/").count(), 2);
        assert!(text.contains("'http://127.0.0.1:7676/api/v1/profiles?identifier=demo-shop:77'"));
        assert!(text.contains("no admin.token is set"));
    }
}
