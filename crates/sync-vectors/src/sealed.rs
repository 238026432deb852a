//! `sealed.json`: what only members can read.

use serde_json::{Value, json};
use sync_e2ee::{
    BlobContext, Content, Control, DeviceName, EpochSecret, Invite, Kind, Place, RosterEntry, SealOptions,
    Seen, Tip, blob, derive_code, open_name, padded_len, seal_name,
};
use sync_types::wire::{decode, encode};
use sync_types::{
    BlobHash, BlobId, ChainId, Cursor, DeviceId, GroupId, InviteCode, InviteKey, LookupKey, StoreId, UnixMs,
};

use crate::derived;
use crate::describe::key_log;
use crate::file::{Cases, Check, Drawn, array, bytes, hex, number, refused, same, str};

/// Largest body that is opened where a case does not say.
const MAX_BODY: usize = 1 << 20;

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    cases.each(&root["schedules"], schedule)?;
    cases.each(&root["paddings"], |case| {
        let padded = padded_len(size(case, "length")?, size(case, "max")?);
        same("the padded length", padded, size(case, "padded")?)
    })?;
    cases.each(&root["blobs"]["accepted"], blob_accepted)?;
    cases.each(&root["blobs"]["refused"], |case| {
        let keys = secret(case)?.keys();
        let max_body = size(case, "max_body")?;
        refused(case, blob::open(&keys, &context(case)?, &bytes(case, "sealed")?, max_body))
    })?;
    cases.each(&root["names"]["accepted"], name_accepted)?;
    cases.each(&root["names"]["refused"], |case| {
        let keys = secret(case)?.keys();
        let (group, epoch, device) = owner(case)?;
        refused(case, open_name(&keys, &group, epoch, &device, &bytes(case, "sealed")?))
    })?;
    cases.each(&root["controls"]["accepted"], control_accepted)?;
    cases.each(&root["controls"]["refused"], |case| {
        refused(case, decode::<Control>(&bytes(case, "bytes")?))
    })?;
    cases.each(&root["invites"]["accepted"], invite_accepted)?;
    cases.each(&root["invites"]["refused"], |case| {
        let (lookup, key) = invite_keys(case)?;
        refused(case, Invite::open(&lookup, &key, &bytes(case, "sealed")?))
    })?;
    cases.each(&root["codes"], |case| {
        let code = InviteCode::from_bytes(array(case, "code")?);
        let (lookup, key) = derive_code(&code).map_err(|e| format!("{e:?}"))?;
        same("the lookup key", hex(&lookup.0).as_str(), str(case, "lookup")?)?;
        same("the invite key", hex(key.expose_bytes()).as_str(), str(case, "key")?)
    })
}

fn schedule(case: &Value) -> Check {
    let keys = secret(case)?.keys();
    same("the auth key", hex(&keys.auth_key().0).as_str(), str(case, "auth_key")?)?;
    same("the group id", hex(&keys.founds_group().0).as_str(), str(case, "group_id")?)
}

fn blob_accepted(case: &Value) -> Check {
    let (keys, context, sealed) = (secret(case)?.keys(), context(case)?, bytes(case, "sealed")?);
    let expected = content(&case["content"])?;
    let opened = blob::open(&keys, &context, &sealed, MAX_BODY).map_err(|e| format!("refused as {e:?}"))?;
    same("the content", opened == expected, true)?;
    if case["exact"] == false {
        return Ok(()); // Compressed, which may be done in many ways.
    }
    let options = SealOptions { compress: false, ..SealOptions::default() };
    let again = blob::seal(&keys, &context, &expected, &options, &mut Drawn::new(case, "nonce")?);
    same("sealed again, it", again.map(|again| hex(&again)), Ok(hex(&sealed)))
}

fn content(fields: &Value) -> Result<Content, String> {
    let kind = match number(fields, "kind")? {
        0 => Kind::Data,
        1 => Kind::Control,
        _ => Kind::Void,
    };
    let place = Place {
        chain_id: ChainId(array(fields, "chain_id")?),
        seq: number(fields, "seq")?,
        prev: BlobHash(array(fields, "prev")?),
        prev_expires: UnixMs(number(fields, "prev_expires")?),
        seen: seen(&fields["seen"])?,
    };
    Ok(Content { kind, place, body: bytes(fields, "body")? })
}

fn seen(fields: &Value) -> Result<Option<Seen>, String> {
    if fields.is_null() {
        return Ok(None);
    }
    Ok(Some(Seen {
        store_id: StoreId(array(fields, "store_id")?),
        cursor: Cursor::new(number(fields, "cursor")?).ok_or("not a cursor")?,
        head: array(fields, "head")?,
    }))
}

fn name_accepted(case: &Value) -> Check {
    let (keys, sealed) = (secret(case)?.keys(), bytes(case, "sealed")?);
    let (group, epoch, device) = owner(case)?;
    let opened =
        open_name(&keys, &group, epoch, &device, &sealed).map_err(|e| format!("refused as {e:?}"))?;
    same("the name", opened.as_str(), str(case, "name")?)?;
    let again = seal_name(&keys, &group, epoch, &device, &opened, &mut Drawn::new(case, "nonce")?);
    same("sealed again, it", again.map(|again| hex(&again)), Ok(hex(&sealed)))
}

fn control_accepted(case: &Value) -> Check {
    let bytes = bytes(case, "bytes")?;
    let control: Control = decode(&bytes).map_err(|e| format!("refused as {e:?}"))?;
    let fields = match &control {
        Control::Announce { name, platform } => json!({ "name": name.as_str(), "platform": platform }),
        Control::Leave => json!({}),
    };
    same("what it says", &fields, &case["fields"])?;
    same("encoded again, it", hex(&encode(&control)), hex(&bytes))?;
    derived::check(&bytes, |wrong| decode::<Control>(wrong).map(drop))
}

fn invite_accepted(case: &Value) -> Check {
    let ((lookup, key), sealed) = (invite_keys(case)?, bytes(case, "sealed")?);
    let invite = Invite::open(&lookup, &key, &sealed).map_err(|e| format!("refused as {e:?}"))?;
    same("the invite", &invite_fields(&invite), &case["fields"])?;
    let again = invite.seal(&lookup, &key, &mut Drawn::new(case, "nonce")?);
    same("sealed again, it", again.map(|again| hex(&again)), Ok(hex(&sealed)))
}

pub(crate) fn invite_fields(invite: &Invite) -> Value {
    let Invite {
        relay,
        relay_key,
        group_id,
        key_log: log,
        epoch,
        secret,
        history,
        roster,
        seen,
        created_by,
        expires,
    } = invite;
    json!({
        "relay": relay.as_str(),
        "relay_key": hex(relay_key.as_bytes()),
        "group_id": hex(&group_id.0),
        "key_log": key_log(log),
        "epoch": epoch,
        "secret": hex(secret.expose_bytes()),
        "history": history.iter().map(|(epoch, secret)| {
            json!({ "epoch": epoch, "secret": hex(secret.expose_bytes()) })
        }).collect::<Vec<_>>(),
        "roster": roster.iter().map(roster_entry).collect::<Vec<_>>(),
        "seen": seen.as_ref().map(|Seen { store_id, cursor, head }| {
            json!({ "store_id": hex(&store_id.0), "cursor": cursor.get(), "head": hex(head) })
        }),
        "created_by": hex(created_by.as_bytes()),
        "expires": expires.0,
    })
}

pub(crate) fn roster_entry(RosterEntry { device_id, name, platform, tips }: &RosterEntry) -> Value {
    json!({
        "device_id": hex(device_id.as_bytes()),
        "name": name.as_ref().map(DeviceName::as_str),
        "platform": platform,
        "tips": tips.iter().map(|Tip { chain_id, seq, hash }| {
            json!({ "chain_id": hex(&chain_id.0), "seq": seq, "hash": hex(&hash.0) })
        }).collect::<Vec<_>>(),
    })
}

fn secret(case: &Value) -> Result<EpochSecret, String> {
    Ok(EpochSecret::from_bytes(array(case, "secret")?))
}

fn owner(case: &Value) -> Result<(GroupId, u32, DeviceId), String> {
    let epoch = number(case, "epoch")?.try_into().map_err(|_| "not an epoch")?;
    let device = DeviceId::from_bytes(array(case, "sender")?).ok_or("not a device id")?;
    Ok((GroupId(array(case, "group_id")?), epoch, device))
}

fn context(case: &Value) -> Result<BlobContext, String> {
    let (group_id, epoch, sender) = owner(case)?;
    Ok(BlobContext { group_id, epoch, sender, blob_id: BlobId(array(case, "blob_id")?) })
}

fn invite_keys(case: &Value) -> Result<(LookupKey, InviteKey), String> {
    Ok((LookupKey(array(case, "lookup")?), InviteKey::from_bytes(array(case, "key")?)))
}

fn size(case: &Value, field: &str) -> Result<usize, String> {
    number(case, field)?.try_into().map_err(|_| format!("{field} is too large"))
}
