-- Everything a relay keeps. Times are milliseconds since 1970 UTC, sizes are bytes.

-- The relay's key pair, the store's id. One file to back up.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums that would cost a scan. One row.
CREATE TABLE totals (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    blobs INTEGER NOT NULL
) STRICT;
INSERT INTO totals (id, blobs) VALUES (1, 0);

-- When the store was last cleaned up. One row.
CREATE TABLE cleanup (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    -- When the last one began; NULL before the first.
    began_at      INTEGER,
    -- Until when nothing goes for its age.
    patient_until INTEGER NOT NULL
) STRICT;
INSERT INTO cleanup (id, patient_until) VALUES (1, 0);

-- What the groups of each origin take.
CREATE TABLE origins (
    origin INTEGER PRIMARY KEY,
    groups INTEGER NOT NULL DEFAULT 0,
    bytes  INTEGER NOT NULL DEFAULT 0
) STRICT;
WITH RECURSIVE byte (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM byte WHERE n < 255)
INSERT INTO origins (origin) SELECT n FROM byte;

CREATE TABLE groups (
    group_no      INTEGER PRIMARY KEY,
    -- NULL once the group is gone: what is left of it is erased bit by bit.
    group_id      BLOB UNIQUE,
    -- The newest epoch that key_log reaches.
    epoch         INTEGER NOT NULL,
    -- The cursor of the newest blob, whether it is still here or not: none is given twice.
    max_cursor    INTEGER NOT NULL DEFAULT 0,
    -- 1 + the highest cursor that was dropped without a trace before every device had it.
    oldest_cursor INTEGER NOT NULL DEFAULT 1,
    stored_bytes  INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    -- One of 256 heaps of addresses; NULL if it was made on the relay's own machine.
    origin        INTEGER REFERENCES origins,
    -- Last, since it may be long and is rarely read.
    key_log       BLOB NOT NULL
) STRICT;

CREATE TRIGGER group_made AFTER INSERT ON groups WHEN new.origin IS NOT NULL BEGIN
    UPDATE origins SET groups = groups + 1, bytes = bytes + new.stored_bytes WHERE origin = new.origin;
END;
CREATE TRIGGER group_grown AFTER UPDATE OF stored_bytes ON groups
WHEN new.origin IS NOT NULL AND new.stored_bytes <> old.stored_bytes BEGIN
    UPDATE origins SET bytes = bytes + new.stored_bytes - old.stored_bytes WHERE origin = new.origin;
END;
CREATE TRIGGER group_dissolved AFTER UPDATE OF group_id ON groups
WHEN new.origin IS NOT NULL AND new.group_id IS NULL AND old.group_id IS NOT NULL BEGIN
    UPDATE origins SET groups = groups - 1 WHERE origin = new.origin;
END;
CREATE TRIGGER group_erased AFTER DELETE ON groups WHEN old.origin IS NOT NULL BEGIN
    UPDATE origins SET groups = groups - (old.group_id IS NOT NULL), bytes = bytes - old.stored_bytes
    WHERE origin = old.origin;
END;

CREATE TABLE devices (
    device_no    INTEGER PRIMARY KEY,
    group_no     INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
    device_id    BLOB NOT NULL,
    sealed_name  BLOB NOT NULL,
    -- Everything up to here is durably the device's own.
    acked_cursor INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    -- The highest epoch of which it is known to be a member.
    epoch        INTEGER NOT NULL,
    -- 0: present; 1: removed; 2: away for too long. It is kept so that it cannot come back unnoticed.
    standing     INTEGER NOT NULL DEFAULT 0 CHECK (standing IN (0, 1, 2)),
    UNIQUE (group_no, device_id)
) STRICT;

CREATE TABLE blobs (
    id         INTEGER PRIMARY KEY,
    group_no   INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
    cursor     INTEGER NOT NULL,
    blob_id    BLOB NOT NULL,
    -- No reference: it would make each removal of a device look through all blobs.
    device_no  INTEGER NOT NULL,
    -- SHA-256 of the payload: answers a retry, and stays when the payload has expired.
    hash       BLOB NOT NULL,
    stored_at  INTEGER NOT NULL,
    -- Never, if NULL.
    expires_at INTEGER,
    -- Whether it goes once every device has it.
    marked     INTEGER NOT NULL DEFAULT 0 CHECK (marked IN (0, 1)),
    -- NULL once it has expired before every device had it: what is left is a stub.
    payload    BLOB,
    UNIQUE (group_no, cursor),
    UNIQUE (group_no, blob_id)
) STRICT;

-- What has expired.
CREATE INDEX blobs_by_expiry ON blobs (expires_at) WHERE expires_at IS NOT NULL;
-- What may go for room.
CREATE INDEX blobs_for_room ON blobs (group_no, cursor) WHERE expires_at IS NOT NULL;
-- What goes once every device has it.
CREATE INDEX blobs_to_go ON blobs (group_no, cursor) WHERE payload IS NULL OR marked = 1;

-- Groups that were deleted, and until when they are remembered: a device that slept would bring one back.
CREATE TABLE tombstones (
    group_id BLOB PRIMARY KEY,
    until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_end ON tombstones (until);

CREATE TABLE invites (
    lookup_key        TEXT PRIMARY KEY,
    expires_at        INTEGER NOT NULL,
    revoke_token_hash BLOB NOT NULL,
    claimed_at        INTEGER,
    -- SHA-256 of the claimer's own id, by which it may repeat the call for a minute.
    claim_id_hash     BLOB,
    -- NULL once it was given to a claimer that cannot repeat the call.
    payload           BLOB
) STRICT, WITHOUT ROWID;
