//! Migrations and the page are compiled in, so new ones mean a new build.
fn main() {
    println!("cargo:rerun-if-changed=../migrations/sqlite");
    // A path that is not there counts as changed each time: so wait in the folder where it will appear.
    let page = std::path::Path::new("../web-demo/dist");
    let watched = if page.is_dir() { page } else { std::path::Path::new("../web-demo") };
    println!("cargo:rerun-if-changed={}", watched.display());
}
