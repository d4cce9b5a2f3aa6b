/** What the page is about, in one place: the model, what is drawn, and what the images start from. */

import { computed, effect, signal } from "@preact/signals";
import { Bitmap } from "./canvas/bitmap";
import { Layer, type Change } from "./canvas/layer";
import type { Failure } from "./api/failures";
import { ConditionKind, type Model, type StyleCode } from "maskweave-client/proto";

export type Tab = "label_map" | "sketch" | "scribble" | "exemplar" | "edit";

export const TABS: { tab: Tab; title: string; kind?: ConditionKind; hint: string }[] = [
  { tab: "label_map", title: "Label map", kind: ConditionKind.LABEL_MAP, hint: "Choose a class and paint. The image follows as you draw." },
  { tab: "sketch", title: "Sketch", kind: ConditionKind.SKETCH, hint: "Draw dark lines, as with a pen." },
  { tab: "scribble", title: "Scribble", kind: ConditionKind.SCRIBBLE, hint: "A few strokes are enough: the model fills in what you leave open." },
  { tab: "exemplar", title: "Exemplar", kind: ConditionKind.EXEMPLAR, hint: "Give an image: its structure is taken over, its looks are not." },
  { tab: "edit", title: "Edit", hint: "Paint what is to change. All else stays as it was, pixel for pixel." },
];

/** Sides of a drawing are a whole number of times the model's, and about as long as this. */
const DRAWING_SIDE = 256;
const PAPER = 255;
const NOTHING_DRAWN = 255;

export const models = signal<Model[]>([]);
export const modelName = signal("");
export const model = computed(() => models.value.find(({ name }) => name === modelName.value));
export const tab = signal<Tab>("label_map");
export const seed = signal(11);
/** The style strength; null takes the model's default. */
export const strength = signal<number | null>(null);
export const failure = signal<Failure | null>(null);
/** Something that went well and is said for a moment. */
export const notice = signal("");

/** Where a look comes from. */
export type LookSource = { seed: number } | { code: StyleCode };

/** How one style looks: as the start decides, as one source, or between two. */
export interface Look {
  first: LookSource | null;
  second: LookSource | null;
  /** How much of the second, 0 to 1. */
  mix: number;
}

export const NO_LOOK: Look = { first: null, second: null, mix: 0 };
export const looks = signal<Look[]>([]);

/** An image of the caller's. */
export interface Photo {
  bytes: Uint8Array<ArrayBuffer>;
  title: string;
}

export const exemplar = signal<Photo | null>(null);

/** What is edited: the image of the seed, or a photograph; and the label map that it has now. */
export interface Edited {
  photo: Photo | null;
  map: Bitmap;
}

export const edited = signal<Edited | null>(null);

export const tabsOfModel = computed(() => {
  const kinds = new Set(model.value?.conditions.map(({ kind }) => kind));
  return TABS.filter((each) => (each.kind === undefined ? !!model.value?.editing : kinds.has(each.kind)));
});

export const supportOf = (of: Model, kind: ConditionKind) => of.conditions.find((each) => each.kind === kind);

/** The range of the style strength, where the model has one for what is drawn. */
export const strengthRange = computed(() => {
  const kind = TABS.find((each) => each.tab === tab.value)?.kind ?? ConditionKind.LABEL_MAP;
  return model.value && supportOf(model.value, kind)?.styleStrength;
});

export function drawingSize(of: Model, kind: ConditionKind): { width: number; height: number } {
  const support = supportOf(of, kind);
  const width = support?.width || of.imageWidth;
  const height = support?.height || of.imageHeight;
  const limits = of.limits;
  let times = Math.max(1, Math.round(DRAWING_SIDE / Math.max(width, height)));
  while (
    times > 1 &&
    limits &&
    (width * times > limits.maxLabelMapWidth ||
      height * times > limits.maxLabelMapHeight ||
      BigInt(width * height * times * times) > limits.maxLabelMapPixels)
  )
    times--;
  return { width: width * times, height: height * times };
}

/** Drawings by model and tab, for as long as the page is open. */
const layers = new Map<string, Layer>();
const layersChanged = signal(0);
const changeListeners = new Set<(tab: Tab, change: Change) => void>();

export function onDrawing(listener: (tab: Tab, change: Change) => void): void {
  changeListeners.add(listener);
}

export const layer = computed(() => {
  layersChanged.value;
  return layers.get(`${modelName.value}/${tab.value}`);
});

export function layerOf(name: string, of: Tab): Layer | undefined {
  return layers.get(`${name}/${of}`);
}

/** Lets go of the drawings of a model. */
export function forgetLayers(name: string): void {
  for (const key of [...layers.keys()]) if (key.startsWith(`${name}/`)) layers.delete(key);
  layersChanged.value++;
}

/** Makes the drawing of a tab, with something on it. */
export function makeLayer(of: Model, on: Tab, bitmap: Bitmap): Layer {
  const palette = of.palette.map(({ id, name, title, color }) => ({ id, name, title: title || name, color }));
  const byId = new Map(palette.map(({ id, color }) => [id, color]));
  const background = palette[0]?.id ?? 0;
  const tell = (change: Change) => changeListeners.forEach((listener) => listener(on, change));
  let made: Layer;
  if (on === "sketch") {
    const inks = [
      { id: 0, name: "ink", title: "ink", color: "#000000" },
    ];
    made = new Layer(bitmap, inks, PAPER, (id) => `#${id.toString(16).padStart(2, "0").repeat(3)}`, tell);
  } else if (on === "scribble") {
    made = new Layer(bitmap, palette, NOTHING_DRAWN, (id) => byId.get(id) ?? "#ffffff", tell);
  } else {
    made = new Layer(bitmap, palette, background, (id) => byId.get(id) ?? "#808080", tell);
  }
  layers.set(`${of.name}/${on}`, made);
  layersChanged.value++;
  return made;
}

/** A drawing with nothing on it. */
export function blank(of: Model, on: Tab): Bitmap {
  const kind = TABS.find((each) => each.tab === on)?.kind ?? ConditionKind.LABEL_MAP;
  const { width, height } = drawingSize(of, kind);
  const bitmap = new Bitmap(width, height);
  bitmap.ids.fill(on === "sketch" ? PAPER : on === "scribble" ? NOTHING_DRAWN : (of.palette[0]?.id ?? 0));
  return bitmap;
}

// What belongs to one model does not outlive it.
effect(() => {
  const styles = model.value?.styles?.styles.length ?? 0;
  looks.value = Array.from({ length: styles }, () => NO_LOOK);
  strength.value = null;
  exemplar.value = null;
  edited.value = null;
});

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000;
}
