/** What comes back: images. */

import type { Image, Timings } from "./gen/maskweave/v1/synthesis_pb.js";
import { FORMAT_NAMES, type ImageFormat } from "./requests.js";

/** An image as the service sent it. */
export class GeneratedImage {
  /** The file; for `raw` the pixels, RGB, row by row. */
  readonly data: Uint8Array<ArrayBuffer>;
  readonly format: ImageFormat;
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** Seed that it came from; undefined when it came from an explicit latent or from an image. */
  readonly seed: number | undefined;
  /** Whether `data` says by itself, as XMP, that a model made it. */
  readonly marked: boolean;

  /** @internal */
  constructor(message: Image | undefined) {
    if (!message) throw new Error("the service sent no image");
    this.data = message.data as Uint8Array<ArrayBuffer>;
    this.format = FORMAT_NAMES[message.format] ?? "png";
    this.width = message.width;
    this.height = message.height;
    this.seed = message.seed;
    this.marked = message.marked;
  }

  /** The file for `URL.createObjectURL`, `createImageBitmap` or an upload. */
  toBlob(): Blob {
    const type = this.format === "raw" ? "application/octet-stream" : `image/${this.format}`;
    return new Blob([this.data], { type });
  }
}

/** The reply to one request. */
export interface Result {
  /** In the order of the seeds. */
  images: GeneratedImage[];
  /** Version of the model that made them. */
  modelVersion: string;
  /** Where the time went inside the service. */
  timings: Timings | undefined;
}

/** A label map that was read off an image. */
export interface LabelMapReading {
  /** Class ids, one byte per pixel, of the size of the model's images: what `draw` takes as `labelMap`. */
  labelMap: { width: number; height: number; data: Uint8Array<ArrayBuffer> };
  /** The image of the seed; undefined when the image was the caller's. */
  image: GeneratedImage | undefined;
  /** Version of the model that read it. */
  modelVersion: string;
  /** Where the time went inside the service. */
  timings: Timings | undefined;
}

/** One image of several that come one by one. */
export interface StreamedImage {
  /** Which one it is, from 0. */
  index: number;
  image: GeneratedImage;
  modelVersion: string;
  timings: Timings | undefined;
}

/** An image on the way from some styles to others. */
export interface MorphFrame extends StreamedImage {
  /** 0 at the first styles, 1 at the others. */
  position: number;
}

/** An image of a canvas that is being painted. */
export interface Frame {
  /** The latest update that is in it; 0 for the canvas as it began. */
  sequence: number;
  /** Updates since the frame before that got none of their own. */
  droppedFrames: number;
  /** Undefined for a sketch or a scribble of which there is none; `problem` says why. */
  image: GeneratedImage | undefined;
  problem: "empty" | "too_much_ink" | "unknown" | undefined;
  modelVersion: string;
  timings: Timings | undefined;
}
