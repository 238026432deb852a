// Runs a test program that was built for wasm32-wasip1: `node wasi-run.mjs PROGRAM.wasm [ARGUMENT…]`.
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

// Node's short way into WASI goes on using a program's memory after that has grown and moved, and crashes
// (nodejs/node#53087).
setFlagsFromString("--no-turbo-fast-api-calls");

const [program, ...args] = process.argv.slice(2);
// It sees no file and no environment but what says how to run tests.
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args],
  env: { RUST_BACKTRACE: "1", RUST_TEST_THREADS: "1" },
  returnOnExit: true,
});
const { instance } = await WebAssembly.instantiate(await readFile(program), wasi.getImportObject());
process.exitCode = wasi.start(instance);
