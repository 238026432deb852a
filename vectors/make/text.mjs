// text.json: what people type, press and scan.

import { base64url, hex, repeat, unhex } from './bytes.mjs';
import * as m from './msgpack.mjs';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Crockford's base32, most significant bits first, zero bits at the end. */
export function crockford(bytes) {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  bits = bits.padEnd(Math.ceil(bits.length / 5) * 5, '0');
  return bits.match(/.{5}/g).map((five) => ALPHABET[parseInt(five, 2)]).join('');
}

const code = (bytes) => crockford(bytes).match(/.{4}/g).join('-');

const lookup = unhex('000102030405060708090a0b0c0d0e0f');
const key = repeat(0xe7, 32);
const relayKey = repeat(0x11, 32);
const lookupText = crockford(lookup);
const keyText = base64url(key);
const end = `/join#v1.${lookupText}.${keyText}`;

function inviteCodes() {
  const bytes = unhex('00443214c74254b635cf');
  const accept = (name, text, raw = bytes) => ({ case: name, text, bytes: hex(raw), canonical: code(raw) });
  const refuse = (name, text) => ({ case: name, text, error: 'Code' });
  return {
    accepted: [
      accept('as it is shown', '0123-4567-89AB-CDEF'),
      accept('in small letters', '0123-4567-89ab-cdef'),
      accept('without hyphens', '0123456789ABCDEF'),
      accept('with spaces', ' 0123 4567 89AB CDEF '),
      accept('with tabs and line breaks', '\t0123-4567\r\n89AB-CDEF\n'),
      accept('as long as it may be', `0123-4567-89AB-CDEF${' '.repeat(45)}`),
      accept('I, L and O for 1, 1 and 0', 'OI23-4567-89AB-CDEF'),
      accept('i, l and o for 1, 1 and 0', 'ol23-4567-89ab-cdef'),
      accept('all zeros', '0000-0000-0000-0000', repeat(0, 10)),
      accept('all ones', 'ZZZZ-ZZZZ-ZZZZ-ZZZZ', repeat(0xff, 10)),
    ],
    refused: [
      refuse('nothing', ''),
      refuse('a character too few', '0123-4567-89AB-CDE'),
      refuse('a character too many', '0123-4567-89AB-CDEFG'),
      refuse('a U', '0123-4567-89AB-CDEU'),
      refuse('an underscore', '0123_4567_89AB_CDEF'),
      refuse('a letter of another script that looks like A', '0123-4567-89\u0410B-CDEF'),
      refuse('longer than anybody types', `0123-4567-89AB-CDEF${' '.repeat(46)}`),
    ],
  };
}

function lookupKeys() {
  const accept = (name, text, raw = lookup) => ({ case: name, text, bytes: hex(raw), canonical: crockford(raw) });
  return {
    accepted: [
      accept('as it is sent', lookupText),
      accept('in small letters', lookupText.toLowerCase()),
      accept('I, L and O for 1, 1 and 0', lookupText.replaceAll('0', 'O').replace('1', 'I').replace('1', 'l')),
      accept('all ones', `${'Z'.repeat(25)}W`, repeat(0xff, 16)),
    ],
    refused: [
      { case: 'nothing', text: '' },
      { case: 'a character too few', text: lookupText.slice(1) },
      { case: 'a character too many', text: `${lookupText}0` },
      { case: 'bits after the last byte', text: `${'Z'.repeat(25)}Z` },
      { case: 'a hyphen', text: `${lookupText.slice(1)}-` },
    ],
  };
}

function deviceIds() {
  const id = repeat(0x0a, 32);
  const largest = unhex(`ec${'ff'.repeat(30)}7f`);
  const accept = (name, raw) => ({ case: name, text: base64url(raw), bytes: hex(raw), canonical: base64url(raw) });
  return {
    accepted: [accept('an id', id), accept('the largest', largest)],
    refused: [
      { case: 'nothing', text: '' },
      { case: 'with padding', text: `${base64url(id)}=` },
      { case: '31 bytes', text: base64url(repeat(0x0a, 31)) },
      { case: '33 bytes', text: base64url(repeat(0x0a, 33)) },
      { case: 'bits after the last byte', text: `${base64url(id).slice(0, 42)}p` },
      { case: 'the other base64 alphabet', text: base64url(unhex(`fb${'00'.repeat(31)}`)).replace('-', '+') },
      { case: 'p itself', text: base64url(unhex(`ed${'ff'.repeat(30)}7f`)) },
      { case: 'the top bit set', text: base64url(unhex(`${'00'.repeat(31)}80`)) },
    ],
  };
}

function joinLinks() {
  const relay = 'https://relay.example';
  const accept = (name, text, page = relay, at = page) => ({
    case: name, text, page, relay: at, lookup: hex(lookup), key: hex(key),
    canonical: page === at ? `${page}${end}` : `${page}${end}.${at}`,
  });
  const refuse = (name, text, error = 'Link') => ({ case: name, text, error });
  return {
    accepted: [
      accept('served by the relay', `${relay}${end}`),
      accept('with spaces around', `  ${relay}${end}\n`),
      accept('with a slash behind join', `${relay}/join/${end.slice(5)}`),
      accept('with a path before join', `${relay}/sync${end}`, `${relay}/sync`),
      accept('with a port, without TLS', `http://127.0.0.1:8080${end}`, 'http://127.0.0.1:8080'),
      accept('with capitals in the host', `https://Relay.Example${end}`),
      accept('with a small lookup key', `${relay}${end.replace(lookupText, lookupText.toLowerCase())}`),
      accept('with a page of its own', `https://pages.example${end}.${relay}`, 'https://pages.example', relay),
      accept('with the relay named though it is the same', `${relay}${end}.${relay}`),
      accept('with a relay behind a path', `https://pages.example/a${end}.https://b.example/c`,
        'https://pages.example/a', 'https://b.example/c'),
    ],
    refused: [
      refuse('nothing', ''),
      refuse('no fragment', `${relay}/join`),
      refuse('another path', `${relay}/other#v1.${lookupText}.${keyText}`),
      refuse('join only as the end of a name', `${relay}/rejoin#v1.${lookupText}.${keyText}`),
      refuse('a query', `${relay}/join?a=b${end.slice(5)}`),
      refuse('a user name', `https://me@relay.example${end}`),
      refuse('another scheme', `ftp://relay.example${end}`),
      refuse('a later version', `${relay}/join#v2.${lookupText}.${keyText}`, 'NewerVersion'),
      refuse('a much later version', `${relay}/join#v17.x`, 'NewerVersion'),
      refuse('a version 0', `${relay}/join#v0.${lookupText}.${keyText}`),
      refuse('a version with a sign', `${relay}/join#v+2.${lookupText}.${keyText}`),
      refuse('a version with a leading zero', `${relay}/join#v01.${lookupText}.${keyText}`),
      refuse('a capital V', `${relay}/join#V1.${lookupText}.${keyText}`),
      refuse('no key', `${relay}/join#v1.${lookupText}`),
      refuse('a key too short', `${relay}${end.slice(0, -1)}`),
      refuse('a key with bits after its last byte', `${relay}${end.slice(0, -1)}d`),
      refuse('a key with padding', `${relay}${end}=`),
      refuse('a lookup key too short', `${relay}/join#v1.${lookupText.slice(1)}.${keyText}`),
      refuse('an empty relay', `${relay}${end}.`),
      refuse('a relay of another scheme', `${relay}${end}.ftp://b.example`),
      refuse('a second fragment', `${relay}${end}#x`),
    ],
  };
}

function appUrls() {
  const relay = 'https://relay.example';
  const url = (bytes, scheme = 'notes') => `${scheme}://sync?invite=${base64url(bytes)}`;
  const parts = [m.str(relay), m.bin(relayKey), m.bin(lookup), m.bin(key)];
  const good = m.array(parts);
  const accept = (name, scheme, text = url(good, scheme)) => ({
    case: name, text, scheme, relay, relay_key: hex(relayKey), lookup: hex(lookup), key: hex(key),
    canonical: url(good, scheme),
  });
  const refuse = (name, text) => ({ case: name, text, error: 'Link' });
  const changed = (index, part) => url(m.array(parts.with(index, part)));
  return {
    accepted: [
      accept('of an app', 'notes'),
      accept('of an app with all that a scheme may have', 'a1+b-c.d'),
      accept('with spaces around', 'notes', `\t${url(good)} `),
    ],
    refused: [
      refuse('nothing', ''),
      refuse('no scheme', url(good, '')),
      refuse('a scheme that starts with a digit', url(good, '1notes')),
      refuse('a scheme that is a sentence', url(good, 'look at this: notes')),
      refuse('another action', url(good).replace('sync?', 'open?')),
      refuse('no data', 'notes://sync?invite='),
      refuse('padding', `${url(good)}=`),
      refuse('a value too few', url(m.array(parts.slice(0, 3)))),
      refuse('a value too many', url(m.array([...parts, m.nil]))),
      refuse('bytes behind it', url(Buffer.concat([good, m.nil]))),
      refuse('cut short', url(good.subarray(0, -1))),
      refuse('a relay that is no address', changed(0, m.str('relay.example'))),
      refuse('a relay as bytes', changed(0, m.bin(Buffer.from(relay)))),
      refuse('a relay key that is not canonical', changed(1, m.bin(repeat(0xff, 32)))),
      refuse('a lookup key of 15 bytes', changed(2, m.bin(repeat(1, 15)))),
      refuse('an invite key of 31 bytes', changed(3, m.bin(repeat(1, 31)))),
    ],
  };
}

function relayUrls() {
  const accept = (name, text, canonical, websocket) => ({ case: name, text, canonical, websocket });
  const refuse = (name, text, error) => ({ case: name, text, error });
  return {
    accepted: [
      accept('a host', 'https://relay.example', 'https://relay.example', 'wss://relay.example/sync'),
      accept('capitals and a slash', 'HTTPS://Relay.Example/', 'https://relay.example', 'wss://relay.example/sync'),
      accept('without TLS', 'http://127.0.0.1:8080', 'http://127.0.0.1:8080', 'ws://127.0.0.1:8080/sync'),
      accept('IPv6', 'http://[::1]:9', 'http://[::1]:9', 'ws://[::1]:9/sync'),
      accept('a name with an underscore', 'http://my_relay:8080', 'http://my_relay:8080', 'ws://my_relay:8080/sync'),
      accept('as a WebSocket', 'wss://a.example', 'https://a.example', 'wss://a.example/sync'),
      accept('as a WebSocket without TLS', 'ws://a.example:80', 'http://a.example:80', 'ws://a.example:80/sync'),
      accept('a path, whose capitals count', 'https://a.example/B/c/', 'https://a.example/B/c', 'wss://a.example/B/c/sync'),
      accept('spaces around', ' https://a.example\n', 'https://a.example', 'wss://a.example/sync'),
    ],
    refused: [
      refuse('nothing', '', 'NotAUrl'),
      refuse('no scheme', 'relay.example', 'Scheme'),
      refuse('a path', '/relay', 'Scheme'),
      refuse('another scheme', 'ftp://relay.example', 'Scheme'),
      refuse('no host', 'https://', 'NotAUrl'),
      refuse('no host, but a port', 'https://:8080', 'NotAUrl'),
      refuse('no host, but a path', 'https:///relay', 'NotAUrl'),
      refuse('a space inside', 'https://relay .example', 'NotAUrl'),
      refuse('a host that is not ASCII', 'https://rel\u00e4y.example', 'NotAUrl'),
      refuse('a path that is not ASCII', 'https://relay.example/s\u00fcd', 'NotAUrl'),
      refuse('a control character in a path', 'https://relay.example/\u009b31m', 'NotAUrl'),
      refuse('DEL in a path', 'https://relay.example/\u007f', 'NotAUrl'),
      refuse('a port that is no number', 'https://relay.example:http', 'NotAUrl'),
      refuse('a port without a number', 'https://relay.example:', 'NotAUrl'),
      refuse('a port that does not exist', 'https://relay.example:65536', 'NotAUrl'),
      refuse('a port with a leading zero', 'https://relay.example:080', 'NotAUrl'),
      refuse('a port with a sign', 'https://relay.example:+80', 'NotAUrl'),
      refuse('two ports', 'https://relay.example:80:80', 'NotAUrl'),
      refuse('a zone behind an IPv6 address', 'https://[fe80::1%25eth0]', 'NotAUrl'),
      refuse('an unfinished IPv6 address', 'https://[::1', 'NotAUrl'),
      refuse('an IPv6 address that is none', 'https://[1:2:3]', 'NotAUrl'),
      refuse('a bracket in a name', 'https://relay[.example:9', 'NotAUrl'),
      refuse('a percent sign in a name', 'https://relay%2eexample', 'NotAUrl'),
      refuse('a user name', 'https://me@relay.example', 'Extra'),
      refuse('a password', 'https://me:secret@relay.example', 'Extra'),
      refuse('a query', 'https://relay.example/?a=b', 'Extra'),
      refuse('a fragment', 'https://relay.example#x', 'NotAUrl'),
      refuse('longer than 512 characters', `https://relay.example/${'a'.repeat(500)}`, 'NotAUrl'),
    ],
  };
}

function relayAddresses() {
  const url = 'https://relay.example';
  const keyText43 = base64url(relayKey);
  const accept = (name, text, raw, canonical) => ({ case: name, text, url, key: raw && hex(raw), canonical });
  const refuse = (name, text, error) => ({ case: name, text, error });
  return {
    accepted: [
      accept('without a key', `${url}/`, null, url),
      accept('with a key', `${url}#relay=${keyText43}`, relayKey, `${url}#relay=${keyText43}`),
      accept('with a key, a slash and spaces', ` ${url}/#relay=${keyText43} `, relayKey, `${url}#relay=${keyText43}`),
    ],
    refused: [
      refuse('an empty fragment', `${url}#`, 'Key'),
      refuse('another word', `${url}#key=${keyText43}`, 'Key'),
      refuse('half a key', `${url}#relay=${keyText43.slice(20)}`, 'Key'),
      refuse('a key that is not canonical', `${url}#relay=${base64url(repeat(0xff, 32))}`, 'Key'),
      refuse('a key, but no address', `#relay=${keyText43}`, 'NotAUrl'),
      refuse('a key twice', `${url}#relay=${keyText43}#relay=${keyText43}`, 'Key'),
      refuse('a query', `${url}?a#relay=${keyText43}`, 'Extra'),
    ],
  };
}

export function text() {
  return {
    about: 'Codes, links and addresses. `canonical` is how the value is written again.',
    invite_codes: inviteCodes(),
    lookup_keys: lookupKeys(),
    device_ids: deviceIds(),
    join_links: joinLinks(),
    app_urls: appUrls(),
    relay_urls: relayUrls(),
    relay_addresses: relayAddresses(),
  };
}
