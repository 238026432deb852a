//! What makes the first megabyte no slower than the second.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sync_e2ee::{at_rest, blob};
use zeroize::Zeroizing;

use crate::browser::breathe;

/// What is done at a time, in bytes: about three milliseconds' work for code that was compiled in haste.
const PIECE: usize = 32 * 1024;
/// After so many pieces the good code has been asked for everywhere.
const PIECES: usize = 8;

/// Works the ciphers and the hash until the browser has compiled them well. It compiles in haste at first,
/// ten times slower code, and does not change over within a call: the first page of a log would keep the
/// web page from answering for as long as it takes to notice.
pub(crate) async fn warm_up() {
    // Nobody's secrets: what is sealed is thrown away.
    let key = Zeroizing::new([0; 32]);
    let Ok(sealed) = at_rest::seal(&key, &[], &[0; PIECE], &mut ChaCha20Rng::from_seed([0; 32])) else {
        return;
    };
    for _ in 0..PIECES {
        breathe().await;
        std::hint::black_box((at_rest::open(&key, &[], &sealed).is_ok(), blob::hash(&sealed)));
    }
}
