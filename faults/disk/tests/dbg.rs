use sync_faults_disk::relay::{Cut, Life, Settings};
#[tokio::test]
async fn dbg() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = 0;
    for seed in 0..8 {
        let life = Life::lived(folder.path(), Settings { seed, batches: 120, plant: None }).await.unwrap();
        for n in 0..3 {
            if let Err(e) = life.cut(folder.path(), Cut { seed: n, again: false }).await {
                println!("{seed} {n} {e}");
                bad += 1;
            }
        }
    }
    println!("bad {bad}");
}
