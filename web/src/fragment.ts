/** The page's state in the fragment of its address: a link shares it, and nothing is stored. */

import { effect, untracked } from "@preact/signals";
import { Bitmap } from "./canvas/bitmap";
import { base64, fromBase64, through } from "./canvas/png";
import { edited, layer, looks, makeLayer, model, models, modelName, onDrawing, seed, strength, tab, TABS, type Look, type Tab } from "./state";

/** A state may be so old or so foreign that nothing in it can be used: what cannot is left out. */
const MOST_PIXELS = 1 << 22;
const QUIET_MILLISECONDS = 500;
/** Of whoever draws without a pause, too, a reload keeps all but this. */
const LONGEST_MILLISECONDS = 2000;

interface State {
  m: string;
  t: Tab;
  s: number;
  k?: number;
  l?: (Look | 0)[];
  w?: number;
  h?: number;
}

async function encoded(): Promise<string> {
  const drawn = layer.peek();
  const state: State = { m: modelName.peek(), t: tab.peek(), s: seed.peek() };
  if (strength.peek() !== null) state.k = strength.peek()!;
  // Codes are long, and good for one version of a model only: a link has the looks that seeds decide.
  const bySeed = (look: Look) => look.first && "seed" in look.first && (!look.second || "seed" in look.second);
  if (looks.peek().some(bySeed)) state.l = looks.peek().map((look) => (bySeed(look) ? look : 0));
  let pixels: Uint8Array<ArrayBuffer> = new Uint8Array();
  const source = tab.peek() === "edit" ? edited.peek() : null;
  // Photographs are too large for an address.
  if (drawn && (tab.peek() !== "edit" || (source && !source.photo))) {
    [state.w, state.h] = [drawn.bitmap.width, drawn.bitmap.height];
    pixels = source ? new Uint8Array([...source.map.ids, ...drawn.bitmap.ids]) : drawn.bitmap.ids;
  }
  const head = new TextEncoder().encode(JSON.stringify(state));
  const bytes = new Uint8Array(2 + head.length + pixels.length);
  bytes.set([head.length >> 8, head.length & 255]);
  bytes.set(head, 2);
  bytes.set(pixels, 2 + head.length);
  const packed = base64(await through(bytes, new CompressionStream("deflate-raw")));
  return packed.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Takes over the state of a fragment; false where there is none that can be used. */
export async function takeOver(fragment: string): Promise<boolean> {
  try {
    const packed = fromBase64(fragment.replace(/^#/, "").replace(/-/g, "+").replace(/_/g, "/"));
    if (!packed.length) return false;
    const bytes = await through(packed, new DecompressionStream("deflate-raw"), MOST_PIXELS + (1 << 16));
    const length = (bytes[0]! << 8) | bytes[1]!;
    const state = JSON.parse(new TextDecoder().decode(bytes.subarray(2, 2 + length))) as State;
    const of = models.peek().find(({ name }) => name === state.m);
    if (!of || !TABS.some((each) => each.tab === state.t)) return false;
    modelName.value = of.name;
    const pixels = bytes.slice(2 + length);
    const area = (state.w ?? 0) * (state.h ?? 0);
    const edits = state.t === "edit" && area > 0 && pixels.length === 2 * area;
    tab.value = state.t === "edit" && !edits ? "label_map" : state.t;
    if (Number.isInteger(state.s) && state.s >= 0 && state.s < 2 ** 32) seed.value = state.s;
    if (typeof state.k === "number" && Number.isFinite(state.k)) strength.value = state.k;
    if (Array.isArray(state.l) && state.l.length === looks.peek().length)
      looks.value = state.l.map((look) => (look && isLook(look) ? look : { first: null, second: null, mix: 0 }));
    const known = new Set(of.palette.map(({ id }) => id));
    const fits = state.t === "sketch" || pixels.every((id) => known.has(id) || (state.t === "scribble" && id === 255));
    if (area === 0 || !fits) return true;
    const map = new Bitmap(state.w!, state.h!, pixels.slice(0, area));
    if (edits) {
      makeLayer(of, "label_map", map);
      makeLayer(of, "edit", new Bitmap(state.w!, state.h!, pixels.slice(area)));
      edited.value = { photo: null, map: map.clone() };
    } else if (pixels.length === area) makeLayer(of, tab.value, map);
    return true;
  } catch {
    return false;
  }
}

function isLook(look: Look): boolean {
  const seeded = (source: unknown) => source === null || Number.isInteger((source as { seed?: number }).seed);
  return seeded(look.first) && seeded(look.second) && look.mix >= 0 && look.mix <= 1;
}

let written = "";
export async function link(): Promise<string> {
  await write();
  return location.href;
}

async function write(): Promise<void> {
  if (!model.peek()) return;
  written = `#${await encoded()}`;
  history.replaceState(null, "", written);
}

/** Keeps the address up to the state, when nothing has changed for a moment. */
export function keepAddress(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let since = 0; // of the first change that is not in the address
  const soon = () => {
    const now = performance.now();
    since ||= now;
    clearTimeout(timer);
    timer = setTimeout(
      () => {
        since = 0;
        void write();
      },
      Math.max(0, Math.min(QUIET_MILLISECONDS, since + LONGEST_MILLISECONDS - now)),
    );
  };
  effect(() => {
    void [modelName.value, tab.value, seed.value, strength.value, looks.value, layer.value, edited.value];
    untracked(soon);
  });
  onDrawing(soon);
  window.addEventListener("hashchange", () => {
    if (location.hash !== written) void takeOver(location.hash);
  });
}

