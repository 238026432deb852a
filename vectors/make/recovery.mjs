// recovery.json: groups that come from words: recovery files and passphrases.

import { ascii, hex, repeat, u32be, unhex } from './bytes.mjs';
import { publicKey, sign } from './keys.mjs';
import { groupOf, invite, schedule } from './members.mjs';
import * as m from './msgpack.mjs';
import { seal } from './xchacha.mjs';

const PHRASE = 'abacus yo-yo zoom absurd t-shirt zit';
const salt = unhex('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf');
const nonce = unhex('000102030405060708090a0b0c0d0e0f1011121314151617');

// Node has no Argon2, so these are of the reference implementation in C (version 0x13, 64 MiB, 3 passes,
// 4 lanes, 32 bytes): of the phrase and the salt above, and of each passphrase and its group's name.
const KEY = unhex('c967d7245d7ce7f4901fff69f891f13642fb9e6f4997cb912c9eb899b54de0a2');
const PASSPHRASES = [
  ['four words', 'home', 'correct horse battery staple',
    '8d42bca76d064a6303d5591b54f69378bceecc19fbc36804b325c6cfe20ea316'],
  ['white space around does not count', ' home\n', '\tcorrect horse battery staple\u3000',
    '8d42bca76d064a6303d5591b54f69378bceecc19fbc36804b325c6cfe20ea316'],
  ['white space inside counts', 'home', 'correct horse  battery staple',
    '88671f72da7f8829af57b8245eeae2718738ed497f23c52456b62f2dc3eb9289'],
  ['capitals count', 'Home', 'Correct horse battery staple',
    '892e19987559003c510eb0d77671a42497bfdf529f4ee16c1aa5eca052165f88'],
  ['letters past ASCII, composed', 'zuh\u00e4use', 'gr\u00fc\u00dfe aus \u6771\u4eac',
    '47eb233fafe2e51deaf6ae0982f48b51c0351c72ad966b66890c57507605d22c'],
  ['the same, decomposed, is another group', 'zuha\u0308use', 'gru\u0308\u00dfe aus \u6771\u4eac',
    '7b5d46f97a8175e2a323cb99a1b0d3b96de02ca58df8a1ddaa11fefa40f897c9'],
  ['no name', '', 'correct horse battery staple',
    '39ecab2b19a3209c9c819a47b19f7fbd4c1e9b8f10c387ddbf389a1c83bbc022'],
];

function phrases() {
  const accept = (name, text, canonical = PHRASE) => ({ case: name, text, canonical });
  const refuse = (name, text, error, at) => ({ case: name, text, error, ...at });
  return {
    accepted: [
      accept('as it is shown', PHRASE),
      accept('in capitals', PHRASE.toUpperCase()),
      accept('with hyphens for spaces', PHRASE.replaceAll(' ', '-')),
      accept('without the hyphens inside words', PHRASE.replaceAll('-', ' ')),
      accept('with white space of every kind', `\n ${PHRASE.replaceAll(' ', ' \t\r\n\u00a0\u3000')} `),
      accept('the first word of the list', 'abacus '.repeat(6), 'abacus abacus abacus abacus abacus abacus'),
      accept('the last word of the list', 'zoom '.repeat(6), 'zoom zoom zoom zoom zoom zoom'),
      accept('words with hyphens in a row', 'yo yo yo-yo yo yo felt tip drop-down t-shirt', 'yo-yo yo-yo yo-yo felt-tip drop-down t-shirt'),
    ],
    refused: [
      refuse('nothing', '', 'WordCount', { found: 0 }),
      refuse('hyphens only', ' - -- ', 'WordCount', { found: 0 }),
      refuse('a word too few', 'abacus yo-yo zoom absurd t-shirt', 'WordCount', { found: 5 }),
      refuse('a word too many', `${PHRASE} zit`, 'WordCount', { found: 7 }),
      refuse('an unknown word', 'abacus yo-yo zoom xylograph t-shirt zit', 'UnknownWord', { position: 4 }),
      refuse('an unknown word at the end', 'abacus yo-yo zoom absurd t-shirt qwerty', 'UnknownWord', { position: 6 }),
      refuse('two unknown words', 'qwerty yo-yo zoom xylograph t-shirt zit', 'UnknownWord', { position: 1 }),
      refuse('half a word with a hyphen', 'abacus yo zoom absurd t-shirt zit', 'UnknownWord', { position: 2 }),
      refuse('a word of another script', 'abacus yo-yo zoom absurd t-shirt z\u0456t', 'UnknownWord', { position: 6 }),
      refuse('a comma behind a word', 'abacus, yo-yo zoom absurd t-shirt zit', 'UnknownWord', { position: 1 }),
    ],
  };
}

function files() {
  const secret = repeat(0x5e, 32);
  const next = repeat(0x5f, 32);
  const [keys, nextKeys] = [schedule(secret), schedule(next)];
  const group = groupOf(keys.auth);
  const device = hex(publicKey('x25519', repeat(0x77, 32)));
  const good = {
    relay: 'https://relay.example',
    relay_key: '11'.repeat(32),
    group_id: hex(group),
    key_log: { genesis: hex(keys.auth), links: [] },
    epoch: 0,
    secret: hex(secret),
    history: [],
    roster: [{ device_id: device, name: 'ada', platform: 'linux', tips: [{ chain_id: 'c0'.repeat(16), seq: 3, hash: '4a'.repeat(32) }] }],
    seen: { store_id: '57'.repeat(16), cursor: 299, head: '4e'.repeat(32) },
    created_by: device,
    expires: 0,
  };
  const content_hash = 'c0'.repeat(32);
  const statement = Buffer.concat([ascii('sync-relay rotate v1'), group, u32be(1), nextKeys.auth, unhex(content_hash)]);
  const rotated = {
    ...good,
    key_log: { ...good.key_log, links: [{ auth_key: hex(nextKeys.auth), content_hash, signature: hex(sign(keys.seed, statement)) }] },
    epoch: 1,
    secret: hex(next),
    history: [{ epoch: 0, secret: hex(secret) }],
  };
  const file = (plaintext, magic = 'SYNCRCV1') => {
    const header = Buffer.concat([ascii(magic), salt]);
    return Buffer.concat([header, seal(KEY, nonce, header, plaintext)]);
  };
  const accept = (name, fields, phrase = PHRASE) => (
    { case: name, phrase, salt: hex(salt), nonce: hex(nonce), fields, file: hex(file(invite(fields))) });
  const refuse = (name, error, bytes, phrase = PHRASE) => ({ case: name, phrase, file: hex(bytes), error });
  const flip = (bytes, at) => { const out = Buffer.from(bytes); out[at < 0 ? out.length + at : at] ^= 1; return out; };
  const sealed = file(invite(good));
  return {
    accepted: [
      accept('of a group of one', good),
      accept('of a group that was rotated, its phrase in capitals', rotated, PHRASE.toUpperCase()),
    ],
    refused: [
      refuse('nothing', 'UnknownFormat', Buffer.alloc(0)),
      refuse('shorter than a header', 'UnknownFormat', sealed.subarray(0, 23)),
      refuse('another format', 'UnknownFormat', file(invite(good), 'SYNCRCV2')),
      refuse('a header and nothing else', 'Decrypt', sealed.subarray(0, 24)),
      refuse('another phrase', 'Decrypt', sealed, 'zit yo-yo zoom absurd t-shirt abacus'),
      refuse('another salt', 'Decrypt', flip(sealed, 8)),
      refuse('another nonce', 'Decrypt', flip(sealed, 24)),
      refuse('another ciphertext', 'Decrypt', flip(sealed, 60)),
      refuse('cut short', 'Decrypt', sealed.subarray(0, sealed.length - 1)),
      refuse('another secret than its key log', 'Malformed', file(invite({ ...good, secret: hex(next) }))),
      refuse('an earlier secret that is not of its epoch', 'Malformed', file(invite({ ...rotated, history: [{ epoch: 0, secret: hex(next) }] }))),
      refuse('bytes behind it', 'Malformed', file(Buffer.concat([invite(good), m.nil]))),
      refuse('larger than any', 'TooLarge', Buffer.alloc(2 * 1024 * 1024 + 1)),
    ],
  };
}

function passphrases() {
  return PASSPHRASES.map(([name, group_name, passphrase, secret]) => {
    const { auth } = schedule(unhex(secret));
    return { case: name, group_name, passphrase, secret, group_id: hex(groupOf(auth)) };
  });
}

export function recovery() {
  return {
    about: 'Recovery phrases, recovery files, and the first secrets of passphrase groups. Byte strings are hexadecimal; 07*300 is 300 times 07.',
    phrases: phrases(),
    files: files(),
    passphrases: passphrases(),
  };
}
