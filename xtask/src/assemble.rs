//! The page that a relay carries: `web-demo` and the browser's client, put together in `web-demo/dist`.
//!
//! Everything that a version of the page is made of lies in one folder named after its contents, so it may be
//! kept for ever; the few files around it say which version counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::page::build_wasm;
use crate::run::root;

/// What a browser may have to load before the page works, wasm and JavaScript together, compressed.
const BUDGET: usize = 250_000;

/// What a version consists of: a folder of this repository, and where it goes.
const PARTS: [(&str, &str); 2] = [("web-demo/src", ""), ("web-demo/vendor", "vendor/")];
/// Where the browser's client goes.
const CLIENT: &str = "sync/";
/// The picture that the page itself shows.
const ICON: &str = "icon.svg";
/// Files that are sent as they are, compressed already or hardly ever asked for.
const NOT_COMPRESSED: [&str; 2] = ["png", "md"];
/// What is filled in.
const VERSION: &str = "{{version}}";
const PRELOAD: &str = "    <!-- {{preload}} -->\n";
const PRECACHE: &str = "[/* {{precache}} */]";

/// Files by their name under `dist`.
type Files = BTreeMap<String, Vec<u8>>;

/// Builds the browser's client and puts the page together; gives its folder.
pub(crate) fn build() -> Result<PathBuf> {
    assemble(&root(), &build_wasm()?)
}

/// Puts the page together. Leaves everything alone when nothing has changed, so that no relay is built again.
fn assemble(root: &Path, client: &Path) -> Result<PathBuf> {
    let source = root.join("web-demo");
    let mut parts = Files::new();
    for (folder, place) in PARTS {
        collect(&root.join(folder), place, &mut parts)?;
    }
    collect(client, CLIENT, &mut parts)?;
    // Beside its fixed place, where the browser looks for it, also with the rest of the version, for off-line starts.
    parts.insert(ICON.to_owned(), fs::read(source.join("icons").join(ICON))?);
    parts.retain(|name, _| !name.ends_with(".d.ts") && !name.starts_with("sync/LICENSE"));
    ensure!(parts.contains_key("sync/index.js"), "{} holds no index.js", client.display());

    let read = |name: &str| {
        let path = source.join(name);
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let (index, worker) = (read("index.html")?, read("sw.js")?);
    let version = version(&parts, [&index, &worker]);

    let mut files = Files::new();
    files.insert("index.html".to_owned(), fill(&index, PRELOAD, &preload(&parts), &version)?);
    files.insert("sw.js".to_owned(), fill(&worker, PRECACHE, &precache(&parts)?, &version)?);
    files.insert("manifest.webmanifest".to_owned(), read("manifest.webmanifest")?.into_bytes());
    collect(&source.join("icons"), "icons/", &mut files)?;
    files.retain(|name, _| !name.ends_with(".mjs"));
    for (name, bytes) in parts {
        files.insert(format!("assets/{version}/{name}"), bytes);
    }

    let dist = source.join("dist");
    if !is_there(&dist, &files) {
        compress(&mut files)?;
        write(&dist, &files)?;
    }
    weigh(&dist)?;
    println!("{} holds version {version}", dist.display());
    Ok(dist)
}

/// Prints what a browser loads of the page, compressed, and fails when that is too much.
fn weigh(dist: &Path) -> Result<()> {
    let mut files = Files::new();
    collect(&dist.join("assets"), "", &mut files)?;
    let (mut start, mut later) = (0, 0);
    for (name, bytes) in &files {
        // The smaller of both forms.
        let compressed = files.get(&format!("{name}.br")).unwrap_or(bytes).len();
        if !name.ends_with(".js") && !name.ends_with(".wasm") {
            continue;
        }
        let when = if is_for_later(name) { &mut later } else { &mut start };
        *when += compressed;
    }
    println!("the page starts with {start} bytes of wasm and JavaScript, with brotli, of at most {BUDGET}");
    println!("and loads {later} more when QR codes are drawn or read, and codes derived");
    ensure!(start <= BUDGET, "the page starts with {} bytes too much", start - BUDGET);
    Ok(())
}

/// The files of a folder and those below it.
fn collect(folder: &Path, place: &str, files: &mut Files) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("names of files are UTF-8")?;
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{place}{name}/"), files)?;
        } else {
            files.insert(format!("{place}{name}"), fs::read(&path)?);
        }
    }
    Ok(())
}

/// A name for these contents: others have another.
fn version(parts: &Files, templates: [&String; 2]) -> String {
    let mut hash = Sha256::new();
    let templates = templates.into_iter().map(|text| ("", text.as_bytes()));
    for (name, bytes) in parts.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).chain(templates) {
        for part in [name.as_bytes(), bytes] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn fill(template: &str, mark: &str, with: &str, version: &str) -> Result<Vec<u8>> {
    ensure!(template.contains(mark), "a file of web-demo lacks its mark {mark:?}");
    Ok(template.replace(mark, with).replace(VERSION, version).into_bytes())
}

/// The modules that the page starts with, so that none waits for another to name it.
fn preload(parts: &Files) -> String {
    let starts =
        |name: &&String| name.ends_with(".js") && !is_for_later(name) && name.as_str() != "fragment.js";
    let line = |name| format!("    <link rel=\"modulepreload\" href=\"assets/{VERSION}/{name}\">\n");
    parts.keys().filter(starts).map(line).collect()
}

/// Whether the page works before it has this.
fn is_for_later(name: &str) -> bool {
    name.contains("vendor/") || name.contains("worker")
}

/// What the page needs off-line, as JavaScript.
fn precache(parts: &Files) -> Result<String> {
    let needed = parts.keys().filter(|name| !name.ends_with(".md") && !name.contains("LICENSE"));
    Ok(serde_json::to_string_pretty(&needed.collect::<Vec<_>>())?)
}

/// Whether a folder holds these files already, and their compressed forms.
fn is_there(dist: &Path, files: &Files) -> bool {
    let mut found = Files::new();
    if collect(dist, "", &mut found).is_err() {
        return false;
    }
    found.retain(|name, _| !name.ends_with(".br"));
    found == *files
}

/// Adds the compressed form of everything that gets smaller by it.
fn compress(files: &mut Files) -> Result<()> {
    let mut compressed = Files::new();
    for (name, bytes) in files.iter() {
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        if NOT_COMPRESSED.contains(&end) || !end.chars().all(|c| c.is_ascii_lowercase()) {
            continue;
        }
        let mut small = Vec::new();
        let params = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
        brotli::BrotliCompress(&mut &bytes[..], &mut small, &params)?;
        if small.len() < bytes.len() {
            compressed.insert(format!("{name}.br"), small);
        }
    }
    files.extend(compressed);
    Ok(())
}

fn write(dist: &Path, files: &Files) -> Result<()> {
    if dist.exists() {
        fs::remove_dir_all(dist).with_context(|| format!("{} cannot be emptied", dist.display()))?;
    }
    for (name, bytes) in files {
        let path = dist.join(name);
        fs::create_dir_all(path.parent().unwrap_or(dist))?;
        fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().unwrap();
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        write(folder.path(), &files.collect()).unwrap();
        folder
    }

    const SOURCES: [(&str, &str); 9] = [
        (
            "web-demo/index.html",
            "<script src=\"assets/{{version}}/fragment.js\">\n    <!-- {{preload}} -->\n",
        ),
        ("web-demo/sw.js", "const V = \"{{version}}\", FILES = [/* {{precache}} */];"),
        ("web-demo/manifest.webmanifest", "{}"),
        ("web-demo/icons/icon.svg", "<svg/>"),
        ("web-demo/icons/make.mjs", "draws"),
        ("web-demo/src/main.js", "import \"./ui/a.js\""),
        ("web-demo/src/ui/a.js", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("web-demo/vendor/qr/LICENSE", "free"),
        ("pkg/index.js", "export {}"),
    ];

    #[test]
    fn a_version_is_named_after_its_contents() {
        let root = tree(&SOURCES);
        let dist = assemble(root.path(), &root.path().join("pkg")).unwrap();
        let mut files = Files::new();
        collect(&dist, "", &mut files).unwrap();
        let index = String::from_utf8(files["index.html"].clone()).unwrap();
        let version = index.split('/').nth(1).unwrap().to_owned();
        assert_eq!(version.len(), 16, "{index}");
        assert!(index.contains(&format!("<link rel=\"modulepreload\" href=\"assets/{version}/ui/a.js\">")));
        let worker = String::from_utf8(files["sw.js"].clone()).unwrap();
        assert!(worker.contains(&version) && worker.contains("\"sync/index.js\""), "{worker}");
        assert!(!worker.contains("LICENSE") && !worker.contains("{{"), "{worker}");
        for name in ["main.js", "ui/a.js.br", "vendor/qr/LICENSE", "sync/index.js"] {
            assert!(files.contains_key(&format!("assets/{version}/{name}")), "{name}");
        }
        assert!(files.contains_key("icons/icon.svg") && !files.contains_key("icons/make.mjs"));

        let before = fs::metadata(dist.join("index.html")).unwrap().modified().unwrap();
        assemble(root.path(), &root.path().join("pkg")).unwrap();
        let after = fs::metadata(dist.join("index.html")).unwrap().modified().unwrap();
        assert_eq!(before, after, "what has not changed is not written again");

        fs::write(root.path().join("pkg/index.js"), "export { other }").unwrap();
        assemble(root.path(), &root.path().join("pkg")).unwrap();
        assert!(!dist.join("assets").join(&version).exists(), "other contents, another version");
    }

    #[test]
    fn a_page_without_its_client_is_refused() {
        let root = tree(&SOURCES[..8]);
        fs::create_dir(root.path().join("pkg")).unwrap();
        assert!(assemble(root.path(), &root.path().join("pkg")).is_err());
    }
}
