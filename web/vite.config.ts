import { existsSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

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
