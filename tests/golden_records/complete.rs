//! Rule: every act and every kind of row has a golden file. One without is one that a later release may
//! fail to read, for bincode goes by the order of fields and variants.

use super::golden;
use selfsame::domain::graph::Page;
use selfsame::records::{ActRecord, decode_page, keys};
use std::collections::BTreeMap;
use std::path::Path;

/// Whether the program knows an act of that number: one of them, all of whose fields are zero or
/// empty, decodes.
fn is_act(number: u8) -> bool {
    let decodes = |zeros: usize| {
        let bytes = [&[number][..], &vec![0; zeros]].concat();
        ActRecord::decode(1, &bytes).is_ok()
    };
    (0..256).any(decodes)
}

#[test]
fn every_act_has_a_golden_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records-v1");
    let mut covered: BTreeMap<u8, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("act-") {
            let bytes = std::fs::read(entry.path()).unwrap();
            ActRecord::decode(1, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            covered.insert(bytes[0], name);
        }
    }
    let count = (0..=u8::MAX).take_while(|number| is_act(*number)).count();
    assert!(covered.len() >= 24, "{covered:?}");
    // What ends the count is a variant that is not there, not one that this test cannot make up.
    let error = ActRecord::decode(1, &[count as u8]).unwrap_err().to_string();
    assert!(error.contains(&format!("expected variant index 0 <= i < {count}")), "{error}");
    let without: Vec<usize> =
        (0..count).filter(|number| !covered.contains_key(&(*number as u8))).collect();
    assert!(without.is_empty(), "acts without a golden file, by their numbers: {without:?}");
    assert_eq!(covered.len(), count);
}

/// The files that begin with `row-` are read by `src/engine/tests/golden_rows.rs`.
#[test]
fn every_kind_of_row_has_a_golden_file() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records-v1"));
    for prefix in keys::ALL {
        let files: &[&str] = match *prefix {
            keys::GENESIS => &["genesis"],
            keys::CONFIGURATION => &["row-configuration"],
            keys::COUNTERS => &["counters"],
            keys::EVENT_IDS => &["event-ids"],
            keys::FRAGMENT => &["fragment"],
            keys::RUNS => &["runs", "runs-2"],
            keys::TOLD_RUN => &["row-told-run"],
            keys::ERASURES => {
                &["erasure", "erasure-pending", "erasure-unread", "row-suppressed", "row-hidden"]
            }
            keys::LINK => &["link", "cut-2"],
            keys::LOOSE => &["row-loose"],
            keys::CHANGES => &["changes"],
            keys::NODES | keys::EDGES | keys::BIRTHS | keys::NAMES => {
                &["page-0", "page-1", "page-2", "page-3"]
            }
            keys::APART => &["page-apart"],
            keys::DISABLED => &["row-disabled"],
            keys::DELIVERIES => &["deliveries", "deliveries-2"],
            keys::RENDERED => &["delivery-sent"],
            keys::ATTEMPT => &["delivery-attempt"],
            keys::CHUNK => &["row-chunk"],
            keys::REASON => &["row-reason"],
            keys::REVISIONS => &["row-revisions"],
            other => panic!(
                "expected a golden file for the rows under {:?}, found none: write one, test that it \
                 is read, and name it here",
                char::from(other)
            ),
        };
        for name in files {
            let is_there = std::fs::metadata(folder.join(name)).is_ok_and(|file| file.len() > 0);
            assert!(is_there, "the golden file {name} of {:?}", char::from(*prefix));
        }
    }
}

#[test]
fn every_kind_of_page_is_among_the_golden_ones() {
    let sort = |page: &Page| match page {
        Page::Nodes(..) => 0,
        Page::Edges(..) => 1,
        Page::Fragments(..) => 2,
        Page::Names(..) => 3,
        Page::Apart(_) => 4,
    };
    let names = ["page-0", "page-1", "page-2", "page-3", "page-apart"];
    let mut sorts: Vec<u8> =
        names.iter().map(|name| sort(&decode_page(&golden(name, &[])).unwrap())).collect();
    sorts.sort_unstable();
    assert_eq!(sorts, [0, 1, 2, 3, 4]);
}
