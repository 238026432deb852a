//! `chain.json`: how blobs refer to each other, and to what was shown.

use serde_json::Value;
use sync_e2ee::chain::{Step, counts, first_head, link_hash, next_head, step};
use sync_e2ee::{BlobContext, EpochSecret, Tip, blob};
use sync_types::{BlobHash, BlobId, ChainId, Cursor, DeviceId, GroupId, StoreId};

use crate::file::{Cases, Check, array, bytes, hex, number, refused, same, str};
use crate::rotation::{tip, tips};

/// Largest body that is opened.
const MAX_BODY: usize = 1 << 20;

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    cases.each(&root["heads"]["accepted"], |case| {
        let heads = heads(case)?;
        for (entry, head) in entries(case)?.iter().zip(&heads[1..]) {
            same("a head on the way", hex(head).as_str(), str(entry, "head")?)?;
        }
        same("the head", heads.last().map(|head| hex(head)).as_deref(), Some(str(case, "head")?))
    })?;
    cases.each(&root["heads"]["refused"], |case| {
        let same_log = heads(case)?.last() == Some(&array(case, "head")?);
        same("the error", str(case, "error")?, "Fork")?;
        same("whether both were shown the same", same_log, false)
    })?;
    cases.each(&root["chains"]["accepted"], |case| {
        let followed = follow(case)?.map_err(|step| format!("refused as {step:?}"))?;
        same("its end", followed, Some(tip(&case["tip"])?))
    })?;
    cases.each(&root["chains"]["refused"], |case| refused(case, follow(case)?))?;
    cases.each(&root["cuts"]["accepted"], |case| same("whether it counts", is_counted(case)?, true))?;
    cases.each(&root["cuts"]["refused"], |case| {
        same("the error", str(case, "error")?, "NotCounted")?;
        same("whether it counts", is_counted(case)?, false)
    })
}

fn entries(case: &Value) -> Result<&Vec<Value>, String> {
    case["entries"].as_array().ok_or_else(|| "no entries".to_owned())
}

/// The heads of a log, from the empty one.
fn heads(case: &Value) -> Result<Vec<[u8; 32]>, String> {
    let mut head = first_head(&GroupId(array(case, "group_id")?), &StoreId(array(case, "store_id")?));
    let mut heads = vec![head];
    for entry in entries(case)? {
        let cursor = Cursor::new(number(entry, "cursor")?).ok_or("not a cursor")?;
        let (blob_id, sender) = (BlobId(array(entry, "blob_id")?), sender(entry)?);
        head = next_head(&head, cursor, &blob_id, &sender, &BlobHash(array(entry, "hash")?));
        heads.push(head);
    }
    Ok(heads)
}

/// Opens a chain's blobs one after the other; the last may be one that does not follow.
fn follow(case: &Value) -> Result<Result<Option<Tip>, Step>, String> {
    let keys = EpochSecret::from_bytes(array(case, "secret")?).keys();
    let epoch = number(case, "epoch")?.try_into().map_err(|_| "not an epoch")?;
    let blobs = case["blobs"].as_array().ok_or("no blobs")?;
    let mut newest: Option<Tip> = None;
    for (index, each) in blobs.iter().enumerate() {
        let blob_id = BlobId(array(each, "blob_id")?);
        let group_id = GroupId(array(case, "group_id")?);
        let context = BlobContext { group_id, epoch, sender: sender(case)?, blob_id };
        let sealed = bytes(each, "sealed")?;
        let content = blob::open(&keys, &context, &sealed, MAX_BODY).map_err(|e| format!("{e:?}"))?;
        let hash = link_hash(&content, blob::hash(&sealed));
        let step = step(newest.as_ref(), &content.place, &hash);
        if step != Step::Next {
            let is_last = index + 1 == blobs.len();
            return if is_last { Ok(Err(step)) } else { Err(format!("blob {index} is {step:?} already")) };
        }
        newest = Some(Tip { chain_id: content.place.chain_id, seq: content.place.seq, hash });
    }
    Ok(Ok(newest))
}

fn sender(case: &Value) -> Result<DeviceId, String> {
    DeviceId::from_bytes(array(case, "sender")?).ok_or_else(|| "not a device id".to_owned())
}

fn is_counted(case: &Value) -> Result<bool, String> {
    let (chain_id, hash) = (ChainId(array(case, "chain_id")?), BlobHash(array(case, "hash")?));
    Ok(counts(&tips(&case["tips"])?, &chain_id, number(case, "seq")?, &hash))
}
