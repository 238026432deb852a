// Makes the test vectors from explicit values, with an implementation of the protocol that shares no
// code with the Rust one: whoever reads docs/PROTOCOL.md can write another like it.
//
//   node vectors/make.mjs          writes the files
//   node vectors/make.mjs --check  fails unless the files are what it would write
//
// It needs Node.js 20 and nothing else.

import crypto from 'node:crypto';
import fs from 'node:fs';
import { chain } from './make/chain.mjs';
import { channel } from './make/channel.mjs';
import { codec } from './make/codec.mjs';
import { keylog } from './make/keylog.mjs';
import { recovery } from './make/recovery.mjs';
import { rotation } from './make/rotation.mjs';
import { sealed } from './make/sealed.mjs';
import { text } from './make/text.mjs';

const check = process.argv.includes('--check');
let wrong = 0;
let sums = '';

function put(name, made) {
  const file = new URL(name, import.meta.url);
  if (!check) {
    fs.writeFileSync(file, made);
  } else if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== made) {
    console.error(`vectors/${name} is not what vectors/make.mjs makes`);
    wrong += 1;
  }
}

for (const [name, content] of Object.entries({ chain, channel, codec, keylog, recovery, rotation, sealed, text })) {
  const made = `${JSON.stringify(content(), null, 1)}\n`;
  put(`${name}.json`, made);
  sums += `${crypto.createHash('sha256').update(made).digest('hex')}  ${name}.json\n`;
}
// For readers: a case that is refused for a reason is refused for the same one after most changes.
put('SHA256SUMS', sums);
process.exitCode = wrong;
