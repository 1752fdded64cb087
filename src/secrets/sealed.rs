//! The two files of the store: a key, and what is sealed with it.
//!
//! ```text
//! secrets.key      "SELFSKEY" 32 bytes of key, CRC32C of all before
//! secrets.sealed   "SELFSSEC" version u16, rows as bincode, CRC32C of all before; little-endian
//! ```
//!
//! Each value is sealed by ChaCha20-Poly1305 (RFC 8439) under a random nonce, with its name beside it,
//! so that no two values can change places. A file is written beside the one that counts, synced and
//! renamed.

use super::Secret;
use super::entry::{Entry, StoreError};
use crate::domain::time::Timestamp;
use crate::secrets::entry::FILE;
use bincode::Options;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fs, io};

const KEY_MAGIC: &[u8; 8] = b"SELFSKEY";
const MAGIC: &[u8; 8] = b"SELFSSEC";
const VERSION: u16 = 1;
const KEY_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
/// No file of ours is longer.
const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// The name of the file with the key.
pub(super) const KEY_FILE: &str = "secrets.key";

/// A value as it lies in the file. Frozen: another shape is another version.
#[derive(Serialize, Deserialize)]
struct RowV1 {
    name: String,
    created_at: i64,
    set_at: i64,
    nonce: [u8; NONCE_LEN],
    sealed: Vec<u8>,
}

/// The key of a data folder; wiped from memory when it is dropped.
pub(super) struct Key(SecretBox<[u8; KEY_BYTES]>);

impl Key {
    /// Reads it; none where there is no file.
    pub(super) fn read(data: &Path) -> Result<Option<Self>, StoreError> {
        let path = data.join(KEY_FILE);
        let Some(bytes) = read_whole(&path)? else { return Ok(None) };
        let key = unframed(&bytes, KEY_MAGIC)
            .and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok())
            .ok_or(StoreError::Damaged { path, what: "its checksum or length" })?;
        Ok(Some(Self(SecretBox::new(Box::new(key)))))
    }

    /// Makes one, and its file.
    pub(super) fn make(data: &Path) -> Result<Self, StoreError> {
        let mut key = Box::new([0; KEY_BYTES]);
        random(key.as_mut())?;
        put(&data.join(KEY_FILE), &framed(KEY_MAGIC, key.as_ref()))?;
        Ok(Self(SecretBox::new(key)))
    }

    fn aead(&self) -> Result<LessSafeKey, StoreError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, self.0.expose_secret());
        Ok(LessSafeKey::new(key.map_err(|_| StoreError::Sealing)?))
    }
}

/// Reads all values; none where there is no file.
pub(super) fn read(data: &Path) -> Result<BTreeMap<String, Entry>, StoreError> {
    let path = data.join(FILE);
    let Some(bytes) = read_whole(&path)? else { return Ok(BTreeMap::new()) };
    let damaged = |what| StoreError::Damaged { path: path.clone(), what };
    let body = unframed(&bytes, MAGIC).ok_or_else(|| damaged("its checksum or length"))?;
    let (version, rows) = body.split_first_chunk().ok_or_else(|| damaged("its length"))?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        return Err(StoreError::Version { path, version });
    }
    let rows: Vec<RowV1> = coding().deserialize(rows).map_err(|_| damaged("a row"))?;
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let key = Key::read(data)?.ok_or_else(|| StoreError::NoKey(data.join(KEY_FILE)))?;
    let aead = key.aead()?;
    let mut entries = BTreeMap::new();
    for mut row in rows {
        let nonce = Nonce::assume_unique_for_key(row.nonce);
        let opened = aead.open_in_place(nonce, Aad::from(beside(&row.name)), &mut row.sealed);
        let value = opened.map_err(|_| StoreError::WrongKey(data.join(KEY_FILE)))?;
        let value = std::str::from_utf8(value).map_err(|_| damaged("a value"))?;
        let value = Secret::new(value);
        let (created_at, set_at) = (Timestamp(row.created_at), Timestamp(row.set_at));
        entries.insert(row.name, Entry { value, created_at, set_at });
    }
    Ok(entries)
}

/// Puts all values in the place of what was there.
pub(super) fn write(data: &Path, entries: &BTreeMap<String, Entry>) -> Result<(), StoreError> {
    let key = match Key::read(data)? {
        Some(key) => key,
        None => Key::make(data)?,
    };
    let aead = key.aead()?;
    let mut rows = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = entry.value.expose().as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        aead.seal_in_place_append_tag(unique, Aad::from(beside(name)), &mut sealed)
            .map_err(|_| StoreError::Sealing)?;
        let (created_at, set_at) = (entry.created_at.0, entry.set_at.0);
        rows.push(RowV1 { name: name.clone(), created_at, set_at, nonce, sealed });
    }
    let mut body = VERSION.to_le_bytes().to_vec();
    coding().serialize_into(&mut body, &rows).map_err(|_| StoreError::Sealing)?;
    put(&data.join(FILE), &framed(MAGIC, &body))
}

/// What is sealed in with a value, so that it counts under its own name only.
fn beside(name: &str) -> String {
    format!("selfsame secret {VERSION} {name}")
}

fn coding() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(FILE_BYTES)
}

fn random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|cause| StoreError::Randomness(cause.to_string()))
}

fn framed(magic: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = [magic, body].concat();
    let crc = crc32c::crc32c(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

fn unframed<'b>(bytes: &'b [u8], magic: &[u8]) -> Option<&'b [u8]> {
    let (framed, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
    (crc32c::crc32c(framed) == u32::from_le_bytes(*crc)).then_some(())?;
    framed.strip_prefix(magic)
}

fn read_whole(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { what: "read", path: path.to_owned(), source }),
    }
}

/// Writes a file beside its place, syncs it and renames it; for its owner only.
fn put(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let beside = path.with_extension("tmp");
    let written = (|| {
        // One that was left over may have other rights.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|source| {
        // What is left over would only take room; the error counts.
        drop(fs::remove_file(&beside));
        StoreError::Io { what: "write", path: path.to_owned(), source }
    })
}
