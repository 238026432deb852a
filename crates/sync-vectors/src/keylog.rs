//! `keylog.json`: group ids, key logs and proofs of membership.

use serde_json::Value;
use sync_types::wire::{decode, encode};
use sync_types::{AuthKey, DeviceId, GroupId, KeyLog, KeyLogError, MembershipProof};

use crate::describe::key_log;
use crate::file::{Cases, Check, array, bytes, hex, number, refused, same, str};

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    cases.each(&root["logs"]["accepted"], |case| {
        let bytes = bytes(case, "bytes")?;
        let log: KeyLog = decode(&bytes).map_err(|e| format!("refused as {e:?}"))?;
        same("the log", key_log(&log), case["fields"].clone())?;
        same("encoded again, it", hex(&encode(&log)), hex(&bytes))?;
        let group = GroupId(array(case, "group_id")?);
        same("the group of its first key", GroupId::of(&log.genesis), group)?;
        same("its newest epoch", u64::from(log.epoch()), number(case, "epoch")?)?;
        same("the fingerprint", log.fingerprint(&group).as_str(), str(case, "fingerprint")?)?;
        same("verifying it", log.verify(&group), Ok(()))
    })?;
    cases.each(&root["logs"]["malformed"], |case| refused(case, decode::<KeyLog>(&bytes(case, "bytes")?)))?;
    cases.each(&root["logs"]["refused"], |case| {
        refused(case, log(case, "bytes")?.verify(&GroupId(array(case, "group_id")?)))
    })?;

    let beyond = |case: &Value| -> Result<_, String> {
        let group = GroupId(array(case, "group_id")?);
        Ok(log(case, "bytes")?.verify_beyond(&group, &log(case, "known")?))
    };
    let continuations = &root["continuations"];
    cases.each(&continuations["accepted"], |case| same("verifying it", beyond(case)?, Ok(())))?;
    cases.each(&continuations["refused"], |case| refused(case, beyond(case)?))?;

    let proofs = &root["proofs"];
    cases.each(&proofs["accepted"], |case| {
        let transcript = Proof::of(case)?.borrow().transcript();
        same("the transcript", hex(&transcript), hex(&bytes(case, "transcript")?))?;
        same("verifying it", verify(case)?, Ok(()))
    })?;
    cases.each(&proofs["refused"], |case| refused(case, verify(case)?))
}

fn log(case: &Value, field: &str) -> Result<KeyLog, String> {
    decode(&bytes(case, field)?).map_err(|e| format!("{field} does not decode: {e:?}"))
}

/// The parts of a proof, for as long as it borrows them.
struct Proof {
    handshake_hash: [u8; 32],
    group_id: GroupId,
    epoch: u32,
    device_id: DeviceId,
}

impl Proof {
    fn of(case: &Value) -> Result<Self, String> {
        Ok(Self {
            handshake_hash: array(case, "handshake_hash")?,
            group_id: GroupId(array(case, "group_id")?),
            epoch: number(case, "epoch")?.try_into().map_err(|_| "not an epoch")?,
            device_id: DeviceId::from_bytes(array(case, "device_id")?).ok_or("not a device id")?,
        })
    }

    fn borrow(&self) -> MembershipProof<'_> {
        let Self { handshake_hash, group_id, epoch, device_id } = self;
        MembershipProof { handshake_hash, group_id, epoch: *epoch, device_id }
    }
}

fn verify(case: &Value) -> Result<Result<(), KeyLogError>, String> {
    let signature = array(case, "signature")?;
    Ok(Proof::of(case)?.borrow().verify(&AuthKey(array(case, "auth_key")?), &signature))
}
