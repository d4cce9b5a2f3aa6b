/** From what callers have at hand to messages of the contract. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type EditRequestSchema,
  ImageFormat as Format,
  LabelMapEncoding,
  MorphPath,
  type MorphRequestSchema,
  type PaintStartSchema,
  Priority,
  type ReadLabelMapRequestSchema,
  type StyleCode,
  type StyleSchema,
  type SynthesizeRequestSchema,
} from "./gen/maskweave/v1/synthesis_pb.js";

export type { StyleCode };

/** A file: its bytes, or what a page's `<input type="file">` gives. */
export type Bytes = Uint8Array | ArrayBuffer | Blob;

/** A map of class ids: a PNG file whose pixel values they are, or one byte per pixel, row by row. */
export type Ids = Bytes | { width: number; height: number; data: Uint8Array };

/** A sketch: a PNG or JPEG file, or one grey per pixel, row by row, from 0 for ink to 255 for none. */
export type Sketch = Bytes | { width: number; height: number; data: Uint8Array };

/** Strokes on an empty canvas, or a map of class ids with 255 where nothing is drawn. */
export type Scribble = Ids | { strokes: Stroke[]; width?: number; height?: number };

/** A line of a brush. */
export interface Stroke {
  /** The class; left out in sketches, whose strokes draw ink. */
  classId?: number;
  /** Width of the brush in pixels of the canvas. */
  width: number;
  /** Points in pixels of the canvas. */
  points: readonly (readonly [x: number, y: number])[];
  /** Take away what is drawn, in sketches and scribbles. */
  erase?: boolean;
}

export type ImageFormat = "png" | "jpeg" | "webp" | "raw";

/** How a class looks in an image: what `readStyles` gives, or an object with the same fields. */
export type Look = Pick<StyleCode, "model" | "modelVersion" | "classId" | "values">;

/** How a class is to look: as in an image, as a seed decides, or as a mixture. */
export type Style = Look | { seed: number } | { blend: { weight: number; style: Look | { seed: number } }[] };

/** Looks by class id. */
export type Styles = Readonly<Record<number, Style>>;

/** What images follow: exactly one. */
export type Condition =
  | { labelMap: Ids }
  /** Dark lines on a light or transparent ground. */
  | { sketch: Sketch }
  | { scribble: Scribble }
  /** A PNG or JPEG file whose structure is taken over. */
  | { exemplar: Bytes };

interface Common {
  /** File format of the images; `png` by default. */
  format?: ImageFormat;
  /** 1 to 100, for jpeg and webp. */
  quality?: number;
  /** `batch` for what nobody waits for. */
  priority?: "interactive" | "batch";
  /** One of the model's `availableVersions`; the service's default by default. */
  modelVersion?: string;
}

/** What is drawn. */
export type Drawing = Condition &
  Common & {
    /** Seed of the first image; further ones count up. Random by default. */
    seed?: number;
    /** One seed per image, in place of `seed`. */
    seeds?: readonly number[];
    numberOfImages?: number;
    /** Weight of the seed's style against the condition. */
    styleStrength?: number;
    /** How classes look, for models with styles. */
    styles?: Styles;
  };

/** What is edited, and into what. */
export type EditRequest = Common &
  ({ image: Bytes } | { seed: number }) & {
    /** The label map that the image is to show. */
    target: Ids;
    /** The one that it shows now: what both have in common stays as it is. */
    source?: Ids;
    styleStrength?: number;
    /** Width of the soft edge in pixels. */
    blendWidth?: number;
  };

/** The way from some styles to others. */
export type MorphRequest = Common & {
  labelMap: Ids;
  from: Styles;
  to: Styles;
  numberOfFrames: number;
  firstPosition?: number;
  lastPosition?: number;
  path?: "linear" | "spherical";
  seed?: number;
};

/** The canvas to begin with. A sketch or a scribble may be empty. */
export type PaintRequest = Common &
  ({ labelMap: Ids } | { sketch: Sketch } | { scribble: Ids }) & {
    seed?: number;
    styleStrength?: number;
    styles?: Styles;
    /** Has the frames be edits, into the label map that is the canvas: of an image, or of what the seed gives. */
    edit?: {
      image?: Bytes;
      /** The label map that it shows now. */
      source?: Ids;
      /** Width of the soft edge in pixels. */
      blendWidth?: number;
    };
  };

/** What a label map is read off: a PNG or JPEG file within the model's limits, or the image that the model makes of a seed by itself. */
export type ReadRequest = Omit<Common, "format" | "quality"> & ({ image: Bytes } | ({ seed: number } & Pick<Common, "format" | "quality">));

const FORMATS: Record<ImageFormat, Format> = { png: Format.PNG, jpeg: Format.JPEG, webp: Format.WEBP, raw: Format.RAW };

export const FORMAT_NAMES: Partial<Record<Format, ImageFormat>> = {
  [Format.PNG]: "png",
  [Format.JPEG]: "jpeg",
  [Format.WEBP]: "webp",
  [Format.RAW]: "raw",
};

export async function bytesOf(given: Bytes): Promise<Uint8Array> {
  if (given instanceof Uint8Array) return given;
  return new Uint8Array(given instanceof ArrayBuffer ? given : await given.arrayBuffer());
}

const isBytes = (given: object): given is Bytes =>
  given instanceof Uint8Array || given instanceof ArrayBuffer || given instanceof Blob;

/** What need not be read first. */
export type Loaded<T> = Exclude<T, Blob>;

/** What a `Blob` holds; all else is there already. */
export const loaded = async <T extends object>(given: T): Promise<Loaded<T> | Uint8Array> =>
  given instanceof Blob ? bytesOf(given) : (given as Loaded<T>);

const arrayOf = (given: Uint8Array | ArrayBuffer) => (given instanceof Uint8Array ? given : new Uint8Array(given));

const rawOf = ({ width, height, data }: { width: number; height: number; data: Uint8Array }) => ({
  case: "raw" as const,
  value: { width, height, data },
});

/** Ids in either of the messages that take them: of label maps and of scribbles. */
export function loadedIds(given: Loaded<Ids>) {
  return { encoding: "width" in given ? rawOf(given) : { case: "png" as const, value: arrayOf(given) } };
}

export function loadedSketch(given: Loaded<Sketch>) {
  return { encoding: "width" in given ? rawOf(given) : { case: "file" as const, value: arrayOf(given) } };
}

export const idsOf = async (given: Ids) => loadedIds(await loaded(given));

const sketchOf = async (given: Sketch) => loadedSketch(await loaded(given));

export const strokeOf = ({ classId, width, points, erase }: Stroke) => ({
  classId: classId ?? 0,
  width,
  points: points.map(([x, y]) => ({ x, y })),
  erase: erase ?? false,
});

async function scribbleOf(given: Scribble) {
  if (isBytes(given) || !("strokes" in given)) return idsOf(given);
  const { strokes, width, height } = given;
  return { encoding: { case: "strokes" as const, value: { strokes: strokes.map(strokeOf), width, height } } };
}

/** A file in any of the messages that take one: of exemplars and of images to edit. */
export const fileOf = async (file: Bytes) => ({ encoding: { case: "file" as const, value: await bytesOf(file) } });

export function stylesOf(given: Styles = {}): Record<number, MessageInitShape<typeof StyleSchema>> {
  return Object.fromEntries(Object.entries(given).map(([classId, style]) => [classId, styleOf(style)]));
}

function styleOf(style: Style): MessageInitShape<typeof StyleSchema> {
  if (!("blend" in style)) return { style: partOf(style) };
  const styles = style.blend.map((each) => ({ weight: each.weight, style: partOf(each.style) }));
  return { style: { case: "blend", value: { styles } } };
}

function partOf(part: Look | { seed: number }) {
  return "seed" in part ? { case: "seed" as const, value: part.seed } : { case: "code" as const, value: part };
}

function common(model: string, given: Common) {
  return {
    model,
    imageFormat: FORMATS[given.format ?? "png"],
    imageQuality: given.quality,
    priority: given.priority === "batch" ? Priority.BATCH : Priority.INTERACTIVE,
    modelVersion: given.modelVersion,
  };
}

const seedOf = (seed: number | undefined) =>
  seed === undefined ? { case: undefined } : { case: "seed" as const, value: seed };

async function conditionOf(given: Condition): Promise<MessageInitShape<typeof SynthesizeRequestSchema>["condition"]> {
  if ("labelMap" in given) return { case: "labelMap", value: await idsOf(given.labelMap) };
  if ("scribble" in given) return { case: "scribble", value: await scribbleOf(given.scribble) };
  if ("sketch" in given) return { case: "sketch", value: await sketchOf(given.sketch) };
  return { case: "exemplar", value: await fileOf(given.exemplar) };
}

export async function drawingOf(model: string, given: Drawing): Promise<MessageInitShape<typeof SynthesizeRequestSchema>> {
  return {
    ...common(model, given),
    condition: await conditionOf(given),
    start: given.seeds ? { case: "seeds", value: { values: [...given.seeds] } } : seedOf(given.seed),
    numberOfImages: given.numberOfImages,
    styleStrength: given.styleStrength,
    styles: stylesOf(given.styles),
  };
}

export async function editOf(model: string, given: EditRequest): Promise<MessageInitShape<typeof EditRequestSchema>> {
  return {
    ...common(model, given),
    source: "image" in given ? { case: "picture", value: await fileOf(given.image) } : seedOf(given.seed),
    sourceLabelMap: given.source && (await idsOf(given.source)),
    targetLabelMap: await idsOf(given.target),
    styleStrength: given.styleStrength,
    blendWidth: given.blendWidth,
  };
}

export async function morphOf(model: string, given: MorphRequest): Promise<MessageInitShape<typeof MorphRequestSchema>> {
  return {
    ...common(model, given),
    labelMap: await idsOf(given.labelMap),
    fromStyles: stylesOf(given.from),
    toStyles: stylesOf(given.to),
    numberOfFrames: given.numberOfFrames,
    firstPosition: given.firstPosition,
    lastPosition: given.lastPosition,
    path: given.path === "spherical" ? MorphPath.SPHERICAL : MorphPath.LINEAR,
    start: seedOf(given.seed),
  };
}

export async function readOf(model: string, given: ReadRequest): Promise<MessageInitShape<typeof ReadLabelMapRequestSchema>> {
  const encoding = { labelMapEncoding: LabelMapEncoding.RAW };
  if ("seed" in given) return { ...common(model, given), ...encoding, source: seedOf(given.seed) };
  const { imageFormat: _, ...rest } = common(model, given); // nothing is sent back
  return { ...rest, ...encoding, source: { case: "picture", value: await fileOf(given.image) } };
}

export async function paintStartOf(model: string, given: PaintRequest): Promise<MessageInitShape<typeof PaintStartSchema>> {
  return {
    ...common(model, given),
    labelMap: "labelMap" in given ? await idsOf(given.labelMap) : undefined,
    sketch: "sketch" in given ? await sketchOf(given.sketch) : undefined,
    scribble: "scribble" in given ? await idsOf(given.scribble) : undefined,
    start: seedOf(given.seed),
    styleStrength: given.styleStrength,
    styles: stylesOf(given.styles),
    edit: given.edit && {
      picture: given.edit.image && (await fileOf(given.edit.image)),
      sourceLabelMap: given.edit.source && (await idsOf(given.edit.source)),
      blendWidth: given.edit.blendWidth,
    },
  };
}

/** What one attempt of a call is given. */
export interface Attempt {
  timeoutMs: number;
  signal?: AbortSignal;
  headers: Record<string, string>;
}
