/** What people do on the page, apart from drawing. */

import { batch } from "@preact/signals";
import type { LabelMapReading, Model } from "maskweave-client";
import { client } from "./api/client";
import { failureOf } from "./api/failures";
import { Bitmap } from "./canvas/bitmap";
import { composed } from "./canvas/compose";
import type { Layer } from "./canvas/layer";
import { FileError, readPng, writeColours, writePng } from "./canvas/png";
import { bytesOf, enlarged, mapOfPhotograph, samplesOf, type Sample } from "./canvas/samples";
import { conditionNow, drawingOf, editNow } from "./request";
import { decoded, decodedMiddle } from "./screen";
import {
  blank,
  edited,
  exemplar,
  failure,
  layerOf,
  makeLayer,
  model,
  notice,
  randomSeed,
  seed,
  tab,
  type Photo,
  type Tab,
} from "./state";

/** Files that people load. */
const MOST_FILE_BYTES = 32 << 20;

/** Sees to it that a tab has something to draw on, or to edit. */
export async function prepare(of: Model, on: Tab): Promise<void> {
  const drawing = on === "edit" ? "label_map" : on;
  if (on === "exemplar") {
    const [sample] = await samplesOf(of, "exemplar");
    if (!exemplar.peek() && sample) await useExemplar(sample);
    return;
  }
  if (!layerOf(of.name, drawing)) {
    const made = await beginning(of, drawing);
    if (!layerOf(of.name, drawing)) makeLayer(of, drawing, made);
  }
  if (on === "edit" && !edited.peek()) editImageOfSeed();
}

async function beginning(of: Model, on: Tab): Promise<Bitmap> {
  const [sample] = await samplesOf(of, on as "label_map" | "sketch" | "scribble");
  if (sample) return fitted(await bytesOf(sample.url), of, on);
  const empty = blank(of, on);
  return on === "label_map" ? composed(of.palette, empty.width, empty.height) : empty;
}

/** The image as it is now becomes what is edited. */
export function editImageOfSeed(): void {
  const of = model.peek();
  const drawn = of && layerOf(of.name, "label_map");
  if (!of || !drawn) return;
  edit(of, null, drawn.bitmap);
}

/** A photograph becomes what is edited, with the label map of what it shows. */
export async function editPhoto(photo: Photo, map: Bitmap | null): Promise<void> {
  const of = model.peek();
  if (!of) return;
  const bytes = await modelSized(photo.bytes, of);
  if (model.peek() !== of) return;
  const size = blank(of, "edit");
  edit(of, { ...photo, bytes }, map ? enlarged(map, size.width, size.height) : (layerOf(of.name, "edit")?.bitmap ?? size));
}

/** Both at once: a session that begins between the two would be given up at once. */
function edit(of: Model, photo: Photo | null, shows: Bitmap): void {
  batch(() => {
    makeLayer(of, "edit", shows.clone());
    edited.value = { photo, map: shows.clone() };
  });
}

export async function editSamplePhoto(sample: Sample): Promise<void> {
  const map = mapOfPhotograph(sample.name);
  const read = map ? await readPng(await bytesOf(map), 1 << 22) : null;
  await editPhoto({ bytes: await bytesOf(sample.url), title: sample.title }, read?.bitmap ?? null);
}

/** What is drawn in the tab Edit is what the image shows now, from here on. */
export function showsThis(drawn: Layer): void {
  if (edited.value) edited.value = { ...edited.value, map: drawn.bitmap.clone() };
}

export async function useExemplar(sample: Sample): Promise<void> {
  exemplar.value = { bytes: await bytesOf(sample.url), title: sample.title };
}

export async function startFrom(sample: Sample): Promise<void> {
  const of = model.peek();
  if (of) put(await fitted(await bytesOf(sample.url), of, tab.peek()));
}

export function startBlank(): void {
  if (model.peek()) put(blank(model.peek()!, tab.peek()));
}

export function startRandom(): void {
  const of = model.peek();
  if (!of) return;
  const { width, height } = blank(of, "label_map");
  put(composed(of.palette, width, height));
}

/** An image of a random seed, as the generator makes it by itself: its label map is drawn, and its seed taken. */
export async function startFromRandomImage(): Promise<void> {
  const number = randomSeed();
  await startFromReading((of) => client.peek().readLabelMap(of.name, { seed: number, format: "webp", modelVersion: of.version }), number);
}

/** What a photograph shows is drawn. */
export async function startFromPhoto(file: File): Promise<void> {
  await startFromReading(async (of) => readMap(await modelSized(await bytesOfFile(file), of), of));
}

const readMap = (image: Uint8Array<ArrayBuffer>, of: Model) => client.peek().readLabelMap(of.name, { image, modelVersion: of.version });

let readings = 0;
async function startFromReading(read: (of: Model) => Promise<LabelMapReading>, itsSeed?: number): Promise<void> {
  const [of, mine] = [model.peek(), ++readings];
  if (!of) return;
  await saying(async () => {
    const map = bitmapOf(await read(of));
    // Meanwhile another one may have been asked for.
    if (mine !== readings || model.peek() !== of || tab.peek() !== "label_map") return;
    const { width, height } = blank(of, "label_map");
    batch(() => {
      put(enlarged(map, width, height));
      if (itsSeed !== undefined) seed.value = itsSeed;
    });
  });
}

const bitmapOf = ({ labelMap }: LabelMapReading) => new Bitmap(labelMap.width, labelMap.height, labelMap.data);

/** Puts a drawing on the present tab. */
function put(bitmap: Bitmap): void {
  const of = model.peek();
  if (!of) return;
  const drawn = layerOf(of.name, tab.peek());
  if (drawn) drawn.replace(bitmap);
  else makeLayer(of, tab.peek(), bitmap);
}

export async function loadFile(file: File): Promise<void> {
  await saying(async () => {
    const of = model.peek();
    if (!of) return;
    const bytes = await bytesOfFile(file);
    if (tab.peek() === "exemplar") exemplar.value = { bytes: await exemplarOf(bytes, of), title: file.name };
    else put(await fitted(bytes, of, tab.peek()));
  });
}

export async function loadPhoto(file: File): Promise<void> {
  await saying(async () => {
    const of = model.peek();
    if (!of) return;
    const bytes = await modelSized(await bytesOfFile(file), of);
    let map: Bitmap | null = null;
    let failure: unknown;
    try {
      if (of.reading?.pictures) map = bitmapOf(await readMap(bytes, of));
    } catch (error) {
      failure = error; // a photograph whose map is not read is edited all the same
    }
    if (model.peek() === of) await editPhoto({ bytes, title: file.name }, map);
    if (failure) throw failure;
  });
}

export async function bytesOfFile(file: File): Promise<Uint8Array<ArrayBuffer>> {
  if (file.size > MOST_FILE_BYTES) throw new FileError("The file is larger than 32 MB. Take a smaller one.");
  return new Uint8Array(await file.arrayBuffer());
}

/** A file's drawing, as large as this page draws it. */
async function fitted(bytes: Uint8Array<ArrayBuffer>, of: Model, on: Tab): Promise<Bitmap> {
  const { width, height } = blank(of, on);
  if (on === "sketch") return inked(await readable(decoded(bytes, width, height)), width, height);
  const read = await readPng(bytes, 1 << 26);
  const ids = new Set(of.palette.map(({ id }) => id));
  if (on === "scribble") ids.add(255);
  if (read) {
    const used = new Set(read.bitmap.ids);
    const byColor = new Map(of.palette.map(({ id, color }) => [color, id]));
    const renumbered = on !== "scribble" && [...used].every((id) => byColor.has(read.palette[id] ?? "")) && [...used].some((id) => of.palette.find((entry) => entry.id === id)?.color !== read.palette[id]);
    const bitmap = renumbered ? mapped(read.bitmap, (id) => byColor.get(read.palette[id]!)!) : read.bitmap;
    const unknown = [...new Set(bitmap.ids)].find((id) => !ids.has(id));
    if (unknown !== undefined)
      throw new FileError(`The file has the class ${unknown}, which ${of.title || of.name} does not know. Save it with the ids of this model's palette.`);
    return on === "scribble" ? bitmap.resized(width, height) : enlarged(bitmap, width, height);
  }
  return byNearestColor(await readable(decoded(bytes)), of).resized(width, height);
}

async function readable(pixels: Promise<ImageData>): Promise<ImageData> {
  try {
    return await pixels;
  } catch {
    throw new FileError("The file is no image that this browser can read. Load a PNG or a JPEG.");
  }
}

function mapped(bitmap: Bitmap, to: (id: number) => number): Bitmap {
  return new Bitmap(bitmap.width, bitmap.height, bitmap.ids.map(to));
}

/** A colour image as a label map: each pixel of the class whose colour is nearest. */
function byNearestColor(image: ImageData, of: Model): Bitmap {
  const bitmap = new Bitmap(image.width, image.height);
  const colors = of.palette.map(({ id, color }) => [id, parseInt(color.slice(1), 16)] as const);
  const nearest = new Map<number, number>();
  for (let i = 0; i < bitmap.ids.length; i++) {
    const [red, green, blue] = [image.data[i * 4]!, image.data[i * 4 + 1]!, image.data[i * 4 + 2]!];
    const number = (red << 16) | (green << 8) | blue;
    let id = nearest.get(number);
    if (id === undefined) {
      let least = Infinity;
      for (const [each, color] of colors) {
        const far = (red - (color >> 16)) ** 2 + (green - ((color >> 8) & 255)) ** 2 + (blue - (color & 255)) ** 2;
        if (far < least) [least, id] = [far, each];
      }
      nearest.set(number, id!);
    }
    bitmap.ids[i] = id!;
  }
  return bitmap;
}

/** Greys of an image on white paper. */
function inked(image: ImageData, width: number, height: number): Bitmap {
  const bitmap = new Bitmap(width, height);
  for (let i = 0; i < bitmap.ids.length; i++) {
    const [red, green, blue, alpha] = image.data.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
    const grey = 0.299 * red + 0.587 * green + 0.114 * blue;
    bitmap.ids[i] = Math.round(255 - ((255 - grey) * alpha) / 255);
  }
  return bitmap;
}

/** An image of people's as a file that the service takes: of exactly the model's size. */
export async function modelSized(file: Blob | Uint8Array<ArrayBuffer>, of: Model): Promise<Uint8Array<ArrayBuffer>> {
  return writeColours(await readable(decodedMiddle(file, of.imageWidth, of.imageHeight, true)));
}

/** The same for an exemplar: any size will do, and more than this says no more to a model. */
async function exemplarOf(file: Blob | Uint8Array<ArrayBuffer>, of: Model): Promise<Uint8Array<ArrayBuffer>> {
  const times = Math.max(1, Math.min(4, 1024 / Math.max(of.imageWidth, of.imageHeight)));
  return writeColours(await readable(decodedMiddle(file, Math.round(of.imageWidth * times), Math.round(of.imageHeight * times), false)));
}

export async function saveDrawing(drawn: Layer): Promise<void> {
  await saying(async () => download(await writePng(drawn.bitmap, drawn.colors), `${tab.peek()}.png`));
}

/** Saves the image as the service writes files: as a PNG that says what made it. */
export async function saveImage(): Promise<void> {
  await saying(async () => {
    const of = model.peek()!.name;
    const { images } = await (tab.peek() === "edit" ? client.peek().edit(of, editNow()) : client.peek().draw(of, drawingOf(conditionNow())));
    download(images[0]!.data, `${of}-${seed.peek()}.png`);
  });
}

export async function copyText(text: string, said: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(said);
  } catch {
    failure.value = { text: "This browser does not let the page write to the clipboard. Select the text and copy it.", remedy: "stop" };
  }
}

let silence: ReturnType<typeof setTimeout> | undefined;
export function say(text: string): void {
  notice.value = text;
  clearTimeout(silence);
  silence = setTimeout(() => (notice.value = ""), 3000);
}

/** Does something, and says so if it fails. */
export async function saying(task: () => Promise<unknown>): Promise<void> {
  try {
    await task();
  } catch (error) {
    failure.value = failureOf(error);
  }
}

function download(bytes: Uint8Array<ArrayBuffer>, name: string): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
