//! What a person should hear of, whatever the command.

use sync_client::{Break, DeviceId, Event, Events, Refused, SyncClient};

use crate::device::short;
use crate::output;

/// Tells stderr of what happens, as long as the client is in use.
pub(crate) fn spawn(client: &SyncClient) {
    tokio::spawn(tell(client.subscribe(), client.status().device_id));
}

async fn tell(mut events: Events, me: DeviceId) {
    while let Some(event) = events.next().await {
        if let Some(text) = notice(&event, me) {
            output::note(&text);
        }
    }
}

/// One sentence, which says what to do if there is something.
fn notice(event: &Event, me: DeviceId) -> Option<String> {
    Some(match event {
        Event::RelayReset => {
            "the relay started over: it lost what it stored, or has another key; what this device still has \
             of its own is sent again"
                .to_owned()
        }
        Event::RestoreWaits => "the relay lost what it stored for the second time within a day, so nothing \
                                is sent: find out why, then run `sync-cli restore`"
            .to_owned(),
        Event::HistoryTruncated { up_to } => {
            format!("blobs up to cursor {up_to} expired before they were read")
        }
        Event::BlobRefused { cursor, sender, why } => refused(cursor.get(), sender, *why),
        Event::PushRejected { code, .. } => format!("the relay refused a push: {code}"),
        Event::PushRenamed { from, to } => format!(
            "this device's folder was restored from a backup: the push {from} goes on as {to}, nothing is lost"
        ),
        Event::DeviceRemoved { device_id, by: Some(_) } if *device_id == me => {
            "this device was removed from the group: it can read what it has, and nothing new".to_owned()
        }
        Event::DeviceRemoved { by: Some(by), .. } | Event::KeyRotated { by, .. } if *by == me => return None,
        Event::DeviceRemoved { device_id, by: Some(by) } => {
            format!("the device {} was removed from the group by {}", short(device_id), short(by))
        }
        Event::DeviceRemoved { device_id, by: None } => {
            format!("the device {} left the group", short(device_id))
        }
        Event::KeyRotated { epoch, by } => format!(
            "the group got its key number {epoch} from {}: make a new recovery file if you keep one \
             (`sync-cli recovery export FILE`)",
            short(by)
        ),
        Event::UnknownDevice { device_id } => format!(
            "nobody has announced the device {id} that is at the relay: if you are not letting it join just \
             now, shut it out with `sync-cli remove {id}`",
            id = short(device_id)
        ),
        Event::InviteMisused => "somebody took an invite and did not join: shut them out with `sync-cli \
                                 rotate`, then invite again"
            .to_owned(),
        Event::ChainBroken { sender, cursor, how } => broken(sender, cursor.get(), *how),
        Event::Forked { witness, cursor } => format!(
            "the relay has shown the device {} another log than this one (before cursor {cursor}): it lies to \
             one of both, so ask whoever runs it, or move to another relay",
            short(witness)
        ),
        Event::RotationRefused { cursor, sender } => format!(
            "what came at cursor {cursor} from {} looks like a new key of the group and is none: nothing has \
             changed, but ask whoever runs the relay",
            short(sender)
        ),
        Event::RotationWithheld { epoch } => format!(
            "the relay says that the group has its key number {epoch}, and does not show it: compare the \
             fingerprint of `sync-cli status` with another device's"
        ),
        Event::RelayMisbehaved => "the relay breaks the protocol; connecting again".to_owned(),
        Event::Connected
        | Event::Disconnected { .. }
        | Event::BlobAvailable { .. }
        | Event::PushAcked { .. }
        | Event::RelayFull { .. }
        | Event::DeviceJoined { .. }
        | Event::PresenceChanged { .. } => return None,
    })
}

fn refused(cursor: u64, sender: &DeviceId, why: Refused) -> String {
    let sender = short(sender);
    match why {
        Refused::Unreadable => {
            format!("the blob at cursor {cursor} does not open, so it is not shown: it was changed or moved")
        }
        Refused::NotAMember => format!(
            "the blob at cursor {cursor} comes from {sender}, which is no device of this group, so it is not \
             shown: see `sync-cli devices`"
        ),
        Refused::AfterRemoval => format!(
            "the blob at cursor {cursor} came from {sender} after the group had closed that key, so it is not \
             shown"
        ),
    }
}

fn broken(sender: &DeviceId, cursor: u64, how: Break) -> String {
    let sender = short(sender);
    let what = match how {
        Break::Missing { from, to } if from + 1 == to => format!("the blob {from} of {sender} is missing"),
        Break::Missing { from, to } => format!("the blobs {from} to {} of {sender} are missing", to - 1),
        Break::Altered { seq } => format!("the blob {seq} of {sender} is another than that device sent"),
        Break::Reordered { seq } => format!("the blob {seq} of {sender} came after later ones"),
        Break::Repeated { seq } => format!("the blob {seq} of {sender} came once more"),
    };
    format!(
        "{what} (noticed at cursor {cursor}): the relay is to blame, unless that device's folder was copied; \
         see what it sent, and send it again if it counts"
    )
}
