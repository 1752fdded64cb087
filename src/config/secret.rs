//! The secrets of the files: read where they come from outside, and taken out of what is journalled
//! and shown where they stand in clear.

use super::read::Document;
use super::{Config, Inputs};
use crate::domain::confidential::{Kind, Reference, Spot, is_name, visit, visit_checks};
use crate::secrets;
use crate::secrets::Secret;
use crate::secrets::store::Store;
use std::path::Path;

/// The shortest admin token, in bytes: a shorter one can be tried out.
const TOKEN_BYTES: usize = 16;

impl Config {
    /// Resolves the token, checks every reference of the objects, and puts references in the place
    /// of secrets in clear, which go to [`Config::in_clear`].
    pub(super) fn resolve_secrets(&mut self, document: &mut Document<'_>, inputs: &Inputs) {
        let base = inputs.folder.as_deref().unwrap_or(Path::new("."));
        if let Some(token) = self.admin.token.take() {
            match self.token(token, inputs, base) {
                Ok(token) => self.admin.token = Some(token),
                Err(message) => document.problem(document.place_of("admin.token"), message),
            }
        }
        let in_clear = &mut self.in_clear;
        for (id, source) in &mut self.settings.sources {
            for (key, value) in
                [("verify", &mut source.verify), ("handshake", &mut source.handshake)]
            {
                let at = format!("source.{id}.{key}");
                let is_read = source.enabled;
                let mut seen = |spot: Spot<'_>| {
                    let place = format!("source.{id}.{}", spot.place);
                    let wrong = resolve(spot, &place, (inputs, base, is_read), in_clear);
                    wrong.into_iter().for_each(|why| document.problem(document.place_of(&at), why));
                };
                value.iter_mut().for_each(|value| visit_checks(key, "", value, &mut seen));
            }
        }
        for (id, campaign) in &mut self.settings.campaigns {
            let at = format!("campaign.{id}");
            visit(Kind::Campaign, campaign, &mut |spot| {
                let place = format!("{at}.{}", spot.place);
                let wrong = resolve(spot, &place, (inputs, base, true), in_clear);
                wrong.into_iter().for_each(|why| document.problem(document.place_of(&at), why));
            });
        }
    }

    fn token(&mut self, said: Secret, inputs: &Inputs, base: &Path) -> Result<Secret, String> {
        let token = match Reference::parse(said.expose()) {
            Some(Reference::Stored(name)) => {
                let store = Store::open(&self.server.data).map_err(|error| error.to_string())?;
                self.token_name = Some(name.to_owned());
                store.get(name).ok_or_else(|| secrets::SecretError::NotStored(name.to_owned()))
            }
            Some(reference) => secrets::read(reference, &inputs.env, base),
            None => Ok(said),
        };
        let token = token.map_err(|error| error.to_string())?;
        // Blanks around it are of an editor, as they are in a file.
        let token = Secret::new(token.expose().trim());
        if token.expose().len() < TOKEN_BYTES {
            return Err(format!(
                "expected admin.token to have at least {TOKEN_BYTES} bytes, found fewer: take a long \
                 random one, such as that of: openssl rand -hex 24"
            ));
        }
        Ok(token)
    }
}

/// What is wrong with what stands at a place of a file, if anything is.
fn resolve(
    spot: Spot<'_>,
    place: &str,
    (inputs, base, is_read): (&Inputs, &Path, bool),
    in_clear: &mut std::collections::BTreeMap<String, Secret>,
) -> Option<String> {
    let Spot { is_secret, text, .. } = spot;
    match Reference::parse(text) {
        Some(Reference::Stored(name)) if is_name(name) => None, // it may be set later
        Some(Reference::Stored(_)) => {
            Some("expected secret: and a name of 1 to 128 of A-Z, a-z, 0-9, _, . and -".to_owned())
        }
        Some(reference) if is_read => {
            secrets::read(reference, &inputs.env, base).err().map(|error| error.to_string())
        }
        Some(_) => None,
        // What could not be sent stays for the one who says so.
        None if is_secret && !text.trim().is_empty() && !text.contains(char::is_control) => {
            let reference = Reference::in_file(place);
            in_clear.insert(reference.clone(), Secret::new(std::mem::replace(text, reference)));
            None
        }
        None => None,
    }
}
