//! The commands, one function each.
#![expect(clippy::print_stdout, reason = "it is what the commands answer")]

mod health;
mod serve;

use std::path::Path;

use data_encoding::HEXLOWER;
use sync_relay::Config;
use sync_relay::sqlite::{self, Overview};

use crate::Settings;
pub(crate) use health::health;
pub(crate) use serve::{Serve, serve};

pub(crate) fn check_config(settings: &Settings) -> anyhow::Result<()> {
    let config = settings.load()?;
    let Config { server, groups, metrics, .. } = &config;
    println!("the settings are fine");
    println!("listens on        {}", server.bind);
    println!("data              {}", config.database()?.display());
    let reached = server.public_url.as_deref().unwrap_or("at that address (server.public_url is not set)");
    println!("clients reach it  {reached}");
    let makers = if groups.access_token.is_some() { "by who has the access token" } else { "by anybody" };
    println!("groups are made   {makers}, up to {}", groups.max_groups);
    let proxies: Vec<_> = server.trusted_proxies.iter().map(ToString::to_string).collect();
    match proxies.as_slice() {
        [] => println!("proxies           none is trusted"),
        proxies => println!("proxies           {} by {}", proxies.join(", "), server.client_ip_header),
    }
    let own = metrics.bind.map(|address| format!(", for all at {address}")).unwrap_or_default();
    let token = if metrics.token.is_some() { ", with the token" } else { "" };
    println!("metrics           for this machine{token}{own}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn backup(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    let overview = sqlite::backup(&settings.load()?.database()?, file).await?;
    println!("{} is a whole copy:", file.display());
    show(&overview);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn restore(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    let database = settings.load()?.database()?;
    let restored = sqlite::restore(&database, file).await?;
    println!("{} holds what the copy held:", database.display());
    show(&restored.overview);
    if let Some(replaced) = restored.replaced {
        println!("what was there lies in {}", replaced.display());
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn stats(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let overview = sqlite::overview(&settings.load()?.database()?).await?;
    if !json {
        show(&overview);
        return Ok(());
    }
    let mut object = serde_json::to_value(overview.totals)?;
    object["relay_key"] = overview.key.to_string().into();
    object["store_id"] = HEXLOWER.encode(&overview.store_id.0).into();
    println!("{object}");
    Ok(())
}

fn show(overview: &Overview) {
    let totals = &overview.totals;
    println!("relay key     {}", overview.key);
    println!("store id      {}", HEXLOWER.encode(&overview.store_id.0));
    println!("groups        {}", totals.groups);
    println!("devices       {}", totals.devices);
    println!("blobs         {}", totals.blobs);
    println!("stored bytes  {}", totals.stored_bytes);
    println!("file bytes    {}, of them in use {}", totals.file_bytes, totals.used_bytes);
}
