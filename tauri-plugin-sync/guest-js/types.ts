// What the client takes and gives.

import type { SyncError } from "./error";

/** A place in the group's log: a whole number from 0 to 2^53 − 1. */
export type Cursor = number;

/** What counts when the device is new. What is left out is what the plugin's `Builder` says. */
export interface OpenOptions {
  /** What people will call this device: 1 to 62 bytes of UTF-8. */
  name?: string;
  /** The relay's address, `https://relay.example`, optionally with its key: `https://relay.example#relay=KEY`. */
  relay?: string;
  /** For relays that create groups only for those they know. */
  accessToken?: string;
}

/** One blob of the group's log, opened. */
export interface Blob {
  readonly cursor: Cursor;
  /** 32 hexadecimal digits. */
  readonly blobId: string;
  /** The device that pushed it, base64url. */
  readonly sender: string;
  /** When the relay stored it, by the relay's clock. */
  readonly timestamp: Date;
  readonly data: Uint8Array;
  /** The data as UTF-8; what is not UTF-8 becomes U+FFFD. */
  text(): string;
}

/** Blobs of the group's log, ascending. */
export interface Page {
  readonly blobs: Blob[];
  /** How far this page reaches: acknowledge this cursor. */
  readonly maxCursor: Cursor;
  readonly hasMore: boolean;
}

/** A push that is durable on this device. */
export interface PushReceipt {
  /** 32 hexadecimal digits. */
  readonly blobId: string;
  /** Waits until the relay has stored it durably; gives its cursor. Rejects when the relay refuses it for good. */
  acked(): Promise<Cursor>;
}

/** An invite for one device, for ten minutes. Whoever has its code or link becomes a member. */
export interface InviteHandle {
  /** The code to type: `K7QM-2XRT-9F3H-W8ND`. */
  readonly code: string;
  /** The link to press, or to show as a QR. It opens the relay's page. */
  readonly link: string;
  /** The link to a page of your own at `PAGE/join`: it names the relay behind the key. */
  linkTo(page: string): string;
  /** The URL for a QR that an app with a scheme of its own reads: `SCHEME://sync?invite=…`. */
  appUrl(scheme: string): string;
  readonly expiresAt: Date;
}

/** One device of the group. */
export interface DeviceInfo {
  readonly deviceId: string;
  readonly name: string | null;
  readonly platform: string | null;
  readonly ackedCursor: Cursor;
  readonly lastSeen: Date;
  readonly online: boolean;
  readonly thisDevice: boolean;
  /** Whether it is in the group's own roster. One that is not is just joining, or has used an invite without
   *  announcing itself, or the relay has made it up. */
  readonly member: boolean;
}

/** Where the connection stands. */
export type Connection =
  /** Not connected, and nothing is being tried: no group yet, or `disconnect` was called. */
  | "off"
  /** A connection is being made, or will be tried again. */
  | "connecting"
  /** The relay has let us in. */
  | "online"
  /** No attempt will be made until somebody acts: see `stopped`. */
  | "stopped";

/** How things stand. */
export interface Status {
  readonly connection: Connection;
  /** Why no attempt is made, when `connection` is "stopped". */
  readonly stopped: SyncError | null;
  readonly deviceId: string;
  readonly name: string;
  /** Base64url; null while in no group. */
  readonly groupId: string | null;
  readonly relay: string | null;
  readonly relayKey: string | null;
  /** Up to here the app has everything. */
  readonly lastCursor: Cursor;
  /** The newest cursor heard of. */
  readonly maxCursor: Cursor;
  /** The number of the group's newest key that this device has; null while in no group. */
  readonly epoch: number | null;
  /** Twelve characters that are the same on two devices if both have the same newest key. */
  readonly fingerprint: string | null;
  /** Pushes that wait in the outbox. */
  readonly pendingPush: number;
  /** Seconds that the relay keeps a blob by default; 0: for ever; null: not known yet. */
  readonly defaultTtl: number | null;
  /** As in a browser, where there are other words. */
  readonly storage: "ok";
  /** As in a browser: nobody evicts an app's data. */
  readonly persisted: true;
  /** Whether this window leads: it alone should read for the app. */
  readonly leader: boolean;
}

/** What can be listened for. Every event also reaches "event", with its name. */
export interface SyncEvents {
  /** The relay let us in. Read now: blobs may have arrived before. */
  connected: Record<string, never>;
  /** The connection ended, or could not be made; `stopped` says why no other attempt will be made, if so. */
  disconnected: { stopped: SyncError | null };
  /** Another device's blob is there to be read. */
  blobAvailable: { cursor: Cursor; blobId: string; sender: string };
  /** A push of this device is durable at the relay. */
  pushAcked: { blobId: string; cursor: Cursor };
  /** The relay refuses a push for good; it was taken out of the outbox. */
  pushRejected: { blobId: string; code: ErrorCode };
  /** Pushes wait because the relay is full. */
  relayFull: { code: ErrorCode; message: string };
  deviceJoined: { deviceId: string; name: string; platform: string };
  /** A device was removed by another one, or left (`by` is null); this one, too. */
  deviceRemoved: { deviceId: string; by: string | null };
  /** The group has a new key, and this device has it. */
  keyRotated: { epoch: number; by: string };
  /** A device is at the relay that no member has announced for two minutes, or a rotation has brought it in without a name:
   *  removing it shuts it out. */
  unknownDevice: { deviceId: string };
  /** An invite of this device's was taken and nobody has announced himself: rotating shuts them out. */
  inviteMisused: Record<string, never>;
  presenceChanged: { deviceId: string; online: boolean };
  /** Blobs up to this cursor expired before they were read. */
  historyTruncated: { upTo: Cursor };
  /** The relay started over with another database. Nothing that was read is read again. */
  relayReset: Record<string, never>;
  /** The relay started over for the second time within a day: nothing is pushed until `restore()`. */
  restoreWaits: Record<string, never>;
  /** A blob is not shown: it does not open, no member has announced its sender, or it came after its epoch was closed. */
  blobRefused: { cursor: Cursor; sender: string; why: "unreadable" | "notAMember" | "afterRemoval" };
  /** A sender's blobs do not follow each other as it pushed them: those from `from` to before `to`, counted from 0. */
  chainBroken: {
    sender: string;
    cursor: Cursor;
    how: "missing" | "altered" | "reordered" | "repeated";
    from: number;
    to: number;
  };
  /** Another device was shown another log than this one: the relay lies to one of both. */
  forked: { witness: string; cursor: Cursor };
  /** What looks like a new key of the group is none; nothing has changed. */
  rotationRefused: { cursor: Cursor; sender: string };
  /** The relay says that the group has a newer key, and does not show it. */
  rotationWithheld: { epoch: number };
  /** A push that waits has another id from now on; its receipt goes on. */
  pushRenamed: { from: string; to: string };
  /** The relay broke the protocol; the connection is made anew. */
  relayMisbehaved: Record<string, never>;
  /** `status()` gives something else now. */
  statusChanged: Status;
  /** This window leads from now on. */
  leaderChanged: { leader: boolean };
  /** Another window, or the app itself, has left the group or erased the device: this client is closed. */
  error: SyncError;
}

/** What went wrong, for programs. */
export type ErrorCode =
  // What the caller did.
  | "BAD_ARGUMENT" | "NOT_ALLOWED" | "NO_RELAY" | "NO_GROUP" | "ALREADY_IN_GROUP" | "TOO_LARGE" | "OUTBOX_FULL"
  | "INVITE_TOO_LARGE" | "INVITE_TEXT" | "NOTHING_TO_REVOKE" | "NO_SUCH_DEVICE" | "REMOVES_ITSELF" | "NOT_CONNECTED"
  | "CLOSED" | "NO_DEVICE" | "DEVICE_EXISTS" | "OTHER_DEVICE" | "BUSY"
  // Reaching the relay.
  | "UNREACHABLE" | "TIMED_OUT"
  // What the relay says, or is.
  | "RELAY_KEY_CHANGED" | "DOWNGRADED" | "TOO_MANY_REQUESTS" | "MALFORMED" | "RELAY_RESET" | "RESTORE_WAITS"
  // The group, and this device in it.
  | "REMOVED" | "LEFT"
  // Refusals of the relay, by the protocol's names.
  | "REFUSED" | "BAD_REQUEST" | "UNSUPPORTED_VERSION" | "UNAUTHENTICATED" | "DEVICE_REVOKED" | "RATE_LIMITED"
  | "BLOB_TOO_LARGE" | "GROUP_STORAGE_FULL" | "STORAGE_FULL_RELAY" | "GROUP_LIMIT" | "EPOCH_STALE" | "NOT_FOUND"
  | "CONFLICT" | "UNAVAILABLE" | "GROUP_CREATION_DENIED" | "REPLACED" | "GROUP_DELETED" | "DEVICE_EXPIRED"
  | "EPOCH_UNKNOWN" | "BEHIND"
  // Invites.
  | "INVITE_NOT_FOUND" | "INVITE_EXPIRED" | "INVITE_USED" | "INVITE_DAMAGED"
  // This machine.
  | "STORAGE" | "STATE";
