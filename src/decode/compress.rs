//! Undoing `Content-Encoding` under a hard cap: whatever a body claims to become, no more than the
//! limit is ever held of it.

use crate::decode::piece::{DecodeRefusal, malformed};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::Read;

/// Decompressed bytes that are held beside the result, at most.
const CHUNK: usize = 16 << 10;

/// The largest window of a zstd body: 8 MiB, as RFC 9659 asks of receivers.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Codings of one body at most; a body has one, seldom two.
const CODINGS: usize = 4;

/// What is sent as a coding and is none: nothing was done to the body.
const NO_CODINGS: [&str; 12] = [
    "identity",
    "none",
    "null",
    "utf-8",
    "utf8",
    "binary",
    "7bit",
    "8bit",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "text",
];

/// The codings that a header names, in the order in which they were applied.
fn codings(header: Option<&str>) -> Vec<String> {
    let named = header.unwrap_or_default().split(',').map(|one| {
        let plain = one.trim().trim_matches('"').to_ascii_lowercase();
        plain.strip_prefix("x-").map(str::to_owned).unwrap_or(plain)
    });
    named.filter(|one| !one.is_empty() && !NO_CODINGS.contains(&one.as_str())).collect()
}

/// The body without its encodings: `gzip`, `deflate` (zlib's form of RFC 9110, or raw as some send
/// it), `zstd`, in a list the last first. Names that are no codings but are sent as such (`utf-8`)
/// change nothing.
///
/// # Errors
/// More than `limit` bytes, an encoding that is not read, or bytes that are not what the header
/// says, such as a stream that is cut off or has something else behind it.
pub fn decompress(
    encoding: Option<&str>,
    body: Bytes,
    limit: usize,
) -> Result<Bytes, DecodeRefusal> {
    let codings = codings(encoding);
    if codings.is_empty() && body.len() > limit {
        return Err(DecodeRefusal::BodyTooLarge { limit, decoded: false });
    }
    let unread = codings.iter().find(|one| !matches!(one.as_str(), "gzip" | "deflate" | "zstd"));
    if let Some(named) = unread.or_else(|| codings.get(CODINGS)) {
        return Err(DecodeRefusal::UnsupportedEncoding { found: named.chars().take(64).collect() });
    }
    codings.iter().rev().try_fold(body, |body, coding| undo(coding, body, limit))
}

fn undo(coding: &str, body: Bytes, limit: usize) -> Result<Bytes, DecodeRefusal> {
    let (expected, result) = match coding {
        "gzip" => ("gzip", read(flate2::bufread::MultiGzDecoder::new(&body[..]), limit)),
        "deflate" => {
            let zlib = deflate(&body, true, limit);
            let either = zlib.or_else(|wrong| match wrong {
                Wrong::TooLarge => Err(wrong),
                Wrong::Malformed(_) => deflate(&body, false, limit),
            });
            ("deflate", either)
        }
        _ => ("zstd", zstd(&body, limit)),
    };
    result.map(Bytes::from).map_err(|wrong| match wrong {
        Wrong::TooLarge => DecodeRefusal::BodyTooLarge { limit, decoded: true },
        Wrong::Malformed(detail) => malformed(expected, detail, body),
    })
}

/// The most bytes that a body of this length can become where it is encoded; 0 where it is not.
pub fn decoded_bound(encoding: Option<&str>, len: usize, limit: usize) -> usize {
    match codings(encoding).last() {
        None => 0,
        // No more than 1,032 bytes come of one byte of deflate; of zstd's, any number.
        Some(last) if last != "zstd" && codings(encoding).len() == 1 => {
            limit.min(len.saturating_mul(1_032))
        }
        Some(_) => limit,
    }
}

enum Wrong {
    TooLarge,
    Malformed(String),
}

/// The decompressed bytes so far, never more than the limit.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    fn push(&mut self, chunk: &[u8]) -> Result<(), Wrong> {
        let len = self.bytes.len() + chunk.len();
        if len > self.limit {
            return Err(Wrong::TooLarge);
        }
        if len > self.bytes.capacity() {
            // In few steps, since each leaves its memory behind, and not beyond the limit.
            let capacity = (4 * len).max(4 * CHUNK).min(self.limit);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

fn read(mut decoder: impl Read, limit: usize) -> Result<Vec<u8>, Wrong> {
    let mut output = Output { bytes: Vec::new(), limit };
    let mut chunk = [0; CHUNK];
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return Ok(output.bytes),
            Ok(len) => output.push(&chunk[..len])?,
            Err(error) => return Err(Wrong::Malformed(error.to_string())),
        }
    }
}

fn zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, Wrong> {
    let open = || {
        let mut decoder = ::zstd::stream::read::Decoder::with_buffer(body)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(decoder)
    };
    let decoder = open().map_err(|error: std::io::Error| Wrong::Malformed(error.to_string()))?;
    read(decoder, limit)
}

/// By hand, since the reader of the library takes a stream that is cut off for a whole one.
fn deflate(body: &[u8], zlib: bool, limit: usize) -> Result<Vec<u8>, Wrong> {
    let wrong = |detail: &str| Wrong::Malformed(detail.to_owned());
    let mut inflate = Decompress::new(zlib);
    let mut output = Output { bytes: Vec::new(), limit };
    let mut chunk = [0; CHUNK];
    loop {
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let rest = body.get(read as usize..).unwrap_or_default();
        let status = inflate
            .decompress(rest, &mut chunk, FlushDecompress::None)
            .map_err(|error| Wrong::Malformed(error.to_string()))?;
        let made = (inflate.total_out() - written) as usize;
        output.push(&chunk[..made])?;
        if status == Status::StreamEnd {
            let at_end = inflate.total_in() == body.len() as u64;
            return if at_end { Ok(output.bytes) } else { Err(wrong("bytes behind its end")) };
        }
        if made == 0 && inflate.total_in() == read {
            return Err(wrong("it is cut off"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write};
    use std::io::Write;

    fn packed(encoding: &str, data: &[u8]) -> Vec<u8> {
        match encoding {
            "gzip" => {
                let mut encoder = write::GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "raw" => {
                let mut encoder = write::DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            _ => ::zstd::encode_all(data, 3).unwrap(),
        }
    }

    const FORMS: [(&str, &str); 4] =
        [("gzip", "gzip"), ("deflate", "zlib"), ("Deflate", "raw"), ("zstd", "zstd")];

    #[test]
    fn every_encoding_is_undone_and_a_cut_or_longer_one_is_malformed() {
        let data: Vec<u8> = (0..60_000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        for (header, form) in FORMS {
            let whole = packed(form, &data);
            let undo =
                |bytes: &[u8]| decompress(Some(header), Bytes::copy_from_slice(bytes), data.len());
            assert_eq!(undo(&whole).unwrap(), data, "{form}");
            for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
                let refusal = undo(&whole[..cut]);
                let is_malformed = matches!(refusal, Err(DecodeRefusal::MalformedBody { .. }));
                assert!(is_malformed || (form == "zstd" && cut == 0), "{form} {cut}");
            }
            let longer = [&whole[..], b"more of it"].concat();
            assert!(matches!(undo(&longer), Err(DecodeRefusal::MalformedBody { .. })), "{form}");
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for (header, form) in FORMS {
            let bomb = Bytes::from(packed(form, &zeros));
            assert!(bomb.len() < 80 << 10);
            let refusal = decompress(Some(header), bomb, 1 << 20).unwrap_err();
            assert_eq!(refusal, DecodeRefusal::BodyTooLarge { limit: 1 << 20, decoded: true });
        }
    }

    #[test]
    fn other_encodings_are_named_in_the_refusal() {
        for (header, found) in [("br", "br"), ("gzip, BR", "br"), ("compress", "compress")] {
            let refusal = decompress(Some(header), Bytes::new(), 10).unwrap_err();
            assert_eq!(refusal, DecodeRefusal::UnsupportedEncoding { found: found.into() });
        }
        let many = decompress(Some("gzip,gzip,gzip,gzip,gzip"), Bytes::new(), 10);
        assert!(matches!(many, Err(DecodeRefusal::UnsupportedEncoding { .. })));
        assert_eq!(decompress(None, Bytes::from_static(b"ab"), 2).unwrap(), "ab");
        assert!(decompress(Some("identity"), Bytes::from_static(b"abc"), 2).is_err());
    }

    #[test]
    fn names_that_are_no_codings_change_nothing_and_a_list_is_undone_from_its_end() {
        for header in ["identity", "none", "UTF-8", "binary", "8bit", " identity , utf-8 ", ""] {
            assert_eq!(decompress(Some(header), Bytes::from_static(b"ab"), 9).unwrap(), "ab");
            assert_eq!(decoded_bound(Some(header), 2, 9), 0);
        }
        let twice = packed("zstd", &packed("gzip", b"inner"));
        for header in ["gzip, zstd", "utf-8, x-gzip,ZSTD"] {
            assert_eq!(decompress(Some(header), twice.clone().into(), 99).unwrap(), "inner");
        }
        assert!(decompress(Some("zstd, gzip"), twice.into(), 99).is_err());
        assert_eq!(decoded_bound(Some("gzip"), 10, 1 << 20), 10_320);
        assert_eq!(decoded_bound(Some("zstd"), 10, 1 << 20), 1 << 20);
    }
}
