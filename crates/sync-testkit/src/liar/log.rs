//! What a lying relay does to its log.

use sync_types::{BlobHash, StoredBlob};

/// The hash of a blob or a stub.
pub fn hash_of(blob: &StoredBlob) -> BlobHash {
    blob.payload.as_deref().map_or_else(|| blob.hash.expect("a stub has a hash"), sync_e2ee::blob::hash)
}

/// The blob's payload has expired.
pub fn into_stub(blob: &mut StoredBlob) {
    (blob.hash, blob.payload) = (Some(hash_of(blob)), None);
}

/// Gives the blobs of a log the cursors from the first one on, without gaps.
pub fn renumber(log: &mut [StoredBlob]) {
    let mut cursor = log.iter().map(|blob| blob.cursor).min().unwrap_or_default();
    for blob in log {
        blob.cursor = cursor;
        cursor = cursor.next();
    }
}
