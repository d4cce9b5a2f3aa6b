/** What painting can start from: the samples that ship with the client, read once. */

import type { Model } from "maskweave-client";
import { Bitmap } from "./bitmap";
import { readPng } from "./png";

export type SampleKind = "label_map" | "sketch" | "scribble" | "exemplar" | "photograph";

type Files = Partial<Record<SampleKind | "photograph_map", Record<string, string>>>;

const FACES: Files = {
  label_map: import.meta.glob<string>("../../../client/examples/label_maps/*.png", { eager: true, query: "?url", import: "default" }),
  sketch: import.meta.glob<string>("../../../client/examples/sketches/*.png", { eager: true, query: "?url", import: "default" }),
  scribble: import.meta.glob<string>("../../../client/examples/scribbles/*.png", { eager: true, query: "?url", import: "default" }),
  exemplar: import.meta.glob<string>("../../../client/examples/exemplars/*.png", { eager: true, query: "?url", import: "default" }),
  photograph: import.meta.glob<string>("../../../client/examples/photographs/*.png", { eager: true, query: "?url", import: "default" }),
  photograph_map: import.meta.glob<string>("../../../client/examples/photographs/label_maps/*.png", { eager: true, query: "?url", import: "default" }),
};

const AVATARS: Files = {
  label_map: import.meta.glob<string>("../../../client/examples/avatars/*.png", { eager: true, query: "?url", import: "default" }),
};

export interface Sample {
  name: string;
  title: string;
  url: string;
}

/** What a newcomer sees first: a face from the front. */
const FIRST = "heldout_fringe";

/** The samples of a kind that have a model's classes, those drawn by hand before those of held-out images. */
export async function samplesOf(model: Model, kind: SampleKind): Promise<Sample[]> {
  for (const files of [FACES, AVATARS]) if (await fit(files, model)) return listed(files[kind]);
  return [];
}

function listed(files: Record<string, string> = {}): Sample[] {
  return Object.entries(files)
    .map(([path, url]) => {
      const name = path.replace(/^.*\//, "").replace(/\.png$/, "");
      const words = name.replace(/^(drawn|heldout)_/, "").replace(/_/g, " ");
      return { name, title: words[0]!.toUpperCase() + words.slice(1), url };
    })
    .sort((a, b) => turn(a) - turn(b) || (a.name < b.name ? -1 : 1));
}

function turn({ name }: Sample): number {
  return name === FIRST ? 0 : name.startsWith("drawn") ? 1 : 2;
}

/** Where the label map of what a sample photograph shows lies. */
export function mapOfPhotograph(name: string): string | undefined {
  return Object.entries(FACES.photograph_map!).find(([path]) => path.endsWith(`/${name}.png`))?.[1];
}

export async function bytesOf(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const reply = await fetch(url);
  if (!reply.ok) throw new TypeError(`${url}: ${reply.status}`);
  return new Uint8Array(await reply.arrayBuffer());
}

/** Whether a model has the classes that samples have, in the same colours. */
const paletteOf = new Map<Files, Promise<string[]>>();
async function fit(files: Files, model: Model): Promise<boolean> {
  let palette = paletteOf.get(files);
  if (!palette) {
    palette = readColors(listed(files.label_map)[0]!.url);
    paletteOf.set(files, palette);
    palette.catch(() => paletteOf.delete(files)); // the next one asks again
  }
  const colors = await palette;
  return colors.length > 0 && model.palette.every(({ id, color }) => colors[id] === color);
}

async function readColors(url: string): Promise<string[]> {
  return (await readPng(await bytesOf(url), 1 << 22))?.palette ?? [];
}

/**
 * A drawing enlarged with smooth edges: each pixel takes the class that weighs most in bilinear interpolation.
 * Reduced again by nearest neighbour it is the same drawing.
 */
export function enlarged(small: Bitmap, width: number, height: number): Bitmap {
  if (width < small.width || height < small.height) return small.resized(width, height);
  const out = new Bitmap(width, height);
  const weights = new Float32Array(256);
  for (let y = 0; y < height; y++) {
    const fy = Math.max(0, ((y + 0.5) * small.height) / height - 0.5);
    const y0 = Math.min(small.height - 1, Math.floor(fy));
    const y1 = Math.min(small.height - 1, y0 + 1);
    for (let x = 0; x < width; x++) {
      const fx = Math.max(0, ((x + 0.5) * small.width) / width - 0.5);
      const x0 = Math.min(small.width - 1, Math.floor(fx));
      const x1 = Math.min(small.width - 1, x0 + 1);
      const [wx, wy] = [fx - x0, fy - y0];
      const ids = [
        small.ids[y0 * small.width + x0]!,
        small.ids[y0 * small.width + x1]!,
        small.ids[y1 * small.width + x0]!,
        small.ids[y1 * small.width + x1]!,
      ];
      const parts = [(1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy];
      ids.forEach((id) => (weights[id] = 0));
      let best = ids[0]!;
      ids.forEach((id, i) => {
        weights[id] = weights[id]! + parts[i]!;
        if (weights[id]! > weights[best]!) best = id;
      });
      out.ids[y * width + x] = best;
    }
  }
  return out;
}
