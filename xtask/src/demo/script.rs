//! The whole story without a person: two devices pair, each pushes a text, each has both.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Stage, device};
use crate::run::line;

/// How long one command may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TEXTS: [&str; 2] = ["Hello from the first device", "Hello from the second device"];

/// Plays both devices and checks what arrives.
pub(crate) fn check() -> Result<()> {
    let stage = Stage::set()?;
    let url = stage.relay.url();
    let (first, second) = (stage.home("first"), stage.home("second"));
    let on = |home, args: &[&str]| json(device(&stage.cli, home).arg("--json").args(args));

    on(&first, &["init", "--name", "First device", "--relay", &url])?;
    on(&second, &["init", "--name", "Second device", "--relay", &url])?;
    let invite = on(&first, &["pair", "--create"])?;
    let code = text(&invite, "code")?;
    ensure!(code.len() == 19, "an invite code looks like XXXX-XXXX-XXXX-XXXX, not like {code}");
    ensure!(text(&invite, "link")?.contains("/join#v1."), "not a join link: {invite}");
    on(&second, &["pair", "--join", code])?;
    on(&first, &["push", TEXTS[0]])?;
    on(&second, &["push", TEXTS[1]])?;
    for home in [&first, &second] {
        let page = on(home, &["pull", "--after-cursor", "0"])?;
        let blobs = page["blobs"].as_array().context("pull gives a list of blobs")?;
        let texts: Vec<_> = blobs.iter().filter_map(|blob| blob["text"].as_str()).collect();
        ensure!(texts == TEXTS, "{} has {texts:?}", home.display());
        let cursors: Vec<_> = blobs.iter().filter_map(|blob| blob["cursor"].as_u64()).collect();
        ensure!(cursors.len() == 2 && cursors.is_sorted_by(|a, b| a < b), "cursors {cursors:?}");
    }
    println!("two devices paired, and each has the other's text");
    Ok(())
}

fn text<'a>(object: &'a Value, field: &str) -> Result<&'a str> {
    object[field].as_str().with_context(|| format!("no {field} in {object}"))
}

/// Runs a command that prints one JSON object, or nothing.
fn json(command: &mut Command) -> Result<Value> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{} cannot be started", line(command)))?;
    in_time(&mut child).with_context(|| line(command))?;
    let output = child.wait_with_output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed ({})\n{messages}", line(command), output.status);
    let printed = String::from_utf8_lossy(&output.stdout);
    if printed.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&printed).with_context(|| format!("{} printed {printed:?}", line(command)))
}

/// Waits for the end of a command that prints little, and ends it when it takes too long.
fn in_time(child: &mut Child) -> Result<()> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            drop(child.kill());
            bail!("it takes longer than {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
