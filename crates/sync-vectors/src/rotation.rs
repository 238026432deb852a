//! `rotation.json`: how a group gets its next key.

use serde_json::{Value, json};
use sync_e2ee::{
    DeviceName, EpochSecret, RosterEntry, RotationContent, RotationContext, Tip, open_lockbox, open_rotation,
    seal_rotation,
};
use sync_types::channel::{open_one_way, seal_one_way};
use sync_types::{AuthKey, BlobHash, BlobId, ChainId, DeviceId, DeviceSecret, GroupId, Rotation};

use crate::derived;
use crate::describe;
use crate::file::{Cases, Check, Drawn, array, bytes, hex, number, refused, same, str};
use crate::sealed::roster_entry;

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    cases.each(&root["one_way"]["accepted"], one_way)?;
    cases.each(&root["one_way"]["refused"], |case| {
        let (prologue, to) = (bytes(case, "prologue")?, device(case, "to_secret")?);
        refused(case, open_one_way(&prologue, &to, &bytes(case, "sealed")?))
    })?;
    cases.each(&root["payloads"]["accepted"], payload_accepted)?;
    cases
        .each(&root["payloads"]["refused"], |case| refused(case, Rotation::decode(&bytes(case, "bytes")?)))?;
    cases.each(&root["rotations"]["accepted"], rotation_accepted)?;
    cases.each(&root["rotations"]["refused"], |case| {
        refused(case, open_rotation(&payload(case)?, &context(case)?, &secret(case, "secret")?))
    })?;
    cases.each(&root["lockboxes"]["accepted"], |case| {
        let device = device(case, "device_secret")?;
        same("the device", device.id(), device_id(case, "device")?)?;
        let opened = open_lockbox(&payload(case)?, &context(case)?, &device)
            .map_err(|e| format!("refused as {e:?}"))?;
        let opened = opened.map_or(Value::Null, |secret| hex(secret.expose_bytes()).into());
        same("the secret", &opened, &case["secret"])?;
        same("its signature", verify(case)?.map(drop), Ok(()))
    })?;
    cases.each(&root["lockboxes"]["refused"], |case| {
        refused(case, open_lockbox(&payload(case)?, &context(case)?, &device(case, "device_secret")?))
    })?;
    cases.each(&root["signatures"]["accepted"], |case| {
        let link = verify(case)?.map_err(|e| format!("refused as {e:?}"))?;
        same("the link", &link, &case["link"])
    })?;
    cases.each(&root["signatures"]["refused"], |case| refused(case, verify(case)?))
}

fn one_way(case: &Value) -> Check {
    let (prologue, payload) = (bytes(case, "prologue")?, bytes(case, "payload")?);
    let (from, to) = (device(case, "from_secret")?, device(case, "to_secret")?);
    same("the sender", hex(from.id().as_bytes()).as_str(), str(case, "from")?)?;
    let sealed = seal_one_way(&prologue, &from, &to.id(), &payload, array(case, "seed")?);
    same("sealed, it", sealed.map(|sealed| hex(&sealed)), Ok(hex(&bytes(case, "sealed")?)))?;
    let opened = open_one_way(&prologue, &to, &bytes(case, "sealed")?);
    let (opened, sender) = opened.map_err(|e| format!("refused as {e:?}"))?;
    same("the payload", hex(&opened), hex(&payload))?;
    same("who sealed it", sender, from.id())
}

fn payload_accepted(case: &Value) -> Check {
    let bytes = bytes(case, "bytes")?;
    let rotation = Rotation::decode(&bytes).map_err(|e| format!("refused as {e:?}"))?;
    same("the rotation", Rotation::is_one(&bytes), true)?;
    let mut fields = case["fields"].clone();
    fields["inner"] = hex(&crate::file::bytes(&case["fields"], "inner")?).into();
    same("the rotation", describe::rotation(&rotation), fields)?;
    same("encoded again, it", hex(&rotation.encode()), hex(&bytes))?;
    let hash = rotation.content_hash(&device_id(case, "sender")?, &blob_id(case)?);
    same("the content hash", hex(&hash).as_str(), str(case, "content_hash")?)?;
    // What breaks the array behind the format byte breaks the rotation.
    let (format, array) = bytes.split_first().ok_or("no bytes")?;
    derived::check(array, |wrong| Rotation::decode(&[&[*format], wrong].concat()).map(drop))
}

fn rotation_accepted(case: &Value) -> Check {
    let (context, rotation) = (context(case)?, payload(case)?);
    let (current, next) = (secret(case, "current_secret")?.keys(), secret(case, "next_secret")?);
    let content = content(&case["content"])?;
    let opened = open_rotation(&rotation, &context, &next).map_err(|e| format!("refused as {e:?}"))?;
    same("what it says", &content_fields(&opened), &case["content"])?;
    let sender = device(case, "sender_secret")?;
    let again = seal_rotation(&current, &sender, &next, &context, &content, &mut Drawn::new(case, "drawn")?);
    let again = again.map(|again| hex(&again.encode()));
    same("sealed again, it", again, Ok(hex(&bytes(case, "payload")?)))?;
    let RotationContext { group_id, sender, blob_id, .. } = context;
    let verified = rotation.verify(&group_id, &current.auth_key(), &sender, &blob_id);
    same("its signature", verified.map(drop), Ok(()))
}

fn verify(case: &Value) -> Result<Result<Value, sync_types::KeyLogError>, String> {
    let (group, signer) = (GroupId(array(case, "group_id")?), AuthKey(array(case, "signer")?));
    let link = payload(case)?.verify(&group, &signer, &device_id(case, "sender")?, &blob_id(case)?);
    Ok(link.map(|link| describe::key_link(&link)))
}

fn payload(case: &Value) -> Result<Rotation, String> {
    Rotation::decode(&bytes(case, "payload")?).map_err(|e| format!("the payload does not decode: {e:?}"))
}

fn context(case: &Value) -> Result<RotationContext, String> {
    Ok(RotationContext {
        group_id: GroupId(array(case, "group_id")?),
        epoch: number(case, "epoch")?.try_into().map_err(|_| "not an epoch")?,
        sender: device_id(case, "sender")?,
        blob_id: blob_id(case)?,
    })
}

fn blob_id(case: &Value) -> Result<BlobId, String> {
    array(case, "blob_id").map(BlobId)
}

fn device_id(case: &Value, field: &str) -> Result<DeviceId, String> {
    DeviceId::from_bytes(array(case, field)?).ok_or_else(|| format!("{field} is not a device id"))
}

fn device(case: &Value, field: &str) -> Result<DeviceSecret, String> {
    array(case, field).map(DeviceSecret::from_bytes)
}

fn secret(case: &Value, field: &str) -> Result<EpochSecret, String> {
    array(case, field).map(EpochSecret::from_bytes)
}

fn content_fields(RotationContent { roster, removed, history }: &RotationContent) -> Value {
    let list = |entries: &[RosterEntry]| entries.iter().map(roster_entry).collect::<Value>();
    json!({ "roster": list(roster), "removed": list(removed), "history": history })
}

fn content(fields: &Value) -> Result<RotationContent, String> {
    let list = |field: &str| {
        let entries = fields[field].as_array().ok_or_else(|| format!("no list {field}"))?;
        entries.iter().map(entry).collect::<Result<Vec<_>, String>>()
    };
    let history = fields["history"].as_bool().ok_or("no word about history")?;
    Ok(RotationContent { roster: list("roster")?, removed: list("removed")?, history })
}

fn entry(fields: &Value) -> Result<RosterEntry, String> {
    let name = match fields["name"].as_str() {
        Some(name) => Some(DeviceName::new(name).ok_or("not a name")?),
        None => None,
    };
    Ok(RosterEntry {
        device_id: device_id(fields, "device_id")?,
        name,
        platform: str(fields, "platform")?.to_owned(),
        tips: tips(&fields["tips"])?,
    })
}

pub(crate) fn tips(list: &Value) -> Result<Vec<Tip>, String> {
    list.as_array().ok_or("no tips")?.iter().map(tip).collect()
}

pub(crate) fn tip(fields: &Value) -> Result<Tip, String> {
    Ok(Tip {
        chain_id: ChainId(array(fields, "chain_id")?),
        seq: number(fields, "seq")?,
        hash: BlobHash(array(fields, "hash")?),
    })
}
