import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const CLIENT = fileURLToPath(new URL("../client/typescript/src", import.meta.url));

/** What ends up in the bundle of others'. */
const LIBRARIES = [
  "@bufbuild/protobuf",
  "@connectrpc/connect",
  "@connectrpc/connect-web",
  "@preact/signals",
  "@preact/signals-core",
  "preact",
];

/** Puts the libraries' licences beside the bundle, as they ask. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle() {
      const texts = LIBRARIES.map((library) => {
        const folder = `node_modules/${library}`;
        const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
        const text = existsSync(`${folder}/LICENSE`) ? `\n${readFileSync(`${folder}/LICENSE`, "utf8").trim()}\n` : "";
        return `${library} ${version}: ${license}\n${text}`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n---\n\n") });
    },
  };
}

// Relative paths, so that the page works under a proxy's prefix too. Nothing is inlined: the page's content
// security policy allows no inline scripts or styles.
export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  plugins: [licences()],
  resolve: {
    // The client for TypeScript, from its source; of the libraries that both need there is one copy, the page's.
    alias: [
      { find: /^maskweave-client$/, replacement: `${CLIENT}/index.ts` },
      { find: /^maskweave-client\/proto$/, replacement: `${CLIENT}/proto.ts` },
    ],
    dedupe: ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"],
  },
  build: {
    outDir: "../service/playground_files",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    fs: { allow: [".."] },
    proxy: {
      "/maskweave.v1.SynthesisService": { target: "http://localhost:8080", ws: true, changeOrigin: true },
      "/playground.json": "http://localhost:8080",
    },
  },
});
