/** The present request as code that runs as it is copied. */

import type { Style } from "maskweave-client";
import { create, toJson, type JsonValue } from "@bufbuild/protobuf";
import { editRequestOf, EditRequestSchema, synthesizeRequestOf, SynthesizeRequestSchema } from "maskweave-client/proto";
import { apiKey, baseUrl } from "./api/client";
import { base64, writePng } from "./canvas/png";
import { conditionAsFile, drawingOf, editNow, stylesNow } from "./request";
import { edited, layer, looks, model, seed, strength, strengthRange, tab, type LookSource } from "./state";

export type Language = "curl" | "grpcurl" | "Python" | "TypeScript";
export const LANGUAGES: { language: Language; needs: string }[] = [
  { language: "Python", needs: "Needs maskweave-client (pip install ./client)." },
  { language: "TypeScript", needs: "Needs maskweave-client (make typescript, then npm install ./client/typescript) and Node.js 20.10 or newer; saved as face.mjs." },
  { language: "curl", needs: "Needs curl." },
  { language: "grpcurl", needs: "Needs grpcurl, and reflection at the gateway, which is on by default." },
];

/** Where gRPC is; the page is served on another port. */
export interface Place {
  address: string;
  tls: boolean;
}

const DEFAULT_PORT = 50051;
const KEY = "$MASKWEAVE_KEY";

export async function placeOfGrpc(): Promise<Place> {
  const guess = { address: `${location.hostname}:${DEFAULT_PORT}`, tls: false };
  try {
    const reply = await fetch(`${baseUrl}/playground.json`);
    if (!reply.ok) return guess;
    const told = (await reply.json()) as { grpc_address?: string; grpc_tls?: boolean };
    return {
      address: told.grpc_address?.replace(/^(|0\.0\.0\.0|\[::\]|::):(\d+)$/, `${location.hostname}:$2`) || guess.address,
      tls: !!told.grpc_tls,
    };
  } catch {
    return guess;
  }
}

async function call(): Promise<{ method: string; request: JsonValue }> {
  const of = model.peek()!.name;
  if (tab.peek() === "edit") {
    const edit = editNow();
    const { colors, bitmap } = layer.peek()!;
    const [source, target] = [await writePng(edited.peek()!.map, colors), await writePng(bitmap, colors)];
    const message = create(EditRequestSchema, await editRequestOf(of, { ...edit, source, target }));
    return { method: "Edit", request: toJson(EditRequestSchema, message) };
  }
  const { condition } = await conditionAsFile();
  const message = create(SynthesizeRequestSchema, await synthesizeRequestOf(of, drawingOf(condition)));
  return { method: "Synthesize", request: toJson(SynthesizeRequestSchema, message) };
}

export async function codeFor(language: Language, place: Place): Promise<string> {
  if (language === "Python") return python(place);
  if (language === "TypeScript") return typescript();
  const { method, request } = await call();
  const path = `maskweave.v1.SynthesisService/${method}`;
  const body = JSON.stringify(request);
  const decode = `| sed -n 's/.*"data": *"\\([^"]*\\)".*/\\1/p' | head -n 1 | base64 -d > face.png`;
  const quoted = body.replace(/'/g, "'\\''");
  if (language === "curl")
    return [
      `curl -sS ${baseUrl}/${path} \\`,
      `  -H 'content-type: application/json' \\`,
      ...(apiKey.peek() ? [`  -H "authorization: Bearer ${KEY}" \\`] : []),
      `  -d '${quoted}' \\`,
      `  ${decode}`,
    ].join("\n");
  return [
    `grpcurl ${place.tls ? "" : "-plaintext "}\\`,
    ...(apiKey.peek() ? [`  -H "authorization: Bearer ${KEY}" \\`] : []),
    `  -d '${quoted}' \\`,
    `  ${place.address} ${path} \\`,
    `  ${decode}`,
  ].join("\n");
}

async function typescript(): Promise<string> {
  const of = model.peek()!.name;
  const file = (bytes: Uint8Array) => `Buffer.from(\n  "${base64(bytes)}",\n  "base64",\n)`;
  const setUp: string[] = [];
  const request: string[] = [];
  const onEdit = tab.peek() === "edit";
  if (onEdit) {
    const { map, photo } = edited.peek()!;
    const { colors, bitmap } = layer.peek()!;
    setUp.push(`const source = ${file(await writePng(map, colors))};`, `const target = ${file(await writePng(bitmap, colors))};`);
    if (photo) setUp.push(`const image = ${file(photo.bytes)};`);
    request.push(photo ? "image" : `seed: ${seed.peek()}`, "source", "target");
  } else {
    const { condition, bytes } = await conditionAsFile();
    const name = Object.keys(condition)[0]!;
    setUp.push(`const ${name} = ${file(bytes)};`);
    request.push(name, `seed: ${seed.peek()}`);
    const styles = Object.entries(stylesNow(true)).map(([id, style]) => `${id}: ${styleInTypeScript(style)}`);
    if (styles.length) request.push(`styles: { ${styles.join(", ")} }`);
  }
  if (strengthRange.peek() && strength.peek() !== null) request.push(`styleStrength: ${strength.peek()}`);
  return [
    `import { writeFile } from "node:fs/promises";`,
    `import { Client } from "maskweave-client";`,
    ``,
    ...setUp,
    ``,
    `const client = new Client("${baseUrl}"${apiKey.peek() ? ", { apiKey: process.env.MASKWEAVE_KEY }" : ""});`,
    `const { images } = await client.${onEdit ? "edit" : "draw"}("${of}", { ${request.join(", ")} });`,
    `for (const { data } of images) await writeFile("face.png", data);`,
  ].join("\n");
}

function styleInTypeScript(style: Style): string {
  if ("blend" in style)
    return `{ blend: [${style.blend.map((each) => `{ weight: ${Number(each.weight.toFixed(4))}, style: ${styleInTypeScript(each.style)} }`).join(", ")}] }`;
  if ("seed" in style) return `{ seed: ${style.seed} }`;
  const { model, modelVersion, classId, values } = style;
  return JSON.stringify({ model, modelVersion, classId, values });
}

async function python(place: Place): Promise<string> {
  const lines = ["import base64"];
  if (apiKey.peek()) lines.push("import os");
  if (place.tls) lines.push("", "import grpc");
  const of = model.peek()!.name;
  const options = [`seed=${seed.peek()}`];
  const blob = (bytes: Uint8Array) => `base64.b64decode(\n    "${base64(bytes)}"\n)`;
  const setUp: string[] = [];
  let called: string;
  if (tab.peek() === "edit") {
    const source = edited.peek()!;
    const colors = layer.peek()!.colors;
    setUp.push(`source = ${blob(await writePng(source.map, colors))}`, `target = ${blob(await writePng(layer.peek()!.bitmap, colors))}`);
    if (source.photo) setUp.push(`photograph = ${blob(source.photo.bytes)}`);
    called = `client.edit("${of}", ${source.photo ? "photograph" : seed.peek()}, target, source=source${strengthOption()})`;
  } else {
    const { bytes } = await conditionAsFile();
    const name = tab.peek();
    setUp.push(`${name} = ${blob(bytes)}`);
    const styles = pythonStyles();
    if (styles) options.push(`styles=${styles}`);
    called = `client.synthesize("${of}", ${name}=${name}, ${options.join(", ")}${strengthOption()})`;
  }
  const imports = ["Client", ...(called.includes("Seed(") ? ["Seed"] : []), ...(called.includes("StyleCode(") ? ["StyleCode"] : []), ...(called.includes("blend(") ? ["blend"] : [])];
  const how = [`"${place.address}"`];
  if (place.tls) how.push("credentials=grpc.ssl_channel_credentials()");
  if (apiKey.peek()) how.push(`api_key=os.environ["MASKWEAVE_KEY"]`);
  return [
    ...lines,
    "",
    `from maskweave_client import ${imports.join(", ")}`,
    "",
    ...setUp,
    `with Client(${how.join(", ")}) as client:`,
    `    result = ${called}`,
    `    result.images[0].save("face.png")`,
  ].join("\n");
}

const strengthOption = () => (strengthRange.peek() && strength.peek() !== null ? `, style_strength=${strength.peek()}` : "");

function pythonStyles(): string {
  const of = model.peek()?.styles?.styles ?? [];
  const present = stylesNow(true);
  const source = (from: LookSource) =>
    "seed" in from
      ? `Seed(${from.seed})`
      : `StyleCode("${from.code.model}", "${from.code.modelVersion}", ${from.code.classId}, (${from.code.values.join(", ")},))`;
  const entries = of.flatMap(({ classIds }, i) => {
    const id = classIds.find((each) => each in present);
    const look = looks.peek()[i];
    if (id === undefined || !look?.first) return [];
    if (!look.second || look.mix === 0) return [`${id}: ${source(look.first)}`];
    if (look.mix === 1) return [`${id}: ${source(look.second)}`];
    return [`${id}: blend((${source(look.first)}, ${Number((1 - look.mix).toFixed(4))}), (${source(look.second)}, ${look.mix}))`];
  });
  return entries.length ? `{${entries.join(", ")}}` : "";
}
