// Makes of guest-js what apps import (dist-js), and what apps without a bundler have as window.__TAURI__.sync (api-iife.js).

import { nodeResolve } from "@rollup/plugin-node-resolve";
import terser from "@rollup/plugin-terser";
import typescript from "@rollup/plugin-typescript";

const input = "guest-js/index.ts";
const onwarn = (warning) => {
  throw Object.assign(new Error(), warning);
};

export default [
  {
    input,
    output: [
      { file: "dist-js/index.js", format: "esm" },
      { file: "dist-js/index.cjs", format: "cjs" },
    ],
    plugins: [typescript({ declaration: true, declarationDir: "dist-js" })],
    external: [/^@tauri-apps\/api/],
    onwarn,
  },
  {
    input,
    output: {
      file: "api-iife.js",
      format: "iife",
      name: "__TAURI_PLUGIN_SYNC__",
      banner: "if ('__TAURI__' in window) {",
      footer: "Object.defineProperty(window.__TAURI__, 'sync', { value: __TAURI_PLUGIN_SYNC__ }) }",
    },
    plugins: [typescript(), terser(), nodeResolve()],
    onwarn,
  },
];
