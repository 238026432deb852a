/** Keeps an app's data in step on several devices of one person, through a relay that can read nothing. */

/** A place in the group's log: a whole number from 0 to 2^53 − 1. */
export type Cursor = number;

/** What `SyncClient.open` may be told. */
export interface OpenOptions {
  /** What people will call this device: 1 to 62 bytes of UTF-8. Default: "Browser". Counts only when the device is new. */
  name?: string;
  /** The relay's address, `https://relay.example`, optionally with its key: `https://relay.example#relay=KEY`.
   *  Not needed to join by a link. Default: none. */
  relay?: string;
  /** The name of the local store, one per device. Default: "sync-relay". */
  store?: string;
  /** For relays that create groups only for those they know. */
  accessToken?: string;
  /** Whether to connect at once, and stay connected. Default: true. */
  autoConnect?: boolean;
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

/** A push that is durable in this browser. */
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
  /** "ok"; or "full": the browser refuses to store more, pushes fail with STORAGE_FULL, nothing stored is lost. */
  readonly storage: "ok" | "full";
  /** Whether the browser has promised not to evict the store. */
  readonly persisted: boolean;
  /** Whether this tab leads: it alone seals and sends for all tabs of this store. */
  readonly leader: boolean;
}

/** What can be listened for. Every event also reaches "event", with its name. */
export interface SyncEvents {
  /** The relay let us in. Read now: blobs may have arrived before. */
  connected: {};
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
  inviteMisused: {};
  presenceChanged: { deviceId: string; online: boolean };
  /** Blobs up to this cursor expired before they were read. */
  historyTruncated: { upTo: Cursor };
  /** The relay started over with another database. Nothing that was read is read again. */
  relayReset: {};
  /** The relay started over for the second time within a day: nothing is pushed until `restore()`. */
  restoreWaits: {};
  /** A blob is not shown: it does not open, no member has announced its sender, or it came after its epoch was closed. */
  blobRefused: { cursor: Cursor; sender: string; why: "unreadable" | "notAMember" | "afterRemoval" };
  /** A sender's blobs do not follow each other as it pushed them: those from `from` to before `to`, counted from 0.
   *  The relay is to blame, or that device's store was copied. */
  chainBroken: {
    sender: string; cursor: Cursor; how: "missing" | "altered" | "reordered" | "repeated"; from: number; to: number;
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
  relayMisbehaved: {};
  /** `status()` gives something else now. */
  statusChanged: Status;
  /** This tab leads from now on, or no longer does. */
  leaderChanged: { leader: boolean };
  /** Something went wrong that no call can report. */
  error: SyncError;
}

/** What went wrong, for programs. */
export type ErrorCode =
  // What the caller did.
  | "BAD_ARGUMENT" | "NO_RELAY" | "NO_GROUP" | "ALREADY_IN_GROUP" | "TOO_LARGE" | "OUTBOX_FULL" | "INVITE_TOO_LARGE"
  | "INVITE_TEXT" | "NOTHING_TO_REVOKE" | "NO_SUCH_DEVICE" | "REMOVES_ITSELF" | "NOT_CONNECTED" | "CLOSED"
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
  // This browser.
  | "STORAGE_FULL" | "STORAGE" | "STATE" | "INSECURE_CONTEXT" | "UNSUPPORTED_BROWSER";

/** Every promise of this package rejects with one of these. Its `message` says what a person can do. */
export class SyncError extends Error {
  private constructor();
  readonly name: "SyncError";
  readonly code: ErrorCode;
  /** With TOO_MANY_REQUESTS: how long to wait before trying again, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** One device, in use. All tabs that open the same store are the same device. */
export class SyncClient {
  private constructor();
  /** Uses the device of the store, and makes it when there is none. Asks the browser not to evict it.
   *  Rejects with INSECURE_CONTEXT on pages without one, and UNSUPPORTED_BROWSER where something else is missing. */
  static open(options?: OpenOptions): Promise<SyncClient>;
  /** Whether there is a device in the store already. Makes nothing. */
  static exists(store?: string): Promise<boolean>;
  /** Erases the device of a store, its keys and what it had not sent. Every tab's client of it must be closed. */
  static erase(store?: string): Promise<void>;

  /** Connects and stays connected. Resolves once the relay has let this device in, or at once without a group. */
  connect(): Promise<void>;
  /** Closes the connection and stays away. */
  disconnect(): Promise<void>;
  /** Seals data for the group and stores it in the outbox; resolves once it is durable in this browser.
   *  The first push of a device in no group makes one. At most 1 MiB, or what the relay allows.
   *  `ttl`: seconds that the relay keeps it; 0: for ever; default: what the relay does. */
  push(data: Uint8Array | ArrayBuffer | string, options?: { ttl?: number }): Promise<PushReceipt>;
  /** Without a cursor: the next blobs of other devices (`pullSinceLastCursor`).
   *  With one: any page of the log after it, own blobs included; moves nothing. `limit` 0: 100. */
  pull(afterCursor?: Cursor, limit?: number): Promise<Page>;
  /** The next blobs of other devices. Says that the app has what this gave before. */
  pullSinceLastCursor(limit?: number): Promise<Page>;
  connectAndPull(): Promise<Page>;
  /** Says that the app durably has everything up to this cursor, usually a page's `maxCursor`. */
  ack(cursor: Cursor): Promise<void>;
  /** Waits until everything pushed is durable at the relay, also what a relay that was reset has to be
   *  given again. Rejects with TIMED_OUT, or RESTORE_WAITS (see `restore`). Default: 30 s. */
  flush(timeoutMs?: number): Promise<void>;
  flushAndDisconnect(timeoutMs?: number): Promise<void>;
  /** The group's devices. */
  devices(): Promise<DeviceInfo[]>;
  /** Makes an invite, and the group if there is none. */
  createInvite(): Promise<InviteHandle>;
  /** Takes an invite back that nobody has used; without one, the last of this device. */
  revokeInvite(invite?: InviteHandle): Promise<void>;
  /** Becomes a member by an invite's code, link or app URL. */
  join(linkOrCode: string): Promise<void>;
  /** Removes a device for good: the group gets a new key without it. With `keepHistory: false`, devices that join later
   *  are not given the keys of what was pushed before. Resolves when this device has the new key. */
  removeDevice(deviceId: string, options?: { keepHistory?: boolean }): Promise<void>;
  /** Gives the group a new key without removing anybody: shuts out whoever has an invite and has not joined. */
  rotate(options?: { keepHistory?: boolean }): Promise<void>;
  /** Agrees to push again what the relay has lost, after `restoreWaits`. */
  restore(): Promise<void>;
  /** Leaves the group for good: sends what is queued, tells the others and the relay. The store stays: `close` every
   *  tab's client, then `SyncClient.erase`. */
  leave(): Promise<void>;
  /** Erases the group at the relay, with everything in it, for all its devices. */
  deleteGroup(): Promise<void>;
  /** Accepts another key of the relay from now on. */
  trustRelay(key: string): Promise<void>;
  /** Tells that the network or the window came back. Done by itself on `online` and when the tab becomes visible. */
  woke(): void;
  status(): Status;
  readonly lastCursor: Cursor;
  /** Listens; gives a function that stops it. */
  on<K extends keyof SyncEvents>(event: K, listener: (detail: SyncEvents[K]) => void): () => void;
  /** Listens for every event. */
  on(event: "event", listener: (event: { name: keyof SyncEvents; detail: unknown }) => void): () => void;
  /** Disconnects and lets go of the store in this tab; another tab takes over. What was pushed stays. */
  close(): Promise<void>;
}
