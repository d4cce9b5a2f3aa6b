/** The present drawing as messages of the contract. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Bitmap, Line } from "./canvas/bitmap";
import type { Layer } from "./canvas/layer";
import { writePng } from "./canvas/png";
import {
  EditRequestSchema,
  ImageFormat,
  LabelMapSchema,
  PaintStartSchema,
  PaintUpdateSchema,
  Priority,
  StyleSchema,
  SynthesizeRequestSchema,
  type EditRequest,
  type Model,
  type Style,
  type SynthesizeRequest,
} from "./gen/maskweave/v1/synthesis_pb";
import { edited, exemplar, layer, looks, model, seed, strength, strengthRange, tab, type Look, type LookSource, type Tab } from "./state";

export type Condition = MessageInitShape<typeof SynthesizeRequestSchema>["condition"];

/** Nothing to make an image of yet; the message says what to do. */
export class NothingDrawn extends Error {}

const raw = (bitmap: Bitmap) => ({ width: bitmap.width, height: bitmap.height, data: bitmap.ids });

export const labelMap = (bitmap: Bitmap) =>
  create(LabelMapSchema, { encoding: { case: "raw", value: raw(bitmap) } });

/** The condition as it is now, uncompressed: the fastest to send to a service on the same machine. */
export function conditionNow(): Condition {
  if (tab.value === "exemplar") {
    if (!exemplar.value) throw new NothingDrawn("Load an image, or take one of the samples.");
    return { case: "exemplar", value: { encoding: { case: "file", value: exemplar.value.bytes } } };
  }
  const drawn = layer.value;
  if (!drawn) throw new NothingDrawn("");
  if (drawn.bitmap.ids.every((id) => id === drawn.erased) && tab.value !== "label_map")
    throw new NothingDrawn(tab.value === "sketch" ? "Draw a line to begin." : "Draw a stroke to begin.");
  return canvasOf(drawn, tab.value);
}

/** The condition with the drawing as a PNG file: the smallest, for people to copy. */
export async function conditionAsPng(): Promise<Condition> {
  const now = conditionNow()!;
  const drawn = layer.value;
  if (!drawn || tab.value === "exemplar") return now;
  const value = { encoding: { case: tab.value === "sketch" ? ("file" as const) : ("png" as const), value: await writePng(drawn.bitmap, drawn.colors) } };
  return { case: now.case, value } as Condition;
}

function canvasOf(drawn: Layer, on: Tab): NonNullable<Condition> {
  const encoding = { case: "raw" as const, value: raw(drawn.bitmap) };
  if (on === "sketch") return { case: "sketch", value: { encoding } };
  if (on === "scribble") return { case: "scribble", value: { encoding } };
  return { case: "labelMap", value: { encoding } };
}

function sourceNow(source: LookSource) {
  return "seed" in source
    ? { case: "seed" as const, value: source.seed }
    : { case: "code" as const, value: source.code };
}

function styleOf(look: Look): Style | undefined {
  const { first, second, mix } = look;
  if (!first) return undefined;
  if (!second || mix === 0) return create(StyleSchema, { style: sourceNow(first) });
  if (mix === 1) return create(StyleSchema, { style: sourceNow(second) });
  const styles = [
    { weight: 1 - mix, style: sourceNow(first) },
    { weight: mix, style: sourceNow(second) },
  ];
  return create(StyleSchema, { style: { case: "blend", value: { styles } } });
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

export function synthesizeRequest(condition: Condition, seeds?: number[]): SynthesizeRequest {
  return create(SynthesizeRequestSchema, {
    model: model.value!.name,
    condition,
    start: seeds ? { case: "seeds", value: { values: seeds } } : { case: "seed", value: seed.value },
    styles: stylesNow(true),
    ...strengthNow(),
  });
}

export function editRequest(): EditRequest {
  const source = edited.value;
  if (!source || !layer.value) throw new NothingDrawn("Choose what to edit.");
  return create(EditRequestSchema, {
    model: model.value!.name,
    source: source.photo
      ? { case: "picture", value: { encoding: { case: "file", value: source.photo.bytes } } }
      : { case: "seed", value: seed.value },
    sourceLabelMap: labelMap(source.map),
    targetLabelMap: labelMap(layer.value.bitmap),
    ...strengthNow(),
  });
}

/** Raw pixels are drawn at once; of large images a file is smaller by more than it costs to read. */
export function fastFormat(of: Model): ImageFormat {
  return of.imageWidth * of.imageHeight <= 256 * 256 ? ImageFormat.RAW : ImageFormat.JPEG;
}

export function paintStart() {
  const drawn = layer.value!;
  const canvas = canvasOf(drawn, tab.value);
  const value = canvas.value;
  const source = tab.value === "edit" ? edited.value : null;
  return create(PaintStartSchema, {
    model: model.value!.name,
    ...(canvas.case === "labelMap" ? { labelMap: value } : canvas.case === "sketch" ? { sketch: value } : { scribble: value }),
    start: source?.photo ? undefined : { case: "seed", value: seed.value },
    edit: source
      ? {
          picture: source.photo ? { encoding: { case: "file", value: source.photo.bytes } } : undefined,
          sourceLabelMap: labelMap(source.map),
        }
      : undefined,
    styles: stylesNow(false),
    imageFormat: fastFormat(model.value!),
    priority: Priority.INTERACTIVE,
    ...strengthNow(),
  } as MessageInitShape<typeof PaintStartSchema>);
}

export interface Pending {
  /** Lines since the last update; null: the whole drawing has changed. */
  lines: Line[] | null;
  seed: boolean;
  strength: boolean;
  styles: boolean;
}

export function paintUpdate(sequence: number, pending: Pending) {
  const drawn = layer.value!;
  const on = tab.value;
  const erases = (line: Line) => (on === "sketch" || on === "scribble") && line.id === drawn.erased;
  const change =
    pending.lines === null
      ? canvasOf(drawn, on)
      : pending.lines.length
        ? {
            case: "strokes" as const,
            value: {
              strokes: pending.lines.map((line) => ({
                classId: erases(line) ? 0 : line.id,
                width: line.width,
                points: line.points,
                erase: erases(line),
              })),
            },
          }
        : undefined;
  return create(PaintUpdateSchema, {
    sequence: BigInt(sequence),
    change,
    start: pending.seed && !(on === "edit" && edited.value?.photo) ? { case: "seed", value: seed.value } : undefined,
    styles: pending.styles ? { styles: stylesNow(false) } : undefined,
    ...(pending.strength ? { styleStrength: strength.value ?? strengthRange.value?.defaultValue } : {}),
  } as MessageInitShape<typeof PaintUpdateSchema>);
}
