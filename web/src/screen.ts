/** The image that is shown, whoever shows it. */

import { signal } from "@preact/signals";
import type { GeneratedImage, Timings } from "maskweave-client";

export interface Shown {
  width: number;
  height: number;
  seed?: number;
  modelVersion: string;
  timings?: Timings;
}

/** What there is to know of the image that is shown; its pixels are in `screen`. */
export const shown = signal<Shown | null>(null);

const watchers = new Set<(pixels: ImageData) => void>();
let latest: ImageData | null = null;
let turn = 0;

/** Calls with the pixels that are shown, now and whenever they change. */
export function watchScreen(watcher: (pixels: ImageData) => void): () => void {
  watchers.add(watcher);
  if (latest) watcher(latest);
  return () => watchers.delete(watcher);
}

/** The pixels of a raw image at once, of others when they have been read. */
export function pixelsOf(image: GeneratedImage): ImageData | Promise<ImageData> {
  if (image.format !== "raw") return decoded(image.data);
  const pixels = new ImageData(image.width, image.height);
  const { data } = image;
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    pixels.data[to] = data[from]!;
    pixels.data[to + 1] = data[from + 1]!;
    pixels.data[to + 2] = data[from + 2]!;
    pixels.data[to + 3] = 255;
  }
  return pixels;
}

/** The pixels of an image file of any kind that the browser reads, resized if a size is given. */
export async function decoded(file: Blob | Uint8Array<ArrayBuffer>, width?: number, height?: number): Promise<ImageData> {
  const bitmap = await createImageBitmap(file instanceof Blob ? file : new Blob([file]));
  return drawn(bitmap, width ?? bitmap.width, height ?? bitmap.height, (context) =>
    context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height),
  );
}

/**
 * The middle of an image file with the sides' ratio of a size, on white where it is transparent.
 *
 * @param exactly At this size; else at this size or, if the file has fewer pixels, smaller.
 */
export async function decodedMiddle(file: Blob | Uint8Array<ArrayBuffer>, width: number, height: number, exactly: boolean): Promise<ImageData> {
  const bitmap = await createImageBitmap(file instanceof Blob ? file : new Blob([file]));
  const scale = Math.min(bitmap.width / width, bitmap.height / height);
  const [across, down] = [width * scale, height * scale];
  const times = exactly ? 1 : Math.min(1, scale);
  const [wide, high] = [Math.max(1, Math.round(width * times)), Math.max(1, Math.round(height * times))];
  return drawn(bitmap, wide, high, (context) => {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, wide, high);
    context.drawImage(bitmap, (bitmap.width - across) / 2, (bitmap.height - down) / 2, across, down, 0, 0, wide, high);
  });
}

function drawn(bitmap: ImageBitmap, width: number, height: number, draw: (context: OffscreenCanvasRenderingContext2D) => void): ImageData {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  draw(context);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** Shows an image, unless a later one is there by then. Resolves when its pixels are drawn. */
export async function show(image: GeneratedImage, modelVersion: string, timings?: Timings): Promise<void> {
  const mine = ++turn;
  const now = pixelsOf(image);
  const pixels = now instanceof ImageData ? now : await now;
  if (mine !== turn) return;
  drawAll(pixels);
  shown.value = { width: image.width, height: image.height, seed: image.seed, modelVersion, timings };
}

/** Shows pixels that are no image of the present drawing, a morph's for example. */
export function showPixels(pixels: ImageData): void {
  turn++;
  drawAll(pixels);
}

function drawAll(pixels: ImageData): void {
  latest = pixels;
  for (const watcher of watchers) watcher(pixels);
}
