//! Writes the inputs that the fuzz targets start from into `fuzz/corpus`; `cargo xtask fuzz --seeds` runs it.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use sync_testkit::fuzz::TARGETS;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in TARGETS {
        let dir = corpus.join(target.name);
        fs::create_dir_all(&dir)?;
        for seed in (target.seeds)() {
            // Named after what is in it, as libFuzzer names its own.
            let name: String = Sha256::digest(&seed)[..20].iter().map(|byte| format!("{byte:02x}")).collect();
            fs::write(dir.join(name), seed)?;
        }
    }
    Ok(())
}
