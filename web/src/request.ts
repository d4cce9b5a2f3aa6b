/** The present drawing as requests of the client. */

import type { Condition, Drawing, EditRequest, ImageFormat, Model, PaintChange, PaintRequest, Style } from "maskweave-client";
import type { Bitmap, Line } from "./canvas/bitmap";
import { writePng } from "./canvas/png";
import { edited, exemplar, layer, looks, model, seed, strength, strengthRange, tab, type Look, type LookSource, type Tab } from "./state";

/** Nothing to make an image of yet; the message says what to do. */
export class NothingDrawn extends Error {}

/** A drawing uncompressed: the fastest to send to a service on the same machine. */
export const raw = ({ width, height, ids }: Bitmap) => ({ width, height, data: ids });

type Pixels = ReturnType<typeof raw> | Uint8Array<ArrayBuffer>;
type Canvas = { labelMap: Pixels } | { sketch: Pixels } | { scribble: Pixels };

/** The condition as it is now. */
export function conditionNow(): Condition {
  if (tab.value === "exemplar") {
    if (!exemplar.value) throw new NothingDrawn("Load an image, or take one of the samples.");
    return { exemplar: exemplar.value.bytes };
  }
  const drawn = layer.value;
  if (!drawn) throw new NothingDrawn("");
  if (drawn.bitmap.ids.every((id) => id === drawn.erased) && tab.value !== "label_map")
    throw new NothingDrawn(tab.value === "sketch" ? "Draw a line to begin." : "Draw a stroke to begin.");
  return canvasOf(raw(drawn.bitmap), tab.value);
}

/** The condition as the bytes of a file, the smallest, for people to copy. */
export async function conditionAsFile(): Promise<{ condition: Condition; bytes: Uint8Array<ArrayBuffer> }> {
  const condition = conditionNow();
  const drawn = layer.value;
  if ("exemplar" in condition || !drawn) return { condition, bytes: exemplar.value!.bytes };
  const bytes = await writePng(drawn.bitmap, drawn.colors);
  return { condition: canvasOf(bytes, tab.value), bytes };
}

function canvasOf(pixels: Pixels, on: Tab): Canvas {
  if (on === "sketch") return { sketch: pixels };
  if (on === "scribble") return { scribble: pixels };
  return { labelMap: pixels };
}

const partOf = (source: LookSource) => ("seed" in source ? source : source.code);

function styleOf({ first, second, mix }: Look): Style | undefined {
  if (!first) return undefined;
  if (!second || mix === 0) return partOf(first);
  if (mix === 1) return partOf(second);
  return {
    blend: [
      { weight: 1 - mix, style: partOf(first) },
      { weight: mix, style: partOf(second) },
    ],
  };
}

/** How classes are to look, by class; `present`: only of classes that are drawn, as all calls but Paint ask. */
export function stylesNow(present: boolean, of: Look[] = looks.value): Record<number, Style> {
  const styles: Record<number, Style> = {};
  const ids = present && layer.value ? new Set(layer.value.bitmap.ids) : null;
  model.value?.styles?.styles.forEach(({ classIds }, i) => {
    const style = styleOf(of[i] ?? { first: null, second: null, mix: 0 });
    const id = ids ? classIds.find((each) => ids.has(each)) : classIds[0];
    if (style && id !== undefined) styles[id] = style;
  });
  return styles;
}

const strengthNow = () => (strengthRange.value && strength.value !== null ? { styleStrength: strength.value } : {});

export function drawingOf(condition: Condition, seeds?: number[]): Drawing {
  return { ...condition, ...(seeds ? { seeds } : { seed: seed.value }), styles: stylesNow(true), ...strengthNow() };
}

export function editNow(): EditRequest {
  const source = edited.value;
  if (!source || !layer.value) throw new NothingDrawn("Choose what to edit.");
  return {
    ...(source.photo ? { image: source.photo.bytes } : { seed: seed.value }),
    source: raw(source.map),
    target: raw(layer.value.bitmap),
    ...strengthNow(),
  };
}

/** Raw pixels are drawn at once; of large images a file is smaller by more than it costs to read. */
export function fastFormat(of: Model): ImageFormat {
  return of.imageWidth * of.imageHeight <= 256 * 256 ? "raw" : "jpeg";
}

export function paintRequest(): PaintRequest {
  const source = tab.value === "edit" ? edited.value : null;
  return {
    ...canvasOf(raw(layer.value!.bitmap), tab.value),
    ...(source?.photo ? {} : { seed: seed.value }),
    ...(source ? { edit: { image: source.photo?.bytes, source: raw(source.map) } } : {}),
    styles: stylesNow(false),
    format: fastFormat(model.value!),
    ...strengthNow(),
  };
}

export interface Pending {
  /** Lines since the last update; null: the whole drawing has changed. */
  lines: Line[] | null;
  seed: boolean;
  strength: boolean;
  styles: boolean;
}

export function paintChange(pending: Pending): PaintChange {
  const drawn = layer.value!;
  const on = tab.value;
  const erases = (line: Line) => (on === "sketch" || on === "scribble") && line.id === drawn.erased;
  const strokes = pending.lines?.map((line) => ({
    classId: erases(line) ? 0 : line.id,
    width: line.width,
    points: line.points.map(({ x, y }) => [x, y] as const),
    erase: erases(line),
  }));
  return {
    ...(strokes ? (strokes.length ? { strokes } : {}) : canvasOf(raw(drawn.bitmap), on)),
    ...(pending.seed && !(on === "edit" && edited.value?.photo) ? { seed: seed.value } : {}),
    ...(pending.styles ? { styles: stylesNow(false) } : {}),
    ...(pending.strength ? { styleStrength: strength.value ?? strengthRange.value?.defaultValue } : {}),
  };
}
