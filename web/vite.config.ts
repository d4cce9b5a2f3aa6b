import { defineConfig } from "vite";

// Relative paths, so that the page works under a proxy's prefix too. Nothing is inlined: the page's content
// security policy allows no inline scripts or styles.
export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
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
      "/maskweave.v1.SynthesisService": { target: "http://localhost:8080", ws: true },
      "/playground.json": "http://localhost:8080",
    },
  },
});
