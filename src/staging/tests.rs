//! What a staged file does, held against a plain one.

use super::*;
use md5::{Digest, Md5 as Hasher};
use proptest::prelude::*;

use crate::types::Md5;

pub(super) fn staged(base: u64) -> (tempfile::TempDir, StagedFile) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = StagedFile::create(dir.path(), "a.png", base).expect("a staged file");
    (dir, file)
}

#[test]
fn the_base_shows_through_until_it_is_filled() {
    let (_dir, file) = staged(10);
    file.write_at(2, b"xy").expect("written");
    assert_eq!(file.read_at(0, 4).expect("read"), Staged::Missing(0..2));
    assert_eq!(file.read_at(2, 2).expect("read"), Staged::Bytes(b"xy".to_vec()));
    file.fill(0, b"0123456789").expect("filled");
    assert_eq!(file.missing(), None);
    assert_eq!(file.read_at(0, 99).expect("read"), Staged::Bytes(b"01xy456789".to_vec()));
}

#[test]
fn cutting_forgets_the_base_for_good() {
    let (_dir, file) = staged(10);
    file.truncate(4).expect("cut");
    file.truncate(6).expect("lengthened");
    assert_eq!(file.missing(), Some(0..4));
    file.fill(0, b"0123456789").expect("filled");
    assert_eq!(file.read_at(0, 99).expect("read"), Staged::Bytes(b"0123\0\0".to_vec()));
}

#[test]
fn what_was_staged_is_opened_again_as_it_was() {
    let (dir, file) = staged(10);
    file.write_at(2, b"xy").expect("written");
    file.truncate(8).expect("cut");
    file.write_at(12, b"z").expect("written");
    let path = file.path().expect("a path").to_owned();
    let again = StagedFile::reopen(&path).expect("opened");
    assert_eq!(again.missing(), Some(0..2));
    again.fill(0, b"01234567").expect("filled");
    let all = b"01xy4567\0\0\0\0z".to_vec();
    assert_eq!(again.read_at(0, 99).expect("read"), Staged::Bytes(all));
    again.remove().expect("removed");
    assert!(dir.path().read_dir().expect("a folder").next().is_none());
}

#[test]
fn a_snapshot_does_not_move() {
    let (dir, file) = staged(0);
    file.write_at(0, b"before").expect("written");
    let copy = file.snapshot(dir.path()).expect("copied");
    file.write_at(0, b"after!").expect("written");
    assert_eq!(copy.read_at(0, 99).expect("read"), Staged::Bytes(b"before".to_vec()));
    assert_eq!(copy.sum().expect("hashed").size, 6);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Truncate(u64),
    Fill(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40u64, prop::collection::vec(1..255u8, 1..12)).prop_map(|(o, d)| Step::Write(o, d)),
        (0..40u64).prop_map(Step::Truncate),
        (0..40u64, 0..20u64).prop_map(|(o, l)| Step::Fill(o, l)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn behaves_as_a_plain_file_over_its_base(steps in prop::collection::vec(step(), 0..20)) {
        let base: Vec<u8> = (100..130).collect();
        let (_dir, file) = staged(base.len() as u64);
        let mut model = base.clone();
        for step in steps {
            match step {
                Step::Write(offset, data) => {
                    file.write_at(offset, &data).expect("written");
                    let end = offset as usize + data.len();
                    if model.len() < end {
                        model.resize(end, 0);
                    }
                    model[offset as usize..end].copy_from_slice(&data);
                }
                Step::Truncate(len) => {
                    file.truncate(len).expect("truncated");
                    model.resize(len as usize, 0);
                }
                Step::Fill(offset, len) => {
                    let end = (offset + len).min(base.len() as u64);
                    if offset < end {
                        file.fill(offset, &base[offset as usize..end as usize]).expect("filled");
                    }
                }
            }
        }
        while let Some(gap) = file.missing() {
            let part = &base[gap.start as usize..gap.end as usize];
            file.fill(gap.start, part).expect("filled");
        }
        prop_assert_eq!(file.size(), model.len() as u64);
        prop_assert_eq!(file.read_at(0, 100).expect("read"), Staged::Bytes(model.clone()));
        let sum: [u8; 16] = Hasher::digest(&model).into();
        prop_assert_eq!(file.sum().expect("hashed").md5, Md5::new(sum));
    }
}
