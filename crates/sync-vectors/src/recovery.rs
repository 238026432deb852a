//! `recovery.json`: groups that come from words.

use serde_json::Value;
use sync_e2ee::recovery::{self, RecoveryError};
use sync_e2ee::{Invite, PhraseError, passphrase_secret};

use crate::file::{Cases, Check, Drawn, array, bytes, hex, number, refused, same, str};
use crate::sealed::invite_fields;

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    cases.each(&root["phrases"]["accepted"], |case| {
        let phrase = recovery::parse_phrase(str(case, "text")?).map_err(|e| format!("refused as {e:?}"))?;
        same("the phrase", phrase.as_str(), str(case, "canonical")?)
    })?;
    cases.each(&root["phrases"]["refused"], |case| {
        let (name, field, value) = match recovery::parse_phrase(str(case, "text")?) {
            Ok(_) => return Err("accepted".to_owned()),
            Err(PhraseError::WordCount { found }) => ("WordCount", "found", found),
            Err(PhraseError::UnknownWord { position }) => ("UnknownWord", "position", position),
        };
        same("the error", name, str(case, "error")?)?;
        same(field, value as u64, number(case, field)?)
    })?;
    cases.each(&root["files"]["accepted"], file_accepted)?;
    cases.each(&root["files"]["refused"], |case| match open(case) {
        Err(RecoveryError::Phrase(error)) => Err(format!("the phrase is refused as {error:?}")),
        Err(RecoveryError::Seal(error)) => refused(case, Err::<(), _>(error)),
        Ok(invite) => refused(case, Ok::<_, RecoveryError>(invite)),
    })?;
    cases.each(&root["passphrases"], |case| {
        let (name, passphrase) = (str(case, "group_name")?, str(case, "passphrase")?);
        let secret = passphrase_secret(name, passphrase).map_err(|e| format!("{e:?}"))?;
        same("the secret", hex(secret.expose_bytes()).as_str(), str(case, "secret")?)?;
        same("the group id", hex(&secret.keys().founds_group().0).as_str(), str(case, "group_id")?)
    })
}

fn open(case: &Value) -> Result<Invite, RecoveryError> {
    // What a case lacks is refused, too, but never as what it names.
    let file = bytes(case, "file").unwrap_or_default();
    recovery::open(&file, str(case, "phrase").unwrap_or_default())
}

fn file_accepted(case: &Value) -> Check {
    let invite = open(case).map_err(|e| format!("refused as {e:?}"))?;
    same("what it says", &invite_fields(&invite), &case["fields"])?;
    let drawn = &mut Drawn::new(case, "nonce")?;
    let again = recovery::seal(&invite, str(case, "phrase")?, array(case, "salt")?, drawn);
    same("sealed again, it", again.map(|again| hex(&again)), Ok(hex(&bytes(case, "file")?)))
}
