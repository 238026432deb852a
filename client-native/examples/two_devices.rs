//! Two devices in one program: they pair by a code, and send each other a text.
//!
//! Start a relay (`cargo run -p sync-relay`), then
//! `cargo run -p sync-client --example two_devices [http://127.0.0.1:8080]`.
#![allow(clippy::print_stdout)]

use sync_client::{Event, Keychain, SyncClient, SyncConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let relay = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let folder = tempfile::tempdir()?;
    let device = |name: &str| {
        let config = SyncConfig::new(&relay)?.in_folder(folder.path().join(name)).named(name);
        // What is thrown away afterwards does not belong into a keychain.
        Ok::<_, sync_client::Error>(SyncClient::new(SyncConfig { keychain: Keychain::Off, ..config }))
    };
    let laptop = device("laptop")?.await?;
    let phone = device("phone")?.await?;

    // The laptop makes a group and an invite; the phone joins with nothing but the code.
    laptop.connect().await?;
    let invite = laptop.create_invite().await?;
    println!("laptop: type {} on the phone", invite.code());
    phone.join(&invite.code()).await?;
    phone.connect().await?;

    // Each sends a text. A push is safe on this device at once, and at the relay when it is acknowledged.
    for (name, client) in [("laptop", &laptop), ("phone", &phone)] {
        let receipt = client.push(format!("hello from the {name}")).await?;
        println!("{name}: stored at cursor {}", receipt.acked().await?);
    }

    // Each reads what the other sent, and says that it has it.
    for (name, client) in [("laptop", &laptop), ("phone", &phone)] {
        let mut events = client.subscribe();
        loop {
            let page = client.pull_since_last_cursor(0).await?;
            client.ack(page.max_cursor).await?;
            if let Some(blob) = page.blobs.first() {
                println!("{name}: read “{}”", String::from_utf8_lossy(&blob.data));
                break;
            }
            while !matches!(events.next().await, Some(Event::BlobAvailable { .. }) | None) {}
        }
    }
    for client in [laptop, phone] {
        client.close().await;
    }
    Ok(())
}
