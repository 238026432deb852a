//! Reads the app's configuration, and what its windows may do.

fn main() {
    tauri_build::build();
}
