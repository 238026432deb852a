//! What goes to stdout: one JSON object, or text for people. Everything else goes to stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::Value;

/// Prints one JSON object on a line of its own.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

/// Says something to a person, not to a script.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("{text}");
}

/// Whether a person looks at stdout.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A text as it may be shown in a terminal: without what would steer it.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A QR in half blocks, dark on light whatever the terminal's colours are.
pub(crate) fn qr(text: &str) -> Option<String> {
    let code = QrCode::new(text.as_bytes()).ok()?;
    let picture = code
        .render::<Dense1x2>()
        // What is drawn is the light: right on a dark terminal also without colours.
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(picture.lines().map(|line| format!("\x1b[97;40m{line}\x1b[0m\n")).collect())
}

/// A bar on stderr for what takes long; nothing when nobody looks.
pub(crate) fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

/// A sign of life on stderr for what waits; nothing when nobody looks.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target()).with_message(what);
    spinner.set_style(ProgressStyle::default_spinner());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// A time of the relay's as `2026-01-31 12:00:00` (UTC).
pub(crate) fn time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, after Howard Hinnant: eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(time(1_767_225_599_999), "2025-12-31 23:59:59");
    }

    #[test]
    fn texts_of_others_do_not_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\nc\td"), "a\u{fffd}[31mb\nc\td");
    }

    #[test]
    fn a_link_fits_a_terminal_as_qr() {
        let link = format!("https://relay.example/join#v1.{}.{}", "0".repeat(26), "A".repeat(43));
        let picture = qr(&link).unwrap_or_default();
        assert!(picture.lines().count() <= 26, "{} lines", picture.lines().count());
        let margin = picture.lines().next().unwrap_or_default().trim_start_matches("\u{1b}[97;40m");
        assert!(margin.starts_with("███"), "light is what is drawn: {margin}");
    }
}
