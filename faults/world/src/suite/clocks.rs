//! Clocks that are a year off, on relay and devices, and are put right in the middle.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use crate::check::{Rules, Sums};
use crate::world::{RelaySetup, Setup, World};

/// In seconds.
const YEAR: i64 = 365 * 24 * 3600;

/// Whose clock is how wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// In words.
    pub name: &'static str,
    relay: i64,
    /// Of the device that pushes and invites.
    first: i64,
    /// Of the device that reads and is invited.
    second: i64,
    /// What becomes of the invite.
    invite: Invite,
}

/// What becomes of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invite {
    /// It lets the other device in.
    Works,
    /// It cannot be made, and the message says this.
    NotMade(&'static str),
    /// The joiner does not take it, and the message says this.
    NotTaken(&'static str),
}

const BY_RELAY: Invite = Invite::NotMade("by the relay's clock");
const BY_JOINER: Invite = Invite::NotTaken("by this device's clock");

/// Everybody against everybody.
pub const CASES: [Case; 8] = [
    Case { name: "relay ahead", relay: YEAR, first: 0, second: 0, invite: BY_RELAY },
    Case { name: "relay behind", relay: -YEAR, first: 0, second: 0, invite: Invite::Works },
    Case { name: "inviter ahead", relay: 0, first: YEAR, second: 0, invite: Invite::Works },
    Case { name: "inviter behind", relay: 0, first: -YEAR, second: 0, invite: BY_RELAY },
    Case { name: "joiner ahead", relay: 0, first: 0, second: YEAR, invite: BY_JOINER },
    Case { name: "joiner behind", relay: 0, first: 0, second: -YEAR, invite: Invite::Works },
    Case { name: "relay ahead, devices behind", relay: YEAR, first: -YEAR, second: -YEAR, invite: BY_RELAY },
    Case {
        name: "relay behind, devices apart",
        relay: -YEAR,
        first: YEAR,
        second: -YEAR,
        invite: Invite::Works,
    },
];

/// All cases, at once: they mostly wait.
pub async fn run(program: &Path) -> Result<Sums> {
    let all = CASES.map(|case| async move {
        let ran = async {
            invite(program, case).await?;
            Ok::<_, anyhow::Error>([
                deliver(program, case, true).await?,
                deliver(program, case, false).await?,
            ])
        };
        ran.await.with_context(|| format!("clocks: {}", case.name))
    });
    let mut sums = Sums::default();
    try_join_all(all).await?.into_iter().flatten().for_each(|more| sums += more);
    Ok(sums)
}

/// An invite is made and taken, or it is said why not.
async fn invite(program: &Path, case: Case) -> Result<()> {
    let mut world = World::start(program, RelaySetup { ahead: case.relay, ..RelaySetup::default() }).await?;
    let first = world.add(Setup { writer: Some(1), ahead: case.first, ..Setup::default() }).await?;
    let second = world.add(Setup { ahead: case.second, ..Setup::default() }).await?;
    let invited = world.ask(first, "invite").await?;
    let Some(code) = invited.strip_prefix("invite ") else {
        return expect(case, matches!(case.invite, Invite::NotMade(why) if invited.contains(why)), &invited);
    };
    let joined = world.ask(second, &format!("join {code}")).await?;
    match case.invite {
        Invite::Works => expect(case, joined == "joined", &joined)?,
        Invite::NotTaken(why) => return expect(case, joined.contains(why), &joined),
        Invite::NotMade(_) => return expect(case, false, "the invite was made"),
    }
    world.push(first, 5).await?;
    world.arrive().await?;
    world.check(Rules::default()).await.map(drop)
}

fn expect(case: Case, holds: bool, found: &str) -> Result<()> {
    ensure!(holds, "an invite ought to end as {:?}, and it was: {found}", case.invite);
    Ok(())
}

/// What is pushed for an hour, and for as long as the relay likes, comes to whoever is there, and to whoever comes
/// after the clocks were put right. `cleaned`: the relay cleans up meanwhile; else it is restarted with the right clock
/// before it ever has.
async fn deliver(program: &Path, case: Case, cleaned: bool) -> Result<Sums> {
    let interval = Duration::from_secs(if cleaned { 1 } else { 3600 });
    let mut world = World::start(program, RelaySetup { ahead: case.relay, cleanup: interval }).await?;
    let group = world.group()?;
    let member = |writer, ahead, more| Setup { group, writer, has_secret: true, ahead, more };
    let first = world.add(member(Some(1), case.first, Vec::new())).await?;
    let brief = world.add(member(Some(2), case.first, vec!["--keep=3600".to_owned()])).await?;
    world.add(member(None, case.second, Vec::new())).await?;
    let away = world.add(member(None, 0, Vec::new())).await?;
    world.push(first, 10).await?;
    world.push(brief, 10).await?;
    world.arrive().await?;
    world.kill_app(away)?;
    world.push(first, 10).await?;
    world.push(brief, 10).await?;
    if cleaned {
        world.cleaned().await?;
        world.tell_relay("clock 0");
    } else {
        world.kill_relay()?;
    }
    world.tell_all("clock 0");
    world.setup = RelaySetup { ahead: 0, cleanup: Duration::from_secs(1) };
    if !cleaned {
        world.start_relay().await?;
        world.tell_all("woke");
    }
    world.cleaned().await?;
    world.push(first, 10).await?;
    let seen = world.app(first)?.heard().sees;
    world.start_app(away).await?;
    world.app(first)?.until("the other device is seen to come", |heard| heard.sees > seen).await?;
    world.arrive().await?;
    world.check(Rules::default()).await
}
