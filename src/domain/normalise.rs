//! Canonical forms: what makes two spellings of a mail address, a phone number or an id one
//! identifier. A form is a function of the value, its type's rule and the sender's region alone,
//! and the canonical form of a canonical form is itself.

use crate::domain::rules::TypeRule;
use crate::domain::settings::Normaliser;
use crate::domain::unseen::{is_unseen, seen, visible};
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::str::FromStr;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest canonical value, in bytes; a longer one identifies nobody.
pub const LENGTH: usize = 512;

/// The type whose values are the SHA-256 of mail addresses.
pub const EMAIL_SHA256: &str = "email_sha256";

/// The canonical form of `raw` as a value of type `kind`; `None` when it cannot be read.
///
/// `region` (ISO 3166-1 alpha-2) is where a phone number without a country code belongs; without
/// it only `+…` and `00…` can be read.
pub fn canonical(kind: &str, rule: &TypeRule, region: Option<&str>, raw: &str) -> Option<Box<str>> {
    let form: Cow<'_, str> = match rule.normaliser {
        _ if kind == EMAIL_SHA256 => sha256_hex(raw)?.into(),
        Normaliser::Email => email(raw, rule.gmail)?.into(),
        Normaliser::Phone => phone(raw, region)?.into(),
        Normaliser::Lowercase => visible(raw).to_lowercase().into(),
        Normaliser::Trim => uuid_lower(visible(raw)),
        Normaliser::None => visible(raw).into(),
    };
    (!form.trim().is_empty() && form.len() <= LENGTH).then(|| form.into())
}

/// The SHA-256 of a canonical mail address, in lower-case hex: an alias of it that other systems
/// send in its place.
pub fn email_hash(canonical_email: &str) -> String {
    hex::encode(Sha256::digest(canonical_email.as_bytes()))
}

/// Whether `text` names a region that phone numbers can be read in.
pub fn is_region(text: &str) -> bool {
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let known = |region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some();
    is_code && Region::from_str(text).is_ok_and(known)
}

/// The digits of an international number behind its country's; `None` where no country has them.
pub fn national(digits: &str) -> Option<&str> {
    let code = |len: usize| digits.get(..len)?.parse::<u16>().ok();
    let known = |len: &usize| {
        code(*len).is_some_and(|code| {
            PHONE_NUMBER_UTIL.get_region_for_country_code(code.into()).is_some()
        })
    };
    // No country's code begins with another's.
    let len = (1..=3).find(known).filter(|_| !digits.starts_with('0'))?;
    digits.get(len..)
}

fn sha256_hex(raw: &str) -> Option<String> {
    let text = visible(raw).to_ascii_lowercase();
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

/// UUIDs (RFC 9562, section 4) are to be compared without regard to case.
fn uuid_lower(text: &str) -> Cow<'_, str> {
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if is_uuid { text.to_ascii_lowercase().into() } else { text.into() }
}

/// Zero-width characters are dropped anywhere, since they come along with copied text and nobody
/// sees them; blanks only at the ends, since inside they mean that it is no address.
fn email(raw: &str, gmail: bool) -> Option<String> {
    let address = address_in(raw)?;
    let (local, domain) = address.rsplit_once('@')?;
    let local = nfc_lower(local);
    if local.is_empty() || local.chars().any(is_no_address) {
        return None;
    }
    let domain = mail_domain(domain)?;
    if gmail && matches!(domain.as_str(), "gmail.com" | "googlemail.com") {
        let mailbox = local.split('+').next().unwrap_or_default().replace('.', "");
        return (!mailbox.is_empty()).then(|| format!("{mailbox}@gmail.com"));
    }
    Some(format!("{local}@{domain}"))
}

/// The value as people are shown it: as it was spelt, without what is written around an address.
pub fn shown(rule: &TypeRule, raw: &str) -> Box<str> {
    let address = match rule.normaliser {
        Normaliser::Email => address_in(raw),
        _ => None,
    };
    address.map_or_else(|| visible(raw).into(), Into::into)
}

fn address_in(raw: &str) -> Option<String> {
    let address = one_address(seen(raw).trim())?;
    // What was percent-encoded may hold such characters, too.
    Some(seen(&address).trim().to_owned())
}

/// The one address of a text, without what mail programs and forms write around it: a name, angle
/// brackets, `mailto:`, comments, quotes, a separator behind, and `@` as `%40`. `None` where there
/// are several, since then nobody can say whose it is.
fn one_address(text: &str) -> Option<String> {
    let text = text.trim_end_matches(is_separator);
    let text = without_comments(text);
    let text = text.trim().trim_end_matches(is_separator);
    let inner = match outside_of_quotes(text).find(|(_, ch)| *ch == '<') {
        None => text,
        Some((at, _)) => {
            let (inner, behind) = text[at + 1..].split_once('>')?;
            let name = || outside_of_quotes(&text[..at]).map(|(_, ch)| ch);
            let is_several = name().any(|ch| matches!(ch, ',' | ';')) && name().any(|ch| ch == '@');
            if is_several || !behind.trim_end_matches(is_separator).is_empty() {
                return None;
            }
            inner.trim()
        }
    };
    let quoted = |(open, close): &(char, char)| inner.strip_prefix(*open)?.strip_suffix(*close);
    let inner = QUOTES.iter().find_map(quoted).unwrap_or(inner).trim();
    let decoded = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8().ok().map(Cow::into_owned)
    };
    match inner.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => {
            let address = inner[7..].strip_prefix("//").unwrap_or(&inner[7..]);
            decoded(address.split('?').next().unwrap_or_default())
        }
        _ if !inner.contains('@') && inner.contains("%40") => decoded(inner),
        _ => Some(inner.to_owned()),
    }
}

/// What a whole address may stand in, as programs and as people write it.
const QUOTES: [(char, char); 5] = [
    ('"', '"'),
    ('\'', '\''),
    ('\u{201C}', '\u{201D}'),
    ('\u{201E}', '\u{201C}'),
    ('\u{AB}', '\u{BB}'),
];

fn is_separator(ch: char) -> bool {
    ch.is_whitespace() || matches!(ch, ',' | ';')
}

/// A text without its comments: what stands in brackets outside of quotes (RFC 5322, section
/// 3.2.2). Brackets that are not closed are no comment.
fn without_comments(text: &str) -> Cow<'_, str> {
    if !text.contains('(') {
        return text.into();
    }
    let mut kept = String::with_capacity(text.len());
    let (mut from, mut depth) = (0, 0usize);
    for (at, ch) in outside_of_quotes(text) {
        match ch {
            '(' => {
                if depth == 0 {
                    kept.push_str(&text[from..at]);
                    from = at;
                }
                depth += 1;
            }
            ')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    from = at + 1;
                }
            }
            _ => {}
        }
    }
    kept.push_str(&text[from..]);
    kept.into()
}

/// The characters that stand outside of double quotes, with their places; where quotes do not come
/// in pairs, all of them.
fn outside_of_quotes(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let quotes = |is_escaped: &mut bool, ch: char| {
        let is_quote = ch == '"' && !*is_escaped;
        *is_escaped = ch == '\\' && !*is_escaped;
        is_quote
    };
    let mut is_escaped = false;
    let all = text.chars().filter(|ch| quotes(&mut is_escaped, *ch)).count();
    let is_paired = all % 2 == 0;
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.char_indices().filter(move |(_, ch)| {
        is_quoted ^= quotes(&mut is_escaped, *ch) && is_paired;
        !is_quoted
    })
}

fn mail_domain(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(domain.strip_suffix('.').unwrap_or(domain)).ok()?;
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    ascii.split('.').all(is_label).then_some(ascii)
}

/// Lower case of NFC may leave NFC, so it is brought back.
fn nfc_lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let composed: String = text.nfc().collect();
    let lower = composed.to_lowercase();
    if is_nfc(&lower) { lower } else { lower.nfc().collect() }
}

fn is_no_address(ch: char) -> bool {
    ch.is_whitespace()
        || ch.is_control()
        || matches!(ch, '@' | '<' | '>' | '(' | ')' | ',' | ';' | ':' | '"')
}

/// The longest text that is read as a phone number, in characters: E.164 has 15 digits, and people
/// write up to three characters around each.
const PHONE_CHARS: usize = 64;

/// A number with an extension is not read: E.164 has no room for it, and without it all who share
/// a switchboard would be one person.
fn phone(raw: &str, region: Option<&str>) -> Option<String> {
    let visible = raw.chars().filter(|ch| !is_unseen(*ch) && !ch.is_control());
    let text: String = visible.take(PHONE_CHARS + 1).collect();
    let text = text.trim_matches(is_separator);
    let text = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => text[4..].trim_start(),
        _ => text,
    };
    let text = whole_number(text)?;
    if text.chars().count() > PHONE_CHARS || !text.chars().all(is_of_a_phone) {
        return None;
    }
    let region = region.and_then(|region| Region::from_str(region).ok());
    e164(text, region).or_else(|| {
        let international = text.strip_prefix("00")?;
        e164(&format!("+{international}"), None)
    })
}

/// A number that went through a float (`4915112345678.0`) without its fraction, of which the zero
/// would be one digit more. One with an exponent has lost its last digits: `None`.
fn whole_number(text: &str) -> Option<&str> {
    if text.contains(['e', 'E']) && text.parse::<f64>().is_ok() {
        return None;
    }
    let is_whole = |whole: &&str| {
        let digits = whole.strip_prefix('+').unwrap_or(whole);
        digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    Some(text.strip_suffix(".0").filter(is_whole).unwrap_or(text))
}

/// What people write a phone number with. Parameters of RFC 3966 (`;ext=`, `;phone-context=`) are
/// not: the library panics on some of them, and none of them belongs into E.164.
fn is_of_a_phone(ch: char) -> bool {
    ch.is_numeric()
        || ch.is_ascii_alphabetic()
        || ch.is_whitespace()
        || "+-()[]./*#~,:\u{FF0B}\u{AD}\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{30FC}\u{FF0D}\u{FF08}\u{FF09}\u{FF0E}\u{FF0F}".contains(ch)
}

/// Two spellings of one mobile that are both in use: Mexico's `1` behind the country code (gone
/// since 2019, still sent by messengers) is left out, and Brazil's ninth digit (in force
/// everywhere since 2016) is put in.
fn one_mobile(number: &str) -> String {
    if let Some(rest) = number.strip_prefix("+521").filter(|rest| rest.len() == 10) {
        return format!("+52{rest}");
    }
    let old_mobile = |rest: &&str| {
        rest.len() == 10 && rest.is_ascii() && matches!(rest.as_bytes()[2], b'6'..=b'9')
    };
    match number.strip_prefix("+55").filter(old_mobile) {
        Some(rest) => format!("+55{}9{}", &rest[..2], &rest[2..]),
        None => number.to_owned(),
    }
}

/// How often a number is read again until it stays as it is.
const READINGS: usize = 3;

/// The library's own panics on odd texts are held back: such a text is no number.
fn e164(text: &str, region: Option<Region>) -> Option<String> {
    let read = || {
        let number = PHONE_NUMBER_UTIL.parse(text, region).ok()?;
        if number.extension.is_some() {
            return None;
        }
        let mut spelt = one_mobile(&PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164));
        // A zero that a national spelling may have is no part of the international one, so what
        // is read out of the one may be read otherwise out of the other.
        for _ in 0..READINGS {
            let number = PHONE_NUMBER_UTIL.parse(&spelt, None).ok()?;
            let again = one_mobile(&PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164));
            if again == spelt {
                return PHONE_NUMBER_UTIL.is_possible_number(&number).then_some(spelt);
            }
            spelt = again;
        }
        None
    };
    // It holds no state that a panic could leave half changed.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::Rules;
    use crate::domain::settings::Settings;
    use proptest::prelude::*;

    fn rule(normaliser: Normaliser) -> TypeRule {
        let mut rule = Rules::new(&Settings::default()).of("id").clone();
        rule.normaliser = normaliser;
        rule
    }

    fn read(normaliser: Normaliser, region: Option<&str>, raw: &str) -> Option<String> {
        canonical("x", &rule(normaliser), region, raw).map(String::from)
    }

    #[test]
    fn addresses_meet_whatever_their_spelling() {
        let email = |raw| read(Normaliser::Email, None, raw);
        assert_eq!(email("  Jane@EXAMPLE-site.COM ").as_deref(), Some("jane@example-site.com"));
        assert_eq!(email("J@BÜCHER.de"), email("j@xn--bcher-kva.de"));
        assert_eq!(email("rene\u{301}@site.org"), email("ren\u{e9}@site.org"));
        assert_eq!(email("\u{FEFF}a\u{200B}@b.c\u{200B}").as_deref(), Some("a@b.c"));
        for wrong in
            ["not an address", "@b.c", "a@", "a b@c.d", "a@@b.c", "a@b..c", "a@b c", "<a@b.c"]
        {
            assert_eq!(email(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_address_is_read_with_what_is_written_around_it() {
        let email = |raw| read(Normaliser::Email, None, raw);
        for raw in [
            "Ann <ann@example.com>",
            "\"Ash, Ann\" <ann@example.com>",
            "Ash, Ann <ann@example.com>",
            "ann@example.com <ann@example.com>",
            "<ann@example.com>",
            "< Ann@Example.com >",
            "mailto:ann@example.com",
            "mailto://ann@example.com",
            "\u{2066}ann@example.com\u{2069}",
            "MAILTO:Ann@Example.com?subject=x",
            "<mailto:ann@example.com>",
            "ann@example.com (Ann)",
            "(Ann) ann@example.com",
            "Ann <ann@example.com> (work)",
            "ann%40example.com",
            "mailto:ann%40example.com",
            "\"ann@example.com\"",
            "'ann@example.com'",
            "\u{201C}ann@example.com\u{201D}",
            "\u{AB} ann@example.com \u{BB}",
            "ann@example.com,",
            "ann@example.com; ",
            "\u{FEFF}ann@example.com\u{200B}",
            "\u{200E}ann@example.com",
            "ann(work)@example.com",
            "ann@(work (old))example.com",
            "(a) Ann (b) <ann@example.com> (c)",
            "\"Ann <A> Ash\" <ann@example.com>",
            "\"Ann \\\"A\\\" (Ash\" <ann@example.com>",
            "Ann \"Ash <ann@example.com>",
            "Ann <ann@example.com>, ",
            "Ann <mailto:ann%40example.com>",
            "mailto:%E2%80%8Bann@example.com",
        ] {
            assert_eq!(email(raw).as_deref(), Some("ann@example.com"), "{raw}");
        }
        for several in [
            "a@example.com, b@example.com",
            "a@example.com;b@example.com",
            "a@example.com b@example.com",
            "Ann <a@example.com>, Bob <b@example.com>",
            "a@example.com, Bob <b@example.com>",
            "<a@example.com> b@example.com",
            "<a@example.com><b@example.com>",
            "mailto:a@example.com,b@example.com",
            "mailto:a@example.com%2Cb@example.com",
            "mailto:mailto:a@example.com",
        ] {
            assert_eq!(email(several), None, "{several}");
        }
        // Bytes that are no text are not replaced by something that others may share.
        assert_eq!(email("mailto:%FF@example.com"), None);
    }

    #[test]
    fn gmail_is_folded_only_on_request() {
        let mut folding = rule(Normaliser::Email);
        let raw = "J.Doe+news@GoogleMail.com";
        assert_eq!(
            canonical("email", &folding, None, raw).as_deref(),
            Some("j.doe+news@googlemail.com")
        );
        folding.gmail = true;
        assert_eq!(canonical("email", &folding, None, raw).as_deref(), Some("jdoe@gmail.com"));
        assert_eq!(canonical("email", &folding, None, "+a@gmail.com"), None);
    }

    #[test]
    fn phones_become_e164() {
        let phone = |region, raw| read(Normaliser::Phone, region, raw);
        assert_eq!(phone(None, "+49 (30) 901-824").as_deref(), Some("+4930901824"));
        assert_eq!(phone(None, "0049 30 901824").as_deref(), Some("+4930901824"));
        assert_eq!(phone(Some("DE"), "030 901824").as_deref(), Some("+4930901824"));
        assert_eq!(phone(Some("GB"), "020 7946 0958").as_deref(), Some("+442079460958"));
        assert_eq!(phone(Some("US"), "00442079460958").as_deref(), Some("+442079460958"));
        // A zero that is left in front is none of the international number.
        assert_eq!(phone(Some("BR"), "0044 20 7946 09"), phone(None, "+55 044 20 7946 09"));
        assert_eq!(phone(None, "020 7946 0958"), None);
        assert_eq!(phone(None, "+49 30 901824 ext. 5"), None);
        assert_eq!(phone(None, "hello"), None);
        assert!(is_region("GB") && !is_region("XX") && !is_region("gb "));
    }

    #[test]
    fn parameters_of_a_phone_are_no_number() {
        for text in [
            "020 7946 0958;phone-context=+44;tel:",
            "tel:+442079460958;ext=5",
            "tel:;",
            ";phone-context=",
            "+44;phone-context=+44",
        ] {
            assert_eq!(read(Normaliser::Phone, Some("GB"), text), None, "{text}");
        }
        assert_eq!(read(Normaliser::Phone, None, &"+44".repeat(3_000)), None);
        for text in
            ["TEL: +44 20 7946 0958", "+44 20 7946 0958;", "\u{200E}+44 20 7946 0958\u{200B},"]
        {
            let tel = read(Normaliser::Phone, None, text);
            assert_eq!(tel.as_deref(), Some("+442079460958"), "{text}");
        }
    }

    #[test]
    fn a_phone_that_went_through_a_table_or_an_address_book_is_the_same() {
        let phone = |raw| read(Normaliser::Phone, Some("DE"), raw);
        for raw in [
            "015112345678.0",
            "+4915112345678.0",
            "\u{202A}+49 151 12345678\u{202C}",
            "\u{2066}0151 12345678\u{2069}",
        ] {
            assert_eq!(phone(raw).as_deref(), Some("+4915112345678"), "{raw}");
        }
        for raw in ["1.5112345678e10", "4.91511E+12", "15e9"] {
            assert_eq!(phone(raw), None, "{raw}");
        }
        assert_eq!(phone("030.901820.0"), phone("0309018200"));
    }

    #[test]
    fn one_mobile_has_one_number_in_mexico_and_brazil() {
        let phone = |raw| read(Normaliser::Phone, None, raw);
        for (raw, one) in [
            ("+5215512345678", "+525512345678"),
            ("+52 55 1234 5678", "+525512345678"),
            ("+55 11 8765-4321", "+5511987654321"),
            ("+55 11 98765-4321", "+5511987654321"),
            ("+55 11 3765-4321", "+551137654321"),
        ] {
            assert_eq!(phone(raw).as_deref(), Some(one), "{raw}");
        }
    }

    #[test]
    fn ids_are_trimmed_and_uuids_lower_cased() {
        let trim = |raw| read(Normaliser::Trim, None, raw);
        assert_eq!(trim(" U1 ").as_deref(), Some("U1"));
        assert_eq!(
            trim("0193A000-0000-7000-8000-00000000000A").as_deref(),
            Some("0193a000-0000-7000-8000-00000000000a")
        );
        assert_eq!(trim(&"x".repeat(513)), None);
        assert_eq!(read(Normaliser::None, None, " a "), Some("a".into()));
        let hash = email_hash("ann@example.com").to_uppercase();
        let any = rule(Normaliser::Lowercase);
        assert_eq!(
            canonical(EMAIL_SHA256, &any, None, &hash).as_deref(),
            Some(&*hash.to_lowercase())
        );
        assert_eq!(canonical(EMAIL_SHA256, &any, None, "abc"), None);
    }

    proptest! {
        #[test]
        fn an_address_survives_what_it_is_wrapped_in(
            mail in "[a-z0-9]{1,8}(\\.[a-z0-9]{1,5})?@[a-z]{1,8}\\.(com|org|de)",
            name in "[A-Za-zÀ-ÿ][A-Za-zÀ-ÿ .'-]{0,11}",
        ) {
            let meant = read(Normaliser::Email, None, &mail);
            prop_assert!(meant.is_some(), "{mail}");
            for wrapped in [
                format!("{name} <{mail}>"),
                format!("\"{name}, {name}\" <{mail}>"),
                format!("<{mail}>"),
                format!("mailto:{mail}"),
                format!("MAILTO:{mail}?subject=x"),
                format!(" \t{mail}\n"),
                format!("\u{200B}{mail}\u{FEFF}"),
                format!("\u{202A}{mail}\u{202C}"),
                format!("'{mail}'"),
                mail.to_uppercase(),
            ] {
                prop_assert_eq!(read(Normaliser::Email, None, &wrapped), meant.clone(), "{}", wrapped);
            }
        }

        #[test]
        fn a_canonical_form_is_its_own(raw in "\\PC{0,12}|[a-zA-Zßéİ.+]{1,6}@[a-zA-Zü]{1,5}\\.[a-z]{2}|[\"'<(]{0,2}[a-z,%40 ]{0,6}[<(\"]?(mailto:)?[a-z.+]{1,6}(@|%40)[a-z]{1,5}\\.[a-z]{2}[>)\"',;]{0,2}|\\+?[0-9 ()-]{5,16}") {
            for normaliser in [Normaliser::Email, Normaliser::Phone, Normaliser::Lowercase, Normaliser::Trim, Normaliser::None] {
                for region in [None, Some("GB"), Some("US")] {
                    if let Some(once) = read(normaliser, region, &raw) {
                        prop_assert_eq!(read(normaliser, region, &once), Some(once.clone()));
                    }
                }
            }
        }
    }
}
